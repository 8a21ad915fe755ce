from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from holdfast.engine.sqlite import faults
from holdfast.errors import CorruptionError, StorageError


def fault(code: int, name: str = "SQLITE_X") -> sqlite3.Error:
    error = sqlite3.OperationalError("text")
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


def test_full() -> None:
    assert faults.is_full(fault(sqlite3.SQLITE_FULL))
    assert "/data: no room left" in str(faults.storage_error(fault(sqlite3.SQLITE_FULL), "/data"))


def test_damaged() -> None:
    for code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT_INDEX):
        error = faults.storage_error(fault(code), "/data")
        assert isinstance(error, CorruptionError)
        assert error.where == "/data"


def test_a_lost_sync() -> None:
    assert faults.is_lost_sync(fault(sqlite3.SQLITE_IOERR_FSYNC))
    assert not faults.is_lost_sync(fault(sqlite3.SQLITE_IOERR_WRITE))


def test_the_rest_is_named(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error) as caught:
        sqlite3.connect(tmp_path / "missing" / "file")
    error = faults.storage_error(caught.value, "/data")
    assert type(error) is StorageError
    assert str(error) == "/data: unable to open database file (SQLITE_CANTOPEN)"
    assert faults.code_of(sqlite3.InterfaceError("ours")) == 0
