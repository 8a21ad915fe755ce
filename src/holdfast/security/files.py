"""Files that hold secrets: the owner's alone from their first moment, whole or not there."""

from __future__ import annotations

import contextlib
import os
import stat

from ..errors import StorageError


def write_private(path: str, data: bytes) -> None:
    """Put ``data`` at ``path``, mode 0600, durably and at once.  StorageError if that fails.  Blocks."""
    fresh = f"{path}.new"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.rename(fresh, path)
        _sync_directory(os.path.dirname(path))
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def read_private(path: str) -> bytes:
    """What ``path`` holds; StorageError if others may read it or it cannot be read.  FileNotFoundError passes."""
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise StorageError(f"{path} is not a secret any more: others may read it (mode {mode:04o})")
            return file.read()
    except (FileNotFoundError, StorageError):
        raise
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
