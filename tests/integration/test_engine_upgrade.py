"""Databases of older releases: opened, brought forward, and used as if they had always been ours."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from holdfast.engine.base import Entry, Hole, Producer, Run
from holdfast.engine.contract.support import payload, read_all
from holdfast.engine.sqlite import SqliteEngine
from holdfast.engine.sqlite.database import FILE_NAME
from holdfast.engine.sqlite.schema import APPLICATION_ID, MIGRATIONS

VERSION_1 = """
    CREATE TABLE log (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT UNIQUE,
        mode INTEGER NOT NULL,
        oldest INTEGER NOT NULL,
        closed INTEGER NOT NULL DEFAULT 0,
        dead_bytes INTEGER NOT NULL DEFAULT 0,
        hole_bytes INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        log INTEGER NOT NULL,
        position INTEGER NOT NULL,
        length INTEGER NOT NULL,
        size INTEGER NOT NULL,
        form INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        data BLOB
    );
    CREATE UNIQUE INDEX run_place ON run (log, position, length, size, form);
    CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL);
    CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
    INSERT INTO counter VALUES ('revision', 7), ('probe', 3);
    INSERT INTO kv VALUES ('k', x'76', 7);
"""
"""The schema as version 1 had it, kept here as it was; ``schema.MIGRATIONS`` may change its comments."""

LOGS = [
    (1, "bytes", 0, 4, 0, 4, 0),
    (2, "entries", 1, 1, 0, 0, 0),
    (3, "closed", 0, 0, 1, 0, 0),
    (4, "empty", 1, 1, 0, 0, 0),
    (5, "all trimmed", 1, 9, 0, 0, 0),
    (6, None, 0, 0, 0, 0, 0),
]
RUNS: Sequence[tuple[int, int, int, int, int, bytes | None]] = [
    (1, 0, 6, 6, 0, b"abcdef"),
    (1, 6, 10, 0, -1, None),
    (1, 16, 3, 3, 16, b"\2\0\0\0\1\0\0\0\2\0\0\0\0\1ghi"),
    (2, 1, 2, 7, 3, b"\2\0\0\0\3\0\0\0\4\0\0\0onemore"),
    (3, 0, 4, 4, 0, b"last"),
    (6, 0, 4, 4, 0, b"dead"),
]


def write_version_1(directory: Path) -> None:
    """A database as version 1 left it: trimmed, closed, empty and deleted logs, holes, tags, entries, a key."""
    directory.mkdir()
    connection = sqlite3.connect(directory / FILE_NAME)
    connection.execute("PRAGMA page_size = 16384")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_1)
    connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)", LOGS)
    connection.executemany(
        "INSERT INTO run (log, position, length, size, form, crc, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(*run[:5], crc32(run[5] or b""), run[5]) for run in RUNS],
    )
    connection.execute("PRAGMA user_version = 1")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.commit()
    connection.close()


def version_of(directory: Path) -> int:
    connection = sqlite3.connect(directory / FILE_NAME)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


async def look(engine: SqliteEngine) -> None:
    """All that version 1 stored."""
    assert await engine.check() == []
    stats = {stat.name: stat for stat in await engine.log.list()}
    assert sorted(stats) == ["all trimmed", "bytes", "closed", "empty", "entries"]
    assert {name: (stat.mode, stat.oldest, stat.tail, stat.stored_bytes) for name, stat in stats.items()} == {
        "bytes": ("bytes", 4, 19, 5),
        "entries": ("entries", 1, 3, 7),
        "closed": ("bytes", 0, 4, 4),
        "empty": ("entries", 1, 1, 0),
        "all trimmed": ("entries", 9, 9, 0),
    }
    assert [stat.meta for stat in stats.values()] == [b""] * 5
    assert [name for name, stat in stats.items() if stat.closed] == ["closed"]
    assert stats["bytes"].hole_bytes == 10
    assert await engine.log.read("bytes", 4) == [Run(4, b"ef"), Hole(6, 10), Run(16, b"g"), Run(17, b"hi", 1)]
    assert await engine.log.read("entries", 1) == [Entry(1, b"one", 3), Entry(2, b"more", 3)]
    assert payload(await read_all(engine.log, "closed", 0)) == b"last"
    item = await engine.kv.get("k")
    assert item is not None
    assert (item.value, item.revision) == (b"v", 7)


async def use(engine: SqliteEngine) -> None:
    """What version 1 could not do, with what it stored."""
    assert await engine.kv.put("k", b"w") == 8
    await engine.log.annotate("closed", b"noted")
    assert (await engine.log.fork("bytes fork", "bytes", 17)).stored_bytes == 3
    assert (await engine.log.fork("entries fork", "entries", 2)).stored_bytes == 3
    producer = Producer("p", 0, 0)
    assert await engine.log.append("entries fork", [b"new"], producer=producer, meta=b"m", close=True) == 3
    assert await engine.log.append("all trimmed", [b"x"]) == 10
    for name in ("bytes", "entries"):
        await engine.log.delete(name)
    await engine.quiesce()


async def look_again(engine: SqliteEngine) -> None:
    assert await engine.check() == []
    assert await engine.log.read("bytes fork", 4) == [Run(4, b"ef"), Hole(6, 10), Run(16, b"g")]
    assert await read_all(engine.log, "entries fork", 1) == [Entry(1, b"one", 3), Entry(2, b"new")]
    assert await engine.log.producer("entries fork", "p") == Producer("p", 0, 0)
    assert (await engine.log.stat("closed")).meta == b"noted"
    assert (await engine.log.stat("all trimmed")).tail == 10


def test_from_version_1(tmp_path: Path) -> None:
    directory = tmp_path / "engine"
    write_version_1(directory)
    assert version_of(directory) == 1

    async def main() -> None:
        for lives in ((look,), (look, use), (look_again,)):
            engine = SqliteEngine(directory)
            await engine.start()
            try:
                for life in lives:
                    await life(engine)
            finally:
                await engine.stop()

    asyncio.run(main())
    assert version_of(directory) == len(MIGRATIONS)


def test_a_first_step_is_what_version_1_was(tmp_path: Path) -> None:
    """What is tested above is what was released."""
    old, new = sqlite3.connect(tmp_path / "old"), sqlite3.connect(tmp_path / "new")
    old.executescript(VERSION_1)
    new.executescript(MIGRATIONS[0])
    for table in ("log", "run", "kv", "counter"):
        columns = f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table}')"
        assert old.execute(columns).fetchall() == new.execute(columns).fetchall()
    old.close()
    new.close()
