"""Sessions: fan-out of one producer, ten thousand idle ones, attaching and detaching, and what routing costs."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.commands import invoke
from holdfast.rpc.handshake.authenticators import LocalClient
from holdfast.sessions.api import SessionsApi
from holdfast.sessions.model import Message, PatternSpec
from holdfast.sessions.packing import pack
from holdfast.streams import Chunk
from holdfast.subjects import PatternTrie
from holdfast.testing import NodeBox

Figure = dict[str, Any]

SESSIONS = 1_000
CONNECTIONS = 20
PAYLOAD = b"x" * 100
MESSAGE_BYTES = len(pack(Message("bus.bench", PAYLOAD, time=1.0)))
IN_FLIGHT = 256
"""Messages the producer has on their way to the node at once."""


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer runs."""
    found = [route_cost(3 if quick else 9)]
    runs = 3 if quick else 5
    found += uvloop.run(_fan_out(runs, 300 if quick else 1_500))
    found += uvloop.run(_idle(1_000 if quick else 10_000, 500 if quick else 2_000, runs))
    return found


def _figure(name: str, value: float, unit: str, goal: str, *, reached: bool, runs: int, note: str = "") -> Figure:
    return {"name": name, "value": value, "unit": unit, "goal": goal, "reached": reached, "runs": runs, "note": note}


def rss_bytes(pid: int) -> int:
    """Resident memory of a process of ours (Linux)."""
    fields = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) * 1024


# routing


def route_cost(runs: int) -> Figure:
    """One match among 10^5 patterns against one among 10."""
    small, large = _trie(10), _trie(100_000)
    ratios = [_match_s(large) / _match_s(small) for _ in range(runs)]
    value = round(statistics.median(ratios), 3)
    return _figure(
        "route cost, 100,000 patterns with one match, against 10", value, "x", "<= 1.5",
        reached=value <= 1.5, runs=runs,
        note="one match in the trie of patterns, medians of pairs",
    )  # fmt: skip


def _trie(count: int) -> PatternTrie[int]:
    trie: PatternTrie[int] = PatternTrie()
    for number in range(count):
        trie.add(f"bus.sensor{number}.*", number)
    return trie


def _match_s(trie: PatternTrie[int]) -> float:
    match = trie.match
    began = time.perf_counter()
    for _ in range(20_000):
        match("bus.sensor7.temperature")
    return time.perf_counter() - began


# fan-out


@asynccontextmanager
async def dial(url: str) -> AsyncIterator[AsyncConnection]:
    """The owner's connection."""
    async with await dial_unix(url.removeprefix("unix://"), LocalClient()) as connection:
        yield connection


async def _fan_out(runs: int, messages: int) -> list[Figure]:
    rates = []
    with NodeBox.temporary() as box:
        box.start_node()
        listeners = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.sessions", box.url, str(SESSIONS // CONNECTIONS), str(CONNECTIONS // 4),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent,
            )
            for _ in range(4)
        ]  # fmt: skip
        try:
            async with dial(box.url) as connection:
                for listener in listeners:
                    assert (await _line(listener)) == "ready"
                for run in range(runs + 1):
                    rate = await _one_fan_out(connection, listeners, messages)
                    if run:  # the first warms up
                        rates.append(rate)
        finally:
            for listener in listeners:
                listener.kill()
                await listener.wait()
    value = round(statistics.median(rates))
    return [
        _figure(
            "1 producer to 1,000 sessions over 20 connections, 100 B", value, "deliveries/s", ">= 1,000,000",
            reached=value >= 1_000_000, runs=runs, note=f"4 listening processes, {IN_FLIGHT} messages in flight",
        )
    ]  # fmt: skip


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def _one_fan_out(
    connection: AsyncConnection, listeners: list[asyncio.subprocess.Process], messages: int
) -> float:
    """Deliveries a second: from the first message's leaving to the last one's arrival everywhere."""
    for listener in listeners:
        assert listener.stdin is not None
        listener.stdin.write(f"{messages}\n".encode())
    began = time.perf_counter()
    window = asyncio.Semaphore(IN_FLIGHT)

    async def publish() -> None:
        async with window:
            await invoke(connection, SessionsApi.publish, "bus.bench", PAYLOAD)

    await asyncio.gather(*(publish() for _ in range(messages)))
    for listener in listeners:
        assert (await _line(listener)) == "done"
    return messages * SESSIONS / (time.perf_counter() - began)


