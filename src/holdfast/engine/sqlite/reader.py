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

from ...errors import CorruptionError, HoldfastError, StorageError
from ..base import Hole, LogMode, Piece
from ..extents import clip
from . import faults
from .database import connect_reader
from .packing import HOLE, MIXED, Row, unpack

Result = TypeVar("Result")
_Work = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]


class Reader:
    """Runs functions on a reading connection, one after the other, on a thread of its own."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="holdfast-reader", daemon=True)
        self._thread.start()

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
                if not future.cancelled():
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
    for *values, crc in connection.execute(
        "SELECT position, length, size, form, data, crc FROM run WHERE log = ?1 AND position >= "
        "(SELECT max(position) FROM run WHERE log = ?1 AND position <= ?2) AND position < ?3 ORDER BY position",
        (log_id, position, limit),
    ):
        row = Row(*values)
        if not row.position <= at < row.position + row.length:
            break
        pieces = clip_row(row, _pieces(mode, row, crc), at, limit, left) if left > 0 or row.form == HOLE else []
        if not pieces or (out and left < _payload(pieces[:1])):
            break
        out += pieces
        left -= _payload(pieces)
        at = out[-1].end
        if at < min(limit, row.position + row.length) or at == limit:
            break
    return out


def clip_row(row: Row, pieces: list[Piece], position: int, limit: int, max_bytes: int) -> list[Piece]:
    """:func:`clip`, without a look at each piece where all fit."""
    if position == row.position and row.position + row.length <= limit and row.size <= max_bytes:
        return pieces
    return clip(pieces, position, limit, max_bytes)


def _payload(pieces: list[Piece]) -> int:
    return sum(len(piece.data) for piece in pieces if not isinstance(piece, Hole))


def _pieces(mode: LogMode, row: Row, crc: int) -> list[Piece]:
    if row.form == HOLE:
        return [Hole(row.position, row.length)]
    if not isinstance(row.data, bytes) or crc32(row.data) != crc:
        raise CorruptionError(
            where=f"run at position {row.position}", expected=f"checksum {crc:#010x}", got=_checksum(row.data)
        )
    try:
        pieces = unpack(mode, row)
    except ValueError as error:
        raise CorruptionError(
            where=f"run at position {row.position}", expected=f"form {row.form}", got=str(error)
        ) from error
    if row.form != MIXED and pieces[-1].end != row.position + row.length:
        raise CorruptionError(
            where=f"run at position {row.position}", expected=f"{row.length} positions", got=str(len(pieces))
        )
    return pieces


def _checksum(data: object) -> str:
    return f"{crc32(data):#010x}" if isinstance(data, bytes) else "no data"
