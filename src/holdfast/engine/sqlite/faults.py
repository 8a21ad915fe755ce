"""What SQLite's errors mean for an operator."""

from __future__ import annotations

import sqlite3

from ...errors import CorruptionError, StorageError

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_IO = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 if the error is not from SQLite itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_full(error: sqlite3.Error) -> bool:
    """Whether there was no room."""
    return code_of(error) == sqlite3.SQLITE_FULL


def is_lost_sync(error: sqlite3.Error) -> bool:
    """Whether the disk did not take what it had accepted.

    What the kernel held may be gone and a second fsync would not say so: nothing may be acknowledged on top
    of it until the files were read again, that is, until a restart.
    """
    code = int(getattr(error, "sqlite_errorcode", 0))
    return code in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)


def storage_error(error: sqlite3.Error, directory: str) -> StorageError:
    """``error`` as an operator should read it."""
    if is_full(error):
        return StorageError(
            f"{directory}: no room left (the disk is full, or max_bytes is reached); make room, nothing that was "
            "stored is affected"
        )
    if code_of(error) in _CORRUPT:
        return CorruptionError(f"{directory}: {error}", where=directory, expected="a database", got=str(error))
    name = getattr(error, "sqlite_errorname", "")
    return StorageError(f"{directory}: {error}" + (f" ({name})" if name else ""))
