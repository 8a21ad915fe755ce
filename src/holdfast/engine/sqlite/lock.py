"""One owner at a time for an engine's directory."""

from __future__ import annotations

import fcntl
import os

from ...errors import BusyError, StorageError


class DirectoryLock:
    """An flock on ``lock`` in the directory, held until :meth:`release` or the death of the process.

    A file left by a dead owner is no obstacle: what counts is the lock, the pid in it is for people.
    """

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, "lock")
        self._fd: int | None = None

    def acquire(self) -> None:
        """BusyError(holder="pid N") if another engine has the directory, StorageError if it cannot be used."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 64, 0).decode("ascii", "replace").strip() or "another process"
            os.close(fd)
            if isinstance(error, BlockingIOError):
                raise BusyError(f"{self._path}: the directory is in use by {holder}", holder=holder) from None
            raise StorageError(f"{self._path}: cannot be locked: {error.strerror}") from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"pid %d\n" % os.getpid(), 0)
        self._fd = fd

    def release(self) -> None:
        """Let go; idempotent."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None
