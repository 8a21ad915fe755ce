"""Whole groups: simulated worlds that converge, and two asyncio participants over UDP: ``python -m bench.sync_group``.

The core by itself, against another implementation, is in ``bench/sync.py``.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time

from bench.figures import Figure
from bench.report import table
from holdfast.engine.sqlite import SqliteEngine
from holdfast.simulation.sync.options import HARD
from holdfast.simulation.sync.report import SyncReport
from holdfast.simulation.sync.run import run_sync
from holdfast.sync.group import Group
from holdfast.sync.persistence.base import Persistence
from holdfast.sync.persistence.engine import EnginePersistence
from holdfast.sync.transports.udp import Udp

CONTENT = b"x" * 100
RUNS = 5


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` runs fewer worlds and sends fewer messages."""
    reports = [run_sync(HARD._replace(seed=seed)) for seed in range(1, 3 if quick else 26)]
    count = 1_000 if quick else 5_000
    return [
        converged(reports),
        convergence(reports),
        packets(reports),
        over_udp("without a store", count, stored=False),
        over_udp("each stored in SQLite before it is sent or told", count // 5, stored=True),
    ]


def converged(reports: list[SyncReport]) -> Figure:
    well = sum(report.ok and report.deliveries == 19_000 for report in reports)
    return {
        "name": "seeds of 20 peers, 1,000 messages, 30 % loss, a 30 s partition and 3 crashes that converge",
        "value": well,
        "unit": "seeds",
        "goal": len(reports),
        "reached": well == len(reports),
        "runs": 1,
    }


def convergence(reports: list[SyncReport]) -> Figure:
    times = [report.convergence_s for report in reports]
    return {
        "name": "the same, until everybody has everything after the partition",
        "value": round(statistics.median(times), 2),
        "unit": "s",
        "goal": None,
        "reached": None,
        "runs": len(times),
        "note": f"virtual seconds; {max(times):.1f} at worst",
    }


def packets(reports: list[SyncReport]) -> Figure:
    return {
        "name": "the same, bytes broadcast for each delivery of 100 bytes",
        "value": round(statistics.median(report.bytes_per_delivery for report in reports)),
        "unit": "B",
        "goal": None,
        "reached": None,
        "runs": len(reports),
        "note": f"{statistics.median(report.packets_per_message for report in reports):.1f} packets a message",
    }


def over_udp(how: str, count: int, *, stored: bool) -> Figure:
    rates = [asyncio.run(udp_rate(count, stored=stored)) for _ in range(RUNS)]
    return {
        "name": f"messages between two participants over UDP on loopback, {how}",
        "value": round(statistics.median(rates)),
        "unit": "messages/s",
        "goal": None,
        "reached": None,
        "runs": RUNS,
        "note": "both in one process",
    }


async def udp_rate(count: int, *, stored: bool) -> float:
    """Send ``count`` from one to the other, delivered in order."""
    with tempfile.TemporaryDirectory() as directory:
        engine = SqliteEngine(directory)
        await engine.start()
        try:
            stores = [EnginePersistence(engine, name) if stored else None for name in ("alice", "bob")]
            return await _between(count, stores)
        finally:
            await engine.stop()


async def _between(count: int, stores: list[EnginePersistence | None]) -> float:
    transports = [Udp(listen="127.0.0.1:0"), Udp(listen="127.0.0.1:0")]
    alice, bob = (
        Group("bench", me=name, transport=transport, persistence=_as_store(store))
        for name, transport, store in zip(("alice", "bob"), transports, stores, strict=True)
    )
    async with alice, bob:
        for one, other in (transports, transports[::-1]):
            one.set_peers([f"127.0.0.1:{other.address[1]}"])
        began = time.perf_counter()

        async def send() -> None:
            for _ in range(count):
                await alice.send(CONTENT)

        sending = asyncio.create_task(send())
        for _ in range(count):
            await anext(bob)
        await sending
        return count / (time.perf_counter() - began)


def _as_store(store: EnginePersistence | None) -> Persistence | None:
    return store


if __name__ == "__main__":
    measured = figures("--quick" in sys.argv)
    for figure in measured:
        print(json.dumps(figure, ensure_ascii=False))
    print(table("sync_group", measured))
