"""The thread that reads what is no longer in memory.

It is there so that a replay never waits for an fsync, nor the event loop for the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar
from zlib import crc32

from ...errors import HoldfastError, StorageError
from ..base import Hole, LogMode, Piece
from ..cutting import cut, damaged
from ..packing import HOLE, Row
from . import faults
from .database import connect_reader

Result = TypeVar("Result")
_Work = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any] | None"]


class Reader:
    """Runs functions on a reading connection, one after the other, on a thread of its own."""

    def __init__(self, directory: str) -> None:
        """The database must have been opened by the writer before the first :meth:`call`."""
        self._directory = directory
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="holdfast-reader", daemon=True)

    def start(self) -> None:
        """Begin; what was asked before is done first."""
        self._thread.start()

    def post(self, function: Callable[[sqlite3.Connection], None]) -> None:
        """Have ``function``, which raises nothing, run soon.  May be called from any thread."""
        self._queue.put((function, None))

    async def call(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        """``function``'s result; StorageError if SQLite fails."""
        future: asyncio.Future[Result] = self._loop.create_future()
        self._queue.put((function, future))
        return await future

    def finish(self) -> None:
        """Answer what was asked, then end; does not wait for it."""
        self._queue.put(None)

    def stop(self) -> None:
        """:meth:`finish`, and wait for it.  Blocks for as long as the running read takes."""
        self.finish()
        self._thread.join()

    def _main(self) -> None:
        connection = connect_reader(self._directory)
        try:
            while (work := self._queue.get()) is not None:
                function, future = work
                if future is None:
                    function(connection)
                elif not future.cancelled():
                    self._answer(connection, function, future)
        finally:
            connection.close()

    def _answer(
        self, connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], Any], future: asyncio.Future[Any]
    ) -> None:
        result: Any = None
        failure: HoldfastError | None = None
        try:
            result = function(connection)
        except HoldfastError as error:
            failure = error
        except sqlite3.Error as error:
            failure = faults.storage_error(error, self._directory)
        except Exception as error:  # noqa: BLE001 - a mistake of ours: the caller gets it, rather than wait for a dead thread
            failure = StorageError(f"{self._directory}: reading failed: {error!r}")
        try:
            self._loop.call_soon_threadsafe(_settle, future, result, failure)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass


def _settle(future: asyncio.Future[Any], result: object, failure: HoldfastError | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)


def fetch(
    connection: sqlite3.Connection, log_id: int, mode: LogMode, position: int, limit: int, max_bytes: int
) -> list[Piece]:
    """What is stored from ``position`` to ``limit``, at most ``max_bytes`` but at least one piece; [] if nothing is.

    Stops before a place where rows are missing.  CorruptionError if a row is damaged.
    """
    out: list[Piece] = []
    at, left = position, max_bytes
    for start, length, size, form, crc, data in connection.execute(
        "SELECT position, length, size, form, crc, data FROM run WHERE log = ?1 AND position >= "
        "(SELECT max(position) FROM run WHERE log = ?1 AND position <= ?2) AND position < ?3 ORDER BY position",
        (log_id, position, limit),
    ):
        if not start <= at < start + length or (out and size > left):
            break  # rows are missing, or this one is left whole for the next read
        if form == HOLE:
            out.append(Hole(at, min(start + length, limit) - at))
        else:
            if not isinstance(data, bytes) or crc32(data) != crc:
                got = f"{crc32(data):#010x}" if isinstance(data, bytes) else "no data"
                raise damaged(start, f"checksum {crc:#010x}", got)
            part = cut(mode, Row(start, length, size, form, data), at, limit, left)
            out += part.pieces
            left -= part.size
        at = out[-1].end
        if at < start + length or left <= 0:
            break
    return out
