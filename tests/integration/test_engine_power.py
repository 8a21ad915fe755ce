"""Power cuts: the database files as a cut may have left them at any write, opened again.

Every write and fsync of a run is remembered; from that the files of any moment are made, with all, some or none of the
sectors written since the last fsync, and the engine is started on them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from holdfast.engine.base import Engine, Entry, Producer
from holdfast.engine.contract.faulty_disk import FaultyDisk
from holdfast.engine.contract.power_cuts import power_cuts, record
from holdfast.engine.contract.support import payload, read_all
from holdfast.engine.sqlite import SqliteEngine
from holdfast.errors import StorageError
from holdfast.limits import LIMITS

TINY = LIMITS._replace(row_bytes=2_000, merge_rows=3, merge_bytes=1_000, wal_bytes=150_000, commit_bytes_max=50_000)


class Known(NamedTuple):
    """What a caller was told: at least this must be there."""

    kind: str
    name: str
    value: int


def data_of(name: str, low: int, high: int) -> bytes:
    """What the log ``name`` holds from ``low`` to ``high``: known from the position alone."""
    salt = sum(name.encode())
    return bytes((salt + place * 7 + place // 251) % 256 for place in range(low, high))


NOTED_BYTES = 10
"""Payload of each append to the log ``noted``: its tail, its meta and its producer's sequence say the same."""


