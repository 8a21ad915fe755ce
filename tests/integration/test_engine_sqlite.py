"""The SQLite engine and the machine: its directory, its lock, its file, and what is done when nobody waits."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from holdfast.engine.base import Hole, Run
from holdfast.engine.contract.support import payload, read_all
from holdfast.engine.sqlite import SqliteEngine
from holdfast.engine.sqlite.database import FILE_NAME
from holdfast.engine.sqlite.schema import MIGRATIONS, PAGE_BYTES
from holdfast.errors import AlreadyExists, BusyError, ClosedError, CorruptionError, StorageError
from holdfast.limits import LIMITS, MIB

TINY = LIMITS._replace(
    row_bytes=4_000, merge_rows=4, merge_bytes=2_000, wal_bytes=200_000, engine_cache_bytes=0, log_cache_bytes=0
)


def on_engine(engine: SqliteEngine, test: Callable[[SqliteEngine], Awaitable[None]]) -> None:
    """Run ``test`` on the started engine."""

    async def main() -> None:
        await engine.start()
        try:
            await test(engine)
        finally:
            await engine.stop()

    asyncio.run(main())


def rows_in(directory: Path) -> list[tuple[int, int, int]]:
    """Position, length and size of all stored rows."""
    connection = sqlite3.connect(directory / FILE_NAME)
    try:
        return connection.execute("SELECT position, length, size FROM run ORDER BY log, position").fetchall()
    finally:
        connection.close()


def change(directory: Path, sql: str, *values: object) -> None:
    """Change the database behind the engine's back."""
    connection = sqlite3.connect(directory / FILE_NAME)
    connection.execute(sql, values)
    connection.commit()
    connection.close()


async def nothing(_engine: SqliteEngine) -> None:
    """Start and stop only."""


# what nobody waits for


def test_what_nobody_waits_for_is_stored_all_the_same(tmp_path: Path) -> None:
    async def test(engine: SqliteEngine) -> None:
        await engine.log.create("log", mode="entries")
        await engine.quiesce()
        for turn in range(1, 4):  # each finds the thread asleep
            for _ in range(5):
                await engine.log.append("log", [b"x"], ack="memory")
            while stored() < 5 * turn:
                await asyncio.sleep(0.001)
        await engine.log.append("log", [b"y"], ack="memory")
        await engine.log.append("log", [b"z"])
        assert stored() == 17

    def stored() -> int:
        return sum(length for _, length, _ in rows_in(tmp_path))

    on_engine(SqliteEngine(tmp_path), test)


# the directory


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    async def test(_engine: SqliteEngine) -> None:
        with pytest.raises(BusyError) as caught:
            await SqliteEngine(tmp_path).start()
        assert caught.value.holder == f"pid {os.getpid()}"

    on_engine(SqliteEngine(tmp_path), test)
    on_engine(SqliteEngine(tmp_path), nothing)


def test_another_process_is_an_owner_until_it_dies(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from holdfast.engine.sqlite import SqliteEngine\n"
        "async def main():\n"
        "    await SqliteEngine(sys.argv[1]).start()\n"
        "    print(flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline()
        with pytest.raises(BusyError, match="in use") as caught:
            asyncio.run(SqliteEngine(tmp_path).start())
        assert caught.value.holder == f"pid {owner.pid}"
        owner.kill()
    on_engine(SqliteEngine(tmp_path), nothing)


def test_a_stale_lock_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("pid 1\n")
    on_engine(SqliteEngine(tmp_path), nothing)


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match=str(path)):
            asyncio.run(SqliteEngine(path).start())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match=str(tmp_path)):
        asyncio.run(SqliteEngine(tmp_path).start())


def test_a_failed_start_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all" * 1000)
    for _ in range(2):
        with pytest.raises(CorruptionError, match=FILE_NAME):
            asyncio.run(SqliteEngine(tmp_path).start())
    (tmp_path / FILE_NAME).unlink()
    on_engine(SqliteEngine(tmp_path), nothing)


def test_before_the_start_and_after_the_end(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path)
    for _ in range(2):
        for use in (lambda: engine.log, lambda: engine.kv):
            with pytest.raises(ClosedError):
                use()
        with pytest.raises(ClosedError):
            asyncio.run(engine.probe())
        on_engine(engine, nothing)


# the schema


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    on_engine(SqliteEngine(tmp_path), nothing)
    change(tmp_path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StorageError, match="newer release"):
        asyncio.run(SqliteEngine(tmp_path).start())


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    change(tmp_path, "CREATE TABLE theirs (x)")
    with pytest.raises(StorageError, match="not one of Holdfast"):
        asyncio.run(SqliteEngine(tmp_path).start())


# damage


def _store_one(tmp_path: Path, mode_entries: bool) -> None:
    async def test(engine: SqliteEngine) -> None:
        if mode_entries:
            await engine.log.create("a", mode="entries")
            await engine.log.append("a", [b"one", b"two"])
        else:
            await engine.log.create("a")
            await engine.log.append("a", b"one two")

    on_engine(SqliteEngine(tmp_path), test)


@pytest.mark.parametrize("mode_entries", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE run SET data = CAST(substr(data, 1, length(data) - 1) || 'X' AS BLOB)",
        "UPDATE run SET crc = crc + 1",
        "UPDATE run SET data = NULL",
        "DELETE FROM run WHERE position < 3",
    ],
)
def test_damage_is_loud(tmp_path: Path, damage: str, mode_entries: bool) -> None:
    _store_one(tmp_path, mode_entries)

    async def spread(engine: SqliteEngine) -> None:
        await engine.log.append("a", [b"three"] if mode_entries else b"three")

    on_engine(SqliteEngine(tmp_path), spread)
    change(tmp_path, damage)

    async def test(engine: SqliteEngine) -> None:
        with pytest.raises(CorruptionError):
            await engine.log.read("a", 1)
        assert await engine.check() != []

    on_engine(SqliteEngine(tmp_path), test)


