"""The thread that reads what is no longer in memory.

It is there so that a replay never waits for an fsync, nor the event loop for the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

from ...errors import CorruptionError, HoldfastError, StorageError
from ..base import Hole, LogMode, Piece
from ..extents import clip, make_entries, make_packed
from . import faults
from .database import connect_reader
from .packing import HOLE, MIXED, blobs_of, unpack_pieces, unpack_runs

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
            cut = _cut(mode, Stored(start, length, size, form, crc, data), at, limit, left)
            out += cut.pieces
            left -= cut.size
        at = out[-1].end
        if at < start + length or left <= 0:
            break
    return out


class Stored(NamedTuple):
    """A row as it is stored."""

    position: int
    length: int
    size: int
    form: int
    crc: int
    data: bytes


class Cut(NamedTuple):
    """Part of a row: ``size`` bytes of payload."""

    pieces: list[Piece]
    size: int


def _cut(mode: LogMode, row: Stored, position: int, limit: int, max_bytes: int) -> Cut:
    """The part of ``row`` from ``position`` to ``limit``, at most ``max_bytes`` but at least one piece."""
    if not isinstance(row.data, bytes) or crc32(row.data) != row.crc:
        got = f"{crc32(row.data):#010x}" if isinstance(row.data, bytes) else "no data"
        raise _damaged(row, f"checksum {row.crc:#010x}", got)
    try:
        if mode == "entries":
            return _cut_entries(row, position, limit, max_bytes)
        if mode == "runs":
            return _cut_blobs(row, position, limit, max_bytes)
        pieces = clip(unpack_runs(row.position, row.form, row.data), position, limit, max_bytes)
    except ValueError as error:
        raise _damaged(row, f"data of form {row.form}", str(error)) from error
    return Cut(pieces, pieces[-1].end - position)


def _cut_entries(row: Stored, position: int, limit: int, max_bytes: int) -> Cut:
    payloads, tags = unpack_pieces(row.data, mixed=row.form == MIXED)
    if len(payloads) != row.length:
        raise ValueError(f"{len(payloads)} entries in the place of {row.length}")
    low, high = position - row.position, min(limit - row.position, row.length)
    if low or high < row.length:
        payloads = payloads[low:high]
    elif row.size <= max_bytes:
        return Cut(make_entries(position, payloads, tags or row.form), row.size)
    ends = list(accumulate(map(len, payloads)))
    if ends[-1] > max_bytes:
        count = max(bisect_right(ends, max_bytes), 1)
        payloads, high = payloads[:count], low + count
    size = ends[len(payloads) - 1]
    return Cut(make_entries(position, payloads, tags[low:high] if tags else row.form), size)


def _cut_blobs(row: Stored, position: int, limit: int, max_bytes: int) -> Cut:
    """Whole blobs, the first of them the one that holds ``position``."""
    blobs, counts = blobs_of(row.length, row.form, row.data)
    pieces = make_packed(row.position, counts, blobs)
    if position > row.position or limit < row.position + row.length or row.size > max_bytes:
        pieces = clip(pieces, position, limit, max_bytes)
        return Cut(pieces, sum(len(piece.data) for piece in pieces if not isinstance(piece, Hole)))
    return Cut(pieces, row.size)


def _damaged(row: Stored, expected: str, got: str) -> CorruptionError:
    return CorruptionError(where=f"run at position {row.position}", expected=expected, got=got)
