"""SIGKILL of a process in the middle of appending: what it was told is stored is there, in order, and nothing half."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from holdfast.engine.contract.support import payload, read_all
from holdfast.engine.sqlite import SqliteEngine

CHILD = """
import asyncio, os, random, sys
from holdfast.engine.base import Producer
from holdfast.engine.sqlite import SqliteEngine
from holdfast.limits import LIMITS

TINY = LIMITS._replace(row_bytes=4_000, merge_rows=3, merge_bytes=2_000, wal_bytes=100_000)
directory, seed = sys.argv[1], int(sys.argv[2])
choose = random.Random(seed)

def data_of(low, high):
    return bytes((place * 7 + place // 251) % 256 for place in range(low, high))

async def main():
    engine = SqliteEngine(directory, limits=TINY)
    await engine.start()
    names = [stat.name for stat in await engine.log.list()]
    for name in ("disk", "os", "noted"):
        if name not in names:
            await engine.log.create(name, meta=b"0")
    known = await engine.log.producer("noted", "p")
    sequence = -1 if known is None else known.sequence
    low = (await engine.log.stat("disk")).tail, (await engine.log.stat("os")).tail
    tails = dict(zip(("disk", "os"), low))

    async def append(name):
        low = tails[name]
        tails[name] = high = low + choose.choice([1, 50, 3_000])
        end = await engine.log.append(name, data_of(low, high), ack=name)
        os.write(1, b"%s %d\\n" % (name.encode(), end))

    async def note():
        nonlocal sequence
        sequence += 1
        low = sequence * 10
        options = {"meta": b"%d" % (low + 10), "producer": Producer("p", 0, sequence)}
        waits = [engine.log.append("noted", data_of(low, low + 10), **options) for _ in range(2)]
        end, again = await asyncio.gather(*waits, return_exceptions=True)
        assert type(again).__name__ == "Duplicate", again
        os.write(1, b"noted %d\\n" % end)

    async def fork():
        for name in [stat.name for stat in await engine.log.list("fork ")][:-2]:
            await engine.log.delete(name)
        source = choose.choice([stat.name for stat in await engine.log.list() if stat.name != "noted"])
        stat = await engine.log.stat(source)
        position = choose.randrange(stat.oldest, stat.tail + 1)
        name = "fork %d" % choose.randrange(1 << 60)
        await engine.log.fork(name, source, position)
        await engine.log.append(name, data_of(position, position + 700))

    while True:
        if choose.random() < 0.3:
            await note()
        if choose.random() < 0.1:
            await fork()
        await asyncio.gather(*(append(choose.choice(["disk", "os"])) for _ in range(choose.randrange(1, 6))))
        if choose.random() < 0.1:
            oldest = (await engine.log.stat("os")).oldest
            await engine.log.trim("os", choose.randrange(oldest, tails["os"] + 1))

asyncio.run(main())
"""


def data_of(low: int, high: int) -> bytes:
    """What both logs hold from ``low`` to ``high``."""
    return bytes((place * 7 + place // 251) % 256 for place in range(low, high))


def kill_after(lines: int, directory: Path, seed: int) -> dict[str, int]:
    """Let a child append until it reported ``lines`` acknowledgements, kill it; gives the last one for each log."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(directory), str(seed)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    acknowledged: dict[str, int] = {}
    with child:
        for _ in range(lines):
            name, end = child.stdout.readline().decode().split()
            acknowledged[name] = int(end)
        os.kill(child.pid, signal.SIGKILL)
        for line in child.stdout.read().decode().splitlines(keepends=True):
            if line.endswith("\n"):
                name, end = line.split()
                acknowledged[name] = int(end)
    assert child.returncode == -signal.SIGKILL
    return acknowledged


async def verify(directory: Path, acknowledged: dict[str, int]) -> None:
    engine = SqliteEngine(directory)
    await engine.start()
    try:
        assert await engine.check() == []
        for name, end in acknowledged.items():
            assert (await engine.log.stat(name)).tail >= end
        for stat in await engine.log.list():
            pieces = await read_all(engine.log, stat.name, stat.oldest)
            assert payload(pieces) == data_of(stat.oldest, stat.tail)
            assert stat.stored_bytes == stat.tail - stat.oldest
            if stat.name == "noted":
                producer = await engine.log.producer("noted", "p")
                assert stat.tail == int(stat.meta) == (0 if producer is None else producer.sequence + 1) * 10
    finally:
        await engine.stop()


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    acknowledged: dict[str, int] = {}
    for number in range(3):
        acknowledged |= kill_after(random.randrange(1, 150), tmp_path, seed * 10 + number)
        asyncio.run(verify(tmp_path, acknowledged))