def test_a_damaged_page_is_loud(tmp_path: Path) -> None:
    async def fill(engine: SqliteEngine) -> None:
        await engine.log.create("a")
        await engine.log.append("a", bytes(2 * MIB))

    async def test(engine: SqliteEngine) -> None:
        with pytest.raises(CorruptionError):
            await read_all(engine.log, "a", 0)
        assert await engine.check() != []

    on_engine(SqliteEngine(tmp_path), fill)
    with open(tmp_path / FILE_NAME, "r+b") as file:
        file.seek(40 * PAGE_BYTES)
        file.write(b"\xff" * 3 * PAGE_BYTES)
    on_engine(SqliteEngine(tmp_path), test)


def test_nothing_is_wrong_with_a_good_one(tmp_path: Path) -> None:
    async def test(engine: SqliteEngine) -> None:
        await engine.log.create("a")
        await engine.log.append("a", b"x" * 10_000)
        await engine.log.skip("a", 10)
        await engine.log.trim("a", 5)
        assert await engine.check() == []

    on_engine(SqliteEngine(tmp_path), test)


# copies


def test_a_backup_while_all_goes_on(tmp_path: Path) -> None:
    async def test(engine: SqliteEngine) -> None:
        await engine.log.create("a")
        await engine.log.append("a", b"before")
        await engine.kv.put("k", b"v")
        copying = asyncio.create_task(engine.backup(tmp_path / "copy"))
        waits = [engine.log.append("a", b"x" * 1000) for _ in range(100)]
        await copying
        for wait in waits:
            await wait
        with pytest.raises(AlreadyExists):
            await engine.backup(tmp_path / "copy")
        with pytest.raises(StorageError, match="nowhere"):
            await engine.backup(tmp_path / "nowhere" / "copy")

    async def look(engine: SqliteEngine) -> None:
        assert await engine.check() == []
        assert (await engine.log.read("a", 0, max_bytes=6))[0] == Run(0, b"before")
        assert len(await engine.kv.list()) == 1
        await engine.log.append("a", b"goes on")

    on_engine(SqliteEngine(tmp_path / "engine"), test)
    on_engine(SqliteEngine(tmp_path / "copy"), look)


# what is done when nobody waits


def test_tiny_rows_are_merged(tmp_path: Path) -> None:
    async def test(engine: SqliteEngine) -> None:
        await engine.log.create("a")
        for number in range(200):
            await engine.log.append("a", bytes([number]) * 100, tag=number % 2)
        await engine.log.skip("a", 7)
        await engine.log.append("a", b"last")
        await engine.quiesce()
        pieces = await read_all(engine.log, "a", 0)
        assert payload(pieces) == b"".join(bytes([number]) * 100 for number in range(200)) + b"last"
        assert Hole(20_000, 7) in pieces
        assert [piece.tag for piece in pieces if isinstance(piece, Run)][:4] == [0, 1, 0, 1]

    on_engine(SqliteEngine(tmp_path, limits=TINY), test)
    assert len(rows_in(tmp_path)) < 20


def test_trimmed_rows_are_removed_and_the_file_shrinks(tmp_path: Path) -> None:
    async def test(engine: SqliteEngine) -> None:
        await engine.log.create("a")
        await engine.log.create("b")
        for _ in range(20):
            waits = [engine.log.append("a", bytes(MIB // 4)) for _ in range(4)]
            engine.log.append("b", b"between")
            for wait in waits:
                await wait
        await engine.log.trim("a", 20 * MIB - 10)
        await engine.quiesce()

    on_engine(SqliteEngine(tmp_path, limits=TINY), test)
    assert sum(size for _, _, size in rows_in(tmp_path)) < MIB
    assert (tmp_path / FILE_NAME).stat().st_size < 4 * MIB


def test_removing_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def fill(engine: SqliteEngine) -> None:
        for name in ("trimmed", "deleted"):
            await engine.log.create(name)
            await engine.log.append(name, bytes(MIB))
        await engine.log.trim("trimmed", MIB)

    async def look(engine: SqliteEngine) -> None:
        await engine.quiesce()
        assert [(stat.name, stat.oldest, stat.tail) for stat in await engine.log.list()] == [("trimmed", MIB, MIB)]
        assert await engine.log.append("trimmed", b"x") == MIB + 1

    on_engine(SqliteEngine(tmp_path), fill)
    change(tmp_path, "UPDATE log SET name = NULL WHERE name = 'deleted'")
    on_engine(SqliteEngine(tmp_path), look)
    assert rows_in(tmp_path) == [(MIB, 1, 1)]


def test_memory_is_bounded(tmp_path: Path) -> None:
    limits = LIMITS._replace(engine_cache_bytes=50_000, log_cache_bytes=20_000)

    async def test(engine: SqliteEngine) -> None:
        names = [f"log {number}" for number in range(20)]
        for name in names:
            await engine.log.create(name)
        for _ in range(10):
            for wait in [engine.log.append(name, bytes(1_000)) for name in names * 2]:
                await wait
        held = sum(state.cache.cost_bytes for state in engine.log.states())
        assert 0 < held <= 50_000
        for name in names:
            assert len(payload(await read_all(engine.log, name, 0))) == 20_000

    on_engine(SqliteEngine(tmp_path, limits=limits), test)


def test_the_package_stays_light(tmp_path: Path) -> None:
    """Importing the package does not import SQLite."""
    code = "import sys, holdfast.engine; sys.exit('sqlite3' in sys.modules or 'asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0