async def listen(url: str, sessions: int, connections: int) -> None:
    """A listening process: so many sessions on each of so many connections; says when all have everything."""
    async with contextlib.AsyncExitStack() as stack:
        readers = []
        for _ in range(connections):
            connection = await stack.enter_async_context(dial(url))
            for _ in range(sessions):
                specs = [PatternSpec(pattern="bus.bench")]
                made = await invoke(connection, SessionsApi.new, specs, 0.0)
                reader = connection.open_reader(window_bytes=1 << 20)
                await invoke(connection, SessionsApi.attach, made.id, reader.stream_id)
                reader.start(0)
                readers.append(reader)
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            wanted = int(line) * MESSAGE_BYTES

            async def take(reader: Any) -> None:
                got = 0
                while got < wanted:  # noqa: B023 - awaited before it changes
                    item = await reader.read(1 << 18)
                    assert isinstance(item, Chunk)
                    got += len(item.data)
                assert got == wanted, "messages were lost, or came twice"  # noqa: B023

            await asyncio.gather(*map(take, readers))
            print("done", flush=True)


# many idle sessions


async def _idle(count: int, cycles: int, runs: int) -> list[Figure]:
    with NodeBox.temporary() as box:
        box.start_node()
        assert box.node is not None
        async with dial(box.url) as connection:
            before = rss_bytes(box.node.pid)
            ids = []
            specs = [
                PatternSpec(pattern="jobs.*.output"),
                PatternSpec(pattern="channels.>"),
                PatternSpec(pattern="bus.>"),
            ]
            for start in range(0, count, 500):
                made = await asyncio.gather(
                    *(invoke(connection, SessionsApi.new, specs, 0.0) for _ in range(start, min(count, start + 500)))
                )
                ids += [one.id for one in made]
            size = (rss_bytes(box.node.pid) - before) / 1e6
            times = sorted([await _reattach_s(connection, ids[number * 7 % count]) for number in range(cycles)])
            rates = [await _cycles_per_s(connection, ids, cycles) for _ in range(runs)]
    slow_ms = round(times[len(times) * 99 // 100] * 1e3, 3)
    rate = round(statistics.median(rates))
    return [
        _figure(f"memory of {count:,} idle sessions", round(size, 1), "MB", "<= 100", reached=size <= 100, runs=1,
                note="growth of the node's resident memory; three patterns each"),
        _figure("attach to one of them, p99", slow_ms, "ms", "<= 5 ms", reached=slow_ms <= 5, runs=cycles,
                note="until the client has the answer and its stream is open"),
        _figure("attach/detach cycles", rate, "cycles/s", ">= 10,000", reached=rate >= 10_000, runs=runs,
                note="64 at a time over one connection"),
    ]  # fmt: skip


async def _reattach_s(connection: AsyncConnection, session: str) -> float:
    reader = connection.open_reader(window_bytes=1 << 16)
    began = time.perf_counter()
    await invoke(connection, SessionsApi.attach, session, reader.stream_id)
    reader.start(0)
    took = time.perf_counter() - began
    await invoke(connection, SessionsApi.detach, session)
    reader.close()
    return took


async def _cycles_per_s(connection: AsyncConnection, ids: list[str], cycles: int) -> float:
    async def client(number: int) -> None:
        for place in range(number, cycles, 64):
            session = ids[place % len(ids)]
            reader = connection.open_reader(window_bytes=1 << 16)
            await invoke(connection, SessionsApi.attach, session, reader.stream_id)
            reader.start(0)
            await invoke(connection, SessionsApi.detach, session)
            reader.close()

    began = time.perf_counter()
    await asyncio.gather(*map(client, range(64)))
    return cycles / (time.perf_counter() - began)


if __name__ == "__main__":
    uvloop.run(listen(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
