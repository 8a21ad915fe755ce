"""Checking a database and copying it, on a reading connection, while the writer goes on."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from zlib import crc32

from ...errors import AlreadyExists, StorageError
from .database import path_in, sync_directory


def check(connection: sqlite3.Connection) -> list[str]:
    """What is wrong: by SQLite's own check, by the checksums, and by the positions of each log."""
    connection.execute("BEGIN")
    try:
        wrong = [line for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
        return wrong or list(_check_logs(connection))
    except sqlite3.DatabaseError as error:
        return [str(error)]
    finally:
        connection.execute("ROLLBACK")


def _check_logs(connection: sqlite3.Connection) -> Iterator[str]:
    oldest = dict(connection.execute("SELECT id, oldest FROM log WHERE name IS NOT NULL"))
    names = dict(connection.execute("SELECT id, name FROM log WHERE name IS NOT NULL"))
    ends: dict[int, int] = {}
    for log, position, length, crc, data in connection.execute(
        "SELECT log, position, length, crc, data FROM run ORDER BY log, position"
    ):
        if log not in names:
            continue
        where = f"log {names[log]!r}, position {position}"
        if position != ends.get(log, position) or (log not in ends and position > oldest[log]):
            yield f"{where}: follows {ends.get(log, oldest[log])}"
        if crc32(data or b"") != crc:
            yield f"{where}: the checksum does not match"
        ends[log] = position + length
    for log, end in ends.items():
        if end < oldest[log]:
            yield f"log {names[log]!r}: ends at {end}, before its oldest position {oldest[log]}"


def backup(connection: sqlite3.Connection, path: str) -> None:
    """Write a copy, as of now, as the database of a new engine directory ``path``."""
    try:
        os.mkdir(path, mode=0o700)
    except FileExistsError:
        raise AlreadyExists(f"{path}: exists already", kind="directory", name=path) from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be made: {error.strerror}") from error
    copy = sqlite3.connect(path_in(path))
    try:
        copy.execute("PRAGMA synchronous = FULL")
        connection.backup(copy)
    finally:
        copy.close()
    sync_directory(path)
    sync_directory(os.path.dirname(os.path.abspath(path)))
