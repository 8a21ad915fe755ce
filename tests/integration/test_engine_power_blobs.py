"""Power cuts while blobs are stored and removed: what was acknowledged is there, and what is there is whole."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from holdfast.engine.base import Blob
from holdfast.engine.contract.faulty_disk import FaultyDisk
from holdfast.engine.contract.power_cuts import power_cuts, record
from holdfast.engine.sqlite import SqliteEngine
from holdfast.limits import LIMITS

TINY = LIMITS._replace(wal_bytes=150_000, commit_bytes_max=50_000, blob_part_bytes=3_000)


class Stored(NamedTuple):
    """A blob that was acknowledged, or that is going to be removed."""

    digest: bytes
    going: bool = False


def blob_of(number: int) -> Blob:
    """Some are larger than a part."""
    data = (b"%d " % number) * (number % 7 * 500 + 1)
    return Blob(sha256(data).digest(), data, b"meta of %d" % number)


async def work(engine: SqliteEngine, disk: FaultyDisk, random: Random, rounds: int) -> None:
    """Puts and deletions, several at once, with a mark for all that was acknowledged."""
    kept: list[Blob] = []

    async def put(blobs: list[Blob]) -> None:
        await engine.blobs.put_many(blobs)
        for blob in blobs:
            disk.mark(Stored(blob.digest))
        kept.extend(blobs)

    for number in range(0, rounds * 9, 9):
        await asyncio.gather(*(put([blob_of(number + at + place) for place in range(3)]) for at in (0, 3, 6)))
        if random.random() < 0.4:
            gone = random.sample(kept, 4)
            for blob in gone:
                disk.mark(Stored(blob.digest, going=True))
                kept.remove(blob)
            await engine.blobs.delete_many([blob.digest for blob in gone])


async def verify(directory: Path, known: list[Stored]) -> None:
    """Open what the cut left."""
    engine = SqliteEngine(directory, limits=TINY)
    await engine.start()
    try:
        assert await engine.check() == []
        stats = await engine.blobs.list(limit=10_000)
        going = {mark.digest for mark in known if mark.going}
        assert {mark.digest for mark in known} - going <= {stat.digest for stat in stats}
        by_digest = {blob.digest: blob for blob in map(blob_of, range(1_000))}
        for stat in stats:
            blob = by_digest[stat.digest]
            assert (stat.size, stat.meta) == (len(blob.data), blob.meta)
            assert await engine.blobs.get(stat.digest) == blob.data
            if len(blob.data) > 5:
                assert await engine.blobs.get(stat.digest, 3, 2) == blob.data[3:5]
        assert await engine.blobs.put(sha256(b"after").digest(), b"after") is True
    finally:
        await engine.stop()


@pytest.mark.parametrize("seed", range(2))
def test_blobs_survive_a_cut_at_any_write(seed: int, tmp_path: Path) -> None:
    random = Random(seed)

    async def run(disk: FaultyDisk) -> None:
        engine = SqliteEngine(tmp_path / "engine", limits=TINY)
        await engine.start()
        await work(engine, disk, random, 40)
        await engine.stop()

    disk = record(run)
    for image, known in power_cuts(disk, tmp_path, random, anywhere=15, near=10):
        asyncio.run(verify(image, known))