async def work(engine: Engine, disk: FaultyDisk, random: Random, rounds: int) -> None:
    """Appends, trims, forks, deletions and keys, with a mark for all that was acknowledged."""
    log = engine.log
    await log.create("noted", meta=b"0")
    disk.mark(Known("tail", "noted", 0))
    forks: dict[str, int] = {}
    for name in ("a", "b"):
        await log.create(name)
        disk.mark(Known("tail", name, 0))
    await log.create("e", mode="entries")
    disk.mark(Known("tail", "e", 1))
    tails = {"a": 0, "b": 0, "e": 1}

    async def append(name: str, size: int) -> None:
        low = tails[name]
        if name == "e":
            tails[name] = high = low + size % 5 + 1
            batch = [data_of("e", place, place + size % 100) for place in range(low, high)]
            end = await log.append(name, batch, tag=size % 3)
        else:
            tails[name] = low + size
            end = await log.append(name, data_of(name, low, low + size), tag=size % 2)
        disk.mark(Known("tail", name, end))

    for number in range(rounds):
        sizes = [(random.choice("abe"), random.choice([1, 30, 900, 9_000])) for _ in range(random.randrange(1, 5))]
        await asyncio.gather(*(append(name, size) for name, size in sizes))
        if random.random() < 0.2:
            name = random.choice("abe")
            oldest = (await log.stat(name)).oldest
            position = random.randrange(oldest, tails[name] + 1)
            await log.trim(name, position)
            disk.mark(Known("oldest", name, position))
        if random.random() < 0.5:
            low = (await log.stat("noted")).tail
            producer = Producer("p", 0, low // NOTED_BYTES)
            data = data_of("noted", low, low + NOTED_BYTES)
            end = await log.append("noted", data, meta=b"%d" % (low + NOTED_BYTES), producer=producer)
            disk.mark(Known("tail", "noted", end))
        if random.random() < 0.3:
            await fork(engine, disk, random, forks, number)
        if random.random() < 0.3:
            await engine.kv.put("round", b"%d" % number)
            disk.mark(Known("round", "", number))


async def fork(engine: Engine, disk: FaultyDisk, random: Random, forks: dict[str, int], number: int) -> None:
    """Fork the log ``a`` or a fork of it, append to the fork, delete an older one."""
    log = engine.log
    source = random.choice(["a", *forks])
    stat = await log.stat(source)
    name, position = f"a fork {number}", random.randrange(stat.oldest, stat.tail + 1)
    disk.mark(Known("forking", name, 0))
    await log.fork(name, source, position)
    disk.mark(Known("tail", name, position))
    end = await log.append(name, data_of("a", position, position + 500), ack="os")
    forks[name] = end
    if len(forks) > 3:
        oldest = next(iter(forks))
        disk.mark(Known("deleting", oldest, 0))
        await log.delete(oldest)
        del forks[oldest]


async def verify(directory: Path, known: list[Known]) -> None:
    """Open what the cut left: all that was acknowledged is there, and all that is there is right.

    What came with an append is there if and only if the append is.
    """
    engine = SqliteEngine(directory)
    await engine.start()
    try:
        assert await engine.check() == []
        stats = {stat.name: stat for stat in await engine.log.list()}
        leaving = {name for kind, name, _ in known if kind == "deleting"}
        for kind, name, value in known:
            if name in leaving and name not in stats:
                continue
            if kind == "tail":
                assert stats[name].tail >= value, f"log {name}: acknowledged up to {value}"
            elif kind == "oldest":
                assert stats[name].oldest >= value
            elif kind == "round":
                item = await engine.kv.get("round")
                assert item is not None and int(item.value) >= value
        for stat in stats.values():
            pieces = await read_all(engine.log, stat.name, stat.oldest)
            assert not pieces or pieces[-1].end == stat.tail
            if stat.mode == "bytes":
                assert payload(pieces) == data_of(stat.name.split()[0], stat.oldest, stat.tail)
                assert stat.stored_bytes == stat.tail - stat.oldest
            if stat.name == "noted":
                producer = await engine.log.producer("noted", "p")
                count = 0 if producer is None else producer.sequence + 1
                assert stat.meta == b"%d" % stat.tail
                assert stat.tail == count * NOTED_BYTES
            for piece in pieces:
                if isinstance(piece, Entry):
                    assert piece.data == data_of("e", piece.position, piece.position + len(piece.data))
        await engine.log.create("after")
        assert await engine.log.append("after", b"goes on") == 7
    finally:
        await engine.stop()


@pytest.mark.parametrize("seed", range(3))
def test_what_was_acknowledged_survives_a_cut_at_any_write(seed: int, tmp_path: Path) -> None:
    random = Random(seed)

    async def run(disk: FaultyDisk) -> None:
        engine = SqliteEngine(tmp_path / "engine", limits=TINY)
        await engine.start()
        await work(engine, disk, random, 60)
        await engine.stop()

    disk = record(run)
    kinds = [event.kind for event in disk.events]
    assert kinds.count("sync") > 60
    assert any(event.file == "holdfast.db" for event in disk.events[kinds.index("mark") :]), "there were checkpoints"
    for image, known in power_cuts(disk, tmp_path, random, anywhere=30, near=15):
        asyncio.run(verify(image, known))


def test_what_ack_os_means(tmp_path: Path) -> None:
    """A cut may take the newest of it, never from the middle; a later ``disk`` append makes all before it safe."""

    async def run(disk: FaultyDisk) -> None:
        engine = SqliteEngine(tmp_path / "engine")
        await engine.start()
        await engine.log.create("a")
        disk.mark(Known("tail", "a", 0))
        for end in range(100, 1100, 100):
            assert await engine.log.append("a", data_of("a", end - 100, end), ack="os") == end
            disk.mark(end)
        await engine.log.append("a", data_of("a", 1000, 1010))
        disk.mark(Known("tail", "a", 1010))
        await engine.stop()

    disk = record(run)
    moment = max(place for place, event in enumerate(disk.events) if event.mark == 1000) + 1
    tails = set()
    for seed in range(12):
        image = tmp_path / f"image {seed}"
        disk.image(moment, str(image), Random(seed))
        asyncio.run(verify(image, [known for known in disk.marks(moment) if isinstance(known, Known)]))
        tails.add(asyncio.run(tail_of(image)))
    assert len(tails) > 1, "nothing was ever lost: these images prove nothing"
    moment = max(place for place, event in enumerate(disk.events) if event.kind == "mark") + 1
    disk.image(moment, str(tmp_path / "last"), Random(0))
    asyncio.run(verify(tmp_path / "last", [Known("tail", "a", 1010)]))


async def tail_of(directory: Path) -> int:
    """The tail of the log ``a`` in an engine's directory."""
    engine = SqliteEngine(directory)
    await engine.start()
    tail = (await engine.log.stat("a")).tail
    await engine.stop()
    return tail


def test_after_a_failed_fsync_nothing_more_is_acknowledged(tmp_path: Path) -> None:
    """What the kernel still holds is unknown then, and asking it again would not tell."""

    async def run(disk: FaultyDisk) -> None:
        engine = SqliteEngine(tmp_path / "engine")
        await engine.start()
        await engine.log.create("a")
        await engine.log.append("a", b"safe")
        disk.sync_error = sqlite3.SQLITE_IOERR_FSYNC
        with pytest.raises(StorageError):
            await engine.log.append("a", b"lost")
        disk.sync_error = 0
        with pytest.raises(StorageError, match="restart"):
            await engine.log.append("a", b"late")
        with pytest.raises(StorageError, match="restart"):
            await engine.probe()
        assert payload(await engine.log.read("a", 0)) == b"safe"
        await engine.stop()
        engine = SqliteEngine(tmp_path / "engine")
        await engine.start()
        assert await engine.log.append("a", b"!", expected_tail=4) == 5
        await engine.stop()

    record(run)


def test_a_disk_that_is_full_for_a_while(tmp_path: Path) -> None:
    async def run(disk: FaultyDisk) -> None:
        engine = SqliteEngine(tmp_path / "engine")
        await engine.start()
        await engine.log.create("a")
        await engine.log.append("a", b"before ")
        disk.write_error = sqlite3.SQLITE_FULL
        follower = engine.log.follow("a", 0)
        assert payload(await follower.__anext__()) == b"before "
        shown = engine.log.append("a", b"shown and lost", ack="memory")
        assert await shown == 21
        assert payload(await follower.__anext__()) == b"shown and lost"
        for _ in range(2):
            with pytest.raises(StorageError, match=str(tmp_path)):
                await engine.log.append("a", b"lost")
        with pytest.raises(StorageError, match="room"):
            await engine.kv.put("k", b"lost")
        with pytest.raises(StorageError):
            await engine.probe()
        disk.write_error = 0
        with pytest.raises(StorageError, match="position 7"):
            await follower.__anext__()
        assert await engine.log.append("a", b"after", expected_tail=7) == 12
        assert payload(await engine.log.read("a", 0)) == b"before after"
        await engine.stop()

    record(run)
