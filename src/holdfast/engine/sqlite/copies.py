"""Checking a database and copying it, on a reading connection, while the writer goes on."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from zlib import crc32

from ...errors import AlreadyExists, StorageError
from ..checks import POSITION_MAX
from ..state import Share
from .database import path_in, sync_directory
from .objects import check_blobs
from .shares import Shares


def check(connection: sqlite3.Connection) -> list[str]:
    """What is wrong: by SQLite's own check, by the checksums, and by the positions of each log."""
    connection.execute("BEGIN")
    try:
        wrong = [line for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
        return wrong or [*_check_logs(connection), *check_blobs(connection)]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    finally:
        connection.execute("ROLLBACK")


def _check_logs(connection: sqlite3.Connection) -> Iterator[str]:
    shares = Shares(connection).load()
    owners = {share.owner for some in shares.values() for share in some}
    logs = {
        log: (name or f"deleted, {log}", name is not None, max(oldest, base))
        for log, name, oldest, base in connection.execute("SELECT id, name, oldest, base FROM log")
    }
    for log, position, crc, data in connection.execute(
        "SELECT log, position, crc, data FROM run ORDER BY log, position"
    ):
        if log in logs and (logs[log][1] or log in owners) and crc32(data or b"") != crc:
            yield f"log {logs[log][0]!r}, position {position}: the checksum does not match"
    for log, (name, alive, low) in logs.items():
        if alive:
            for share in (*shares.get(log, ()), Share(log, low, POSITION_MAX)):
                yield from _check_places(connection, name, share)


def _check_places(connection: sqlite3.Connection, name: str, share: Share) -> Iterator[str]:
    """Whether the rows from ``low`` on follow one another, up to ``high`` or to wherever the log ends."""
    at = share.low
    first = True
    for position, length in connection.execute(
        "SELECT position, length FROM run "
        "WHERE log = ?1 AND position < ?3 AND position + length > ?2 ORDER BY position",
        share,
    ):
        if position > at or (position < at and not first):
            yield f"log {name!r}, position {position}: follows {at}"
        at, first = position + length, False
    if at < share.high < POSITION_MAX:
        yield f"log {name!r}: ends at {at}, and not at {share.high}"


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
