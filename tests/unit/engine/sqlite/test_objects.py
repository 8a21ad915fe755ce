from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from holdfast.engine.base import Blob
from holdfast.engine.sqlite import SqliteEngine
from holdfast.engine.sqlite.database import FILE_NAME
from holdfast.engine.sqlite.objects import place_of
from holdfast.errors import CorruptionError, LimitExceeded
from holdfast.limits import LIMITS

TINY = LIMITS._replace(blob_part_bytes=100)
LARGE = bytes(range(250)) * 3


def blob(data: bytes) -> Blob:
    return Blob(sha256(data).digest(), data)


def change(directory: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(directory / FILE_NAME)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_places_sort_as_digests_do() -> None:
    digests = [bytes(32), bytes([127] * 32), bytes([128] + [0] * 31), bytes([255] * 32)]
    places = [place_of(digest) for digest in digests]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (-(1 << 63), (1 << 63) - 1)


def test_two_blobs_in_one_place_are_told_apart(tmp_path: Path) -> None:
    async def main() -> None:
        engine = SqliteEngine(tmp_path)
        await engine.start()
        one, two = blob(b"one"), blob(b"two")
        await engine.blobs.put_many([one, two])
        await engine.stop()
        change(tmp_path, "UPDATE blob SET place = ? WHERE digest = ?", place_of(one.digest), two.digest)
        await engine.start()
        assert await engine.blobs.get_many([one.digest]) == [b"one"]
        assert await engine.blobs.put_many([one]) == [False]
        assert await engine.blobs.get(one.digest, 1, 1) == b"n"
        assert await engine.blobs.delete(one.digest) is True
        assert await engine.blobs.stat_many([one.digest]) == [None]
        assert [stat.digest for stat in await engine.blobs.list()] == [two.digest]
        await engine.stop()

    asyncio.run(main())


def test_an_upload_that_died_with_its_process_is_forgotten_by_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        engine = SqliteEngine(tmp_path, limits=TINY)
        await engine.start()
        waiting = asyncio.Event()

        async def parts() -> AsyncIterator[bytes]:
            yield LARGE[:500]
            waiting.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(engine.blobs.put(blob(LARGE).digest, parts()))
        await waiting.wait()
        await engine.stop()
        task.cancel()
        await asyncio.wait([task])
        connection = sqlite3.connect(tmp_path / FILE_NAME)
        assert connection.execute("SELECT count(*) FROM blob_part").fetchone() == (5,)
        connection.close()
        await engine.start()
        assert await engine.blobs.list() == []
        await engine.stop()
        connection = sqlite3.connect(tmp_path / FILE_NAME)
        assert connection.execute("SELECT count(*) FROM blob_part").fetchone() == (0,)
        connection.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE blob_part SET data = zeroblob(length(data)) WHERE part = 2",
        "DELETE FROM blob_part WHERE part = 2",
        "UPDATE blob_part SET part = part + 10 WHERE part = 2",
    ],
)
def test_damage_shows_where_it_is_read_and_nowhere_else(tmp_path: Path, damage: str) -> None:
    async def main() -> None:
        engine = SqliteEngine(tmp_path, limits=TINY)
        await engine.start()
        large, small = blob(LARGE), blob(b"small")
        await engine.blobs.put_many([large, small])
        await engine.stop()
        change(tmp_path, damage)
        await engine.start()
        assert await engine.blobs.get(large.digest, 0, 200) == LARGE[:200]
        for at in ((150, 100), (200, 1), (0, None)):
            with pytest.raises(CorruptionError, match=large.digest.hex()):
                await engine.blobs.get(large.digest, *at)
        damaged, whole = await engine.blobs.get_many([large.digest, small.digest])
        assert isinstance(damaged, CorruptionError)
        assert whole == b"small"
        await engine.stop()

    asyncio.run(main())


def test_checking_names_what_is_damaged(tmp_path: Path) -> None:
    async def main() -> None:
        engine = SqliteEngine(tmp_path, limits=TINY)
        await engine.start()
        large, small = blob(LARGE), blob(b"small")
        await engine.blobs.put_many([large, small])
        assert await engine.check() == []
        await engine.stop()
        change(tmp_path, "UPDATE blob_part SET data = zeroblob(length(data)) WHERE part = 1")
        change(tmp_path, "UPDATE blob SET data = x'00' WHERE data IS NOT NULL")
        await engine.start()
        assert sorted(await engine.check()) == sorted(
            [
                f"blob {small.digest.hex()}: the digest does not match",
                f"blob {large.digest.hex()}, part 1: the checksum does not match",
            ]
        )
        await engine.stop()

    asyncio.run(main())


def test_what_waits_to_be_stored_is_bounded(tmp_path: Path) -> None:
    limits = LIMITS._replace(engine_pending_bytes_max=1_000)

    async def main() -> None:
        engine = SqliteEngine(tmp_path, limits=limits)
        await engine.start()
        tasks = [asyncio.create_task(engine.blobs.put_many([blob(b"%d" % n * 600)])) for n in range(3)]
        await asyncio.wait(tasks)
        errors = [task.exception() for task in tasks if task.exception() is not None]
        assert len(errors) == 2
        for error in errors:
            assert isinstance(error, LimitExceeded)
            assert error.name == "engine_pending_bytes_max"
        assert await engine.blobs.put_many([blob(b"1" * 600)]) == [True]
        await engine.stop()

    asyncio.run(main())
