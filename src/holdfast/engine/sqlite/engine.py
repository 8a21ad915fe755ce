"""The embedded engine's outside."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ...errors import ClosedError, StorageError
from ...limits import LIMITS, Limits
from ..blobs import Blobs
from ..bus import LocalBus
from ..faces import Faces
from ..histogram import Histogram
from ..logs import Logs
from ..values import Values
from .copies import backup, check
from .reader import Reader
from .store import SqliteStore
from .writer import Writer

Result = TypeVar("Result")


class SqliteEngine(Faces):
    """Logs, keys and blobs in one directory, in one SQLite database.

    What the ack levels mean here, each tested by cutting the power under it:

    * ``disk``: the commit it is part of was fsynced into the write-ahead log (``synchronous = FULL``).
    * ``os``: the commit was written into the write-ahead log and not fsynced (``synchronous = NORMAL``): the
      death of the process loses nothing; a power cut may lose the newest commits, never one from the middle.
    * ``memory``: it is in the queue for the next commit, and readers of this node see it.

    What shares a commit with a ``disk`` append is fsynced with it.  A log's appends become visible in order,
    so one with a lower level waits for those before it.

    If a commit fails, all appends and changes in it do, with StorageError, and nothing of them is stored; so do
    appends already queued behind them on the same logs.  The logs then go on from their last stored position.
    If it failed because an fsync did, nothing more is stored until a restart, since what the system still holds
    then is unknown; reading goes on.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, max_bytes: int | None = None, limits: Limits = LIMITS
    ) -> None:
        """``max_bytes`` bounds the database file; beyond it appends fail as on a full disk."""
        super().__init__()
        self._directory = os.fspath(directory)
        self._max_bytes = max_bytes
        self._limits = limits
        self._store: SqliteStore | None = None

    @property
    def commit_s(self) -> Histogram:
        """How long commits took, since :meth:`start`; ClosedError before and after :meth:`stop`."""
        return self._running().writer.commit_s

    async def start(self) -> None:
        """Open it, making directory and database if need be.

        BusyError(holder="pid N") if another engine has the directory; StorageError naming the path if it cannot
        be used, or was written by a newer release; CorruptionError if it is damaged.
        """
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self._directory}: cannot be made: {error.strerror}") from error
        store = SqliteStore()
        store.reader = Reader(self._directory)
        store.writer = Writer(self._directory, self._limits, self._max_bytes, store.settle, store.reader.post)
        store.submit = store.writer.submit
        opened = await store.writer.start()
        store.reader.start()
        store.logs = Logs(store, opened.states, limits=self._limits)
        values, blobs = Values(store, opened.revision), Blobs(store, limits=self._limits)
        self._show(store.logs, values, blobs, LocalBus(limits=self._limits))
        self._store = store

    async def stop(self) -> None:
        """Make all durable and let go; idempotent.  Waiting appends finish first."""
        store, self._store = self._store, None
        if store is None:
            return
        self._hide()
        store.reader.stop()
        await store.writer.stop()

    async def probe(self) -> None:
        """Prove that it can be written right now, by a small durable commit; StorageError if not."""
        await self._running().writer.probe()

    async def quiesce(self) -> None:
        """Wait until all that was asked is done, and all that follows from it (merging, giving back room) too."""
        await self._running().writer.quiesce()

    async def check(self) -> list[str]:
        """Read all there is and name what is wrong with it; [] if nothing is.  Takes long; nothing else waits."""
        return await self._aside(check)

    async def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the database as of now to ``path``, durably, while all goes on.

        The copy is an engine's directory of its own: restoring is putting it in the place of the lost one.
        AlreadyExists if there is something at ``path``; StorageError if it cannot be written.
        """
        await self._aside(partial(backup, path=os.fspath(path)))

    async def _aside(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do long reading on a thread of its own, which ends with it."""
        self._running()
        reader = Reader(self._directory)
        reader.start()
        try:
            return await reader.call(work)
        finally:
            reader.finish()

    def _running(self) -> SqliteStore:
        if self._store is None:
            raise ClosedError("the engine is not running")
        return self._store
