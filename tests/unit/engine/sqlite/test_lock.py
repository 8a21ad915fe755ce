from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.engine.sqlite.lock import DirectoryLock
from holdfast.errors import BusyError, StorageError


def test_one_at_a_time(tmp_path: Path) -> None:
    first, second = DirectoryLock(str(tmp_path)), DirectoryLock(str(tmp_path))
    first.acquire()
    with pytest.raises(BusyError) as caught:
        second.acquire()
    assert caught.value.holder == f"pid {os.getpid()}"
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        DirectoryLock(str(tmp_path / "missing")).acquire()
