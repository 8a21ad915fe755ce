"""One connection to the engine's database file, set up as the writer or the reader needs it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from ...errors import StorageError
from ...limits import Limits
from .faults import storage_error
from .schema import PAGE_BYTES, migrate

FILE_NAME = "holdfast.db"
_CACHE_KIB = 32 * 1024
_BUSY_MS = 5_000

Result = TypeVar("Result")


def path_in(directory: str) -> str:
    """The database file of the engine in ``directory``."""
    return os.path.join(directory, FILE_NAME)


def connect_reader(directory: str) -> sqlite3.Connection:
    """A connection that only reads; the writer's must have been opened before."""
    connection = sqlite3.connect(path_in(directory), isolation_level=None, timeout=_BUSY_MS / 1000)
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB // 4}")
    return connection


class Database:
    """The writer's connection.  To be used by the thread that opened it, and by no other."""

    def __init__(self, directory: str, limits: Limits, max_bytes: int | None = None) -> None:
        """Open it, bring its schema forward.  StorageError if that cannot be done, CorruptionError if it is damaged."""
        self.directory = directory
        path = path_in(directory)
        self.wal_path = path + "-wal"
        self._durable = True
        try:
            self.connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MS / 1000)
        except sqlite3.Error as error:
            raise storage_error(error, path) from error
        try:
            self._set_up(limits, max_bytes)
            migrate(self.connection, path)
        except sqlite3.Error as error:
            self.connection.close()
            raise storage_error(error, path) from error
        except StorageError:
            self.connection.close()
            raise
        sync_directory(directory)

    def _set_up(self, limits: Limits, max_bytes: int | None) -> None:
        execute = self.connection.execute
        execute(f"PRAGMA page_size = {PAGE_BYTES}")
        execute("PRAGMA auto_vacuum = INCREMENTAL")
        (mode,) = execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StorageError(f"{self.directory}: this file system cannot hold a write-ahead log (mode {mode})")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA wal_autocheckpoint = 0")  # maintenance does it, when no commit waits for it
        execute(f"PRAGMA journal_size_limit = {4 * limits.wal_bytes}")
        execute("PRAGMA secure_delete = OFF")  # some builds overwrite what they delete, twice the work of a trim
        execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if max_bytes is not None:
            execute(f"PRAGMA max_page_count = {max(max_bytes // PAGE_BYTES, 1)}")

    def transaction(self, work: Callable[[], Result], *, durable: bool) -> Result:
        """Do ``work`` as a whole or not at all.

        ``durable``: fsynced on return.  If not, it survives the death of the process but not a power cut, after
        which the database is as of an earlier commit; a durable transaction makes all before it durable too.
        """
        if durable != self._durable:
            self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        return result

    def close(self) -> None:
        """Move all into the main file, as far as possible, and let go."""
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:  # a full or failing disk: everything is safe in the write-ahead log
            pass
        finally:
            self.connection.close()


def sync_directory(directory: str) -> None:
    """Make the names of the files in ``directory`` durable."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
