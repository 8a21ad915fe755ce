"""What the streams hold when the engine starts: each log from its newest message, and from few others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial

from ....errors import CorruptionError, StorageError
from ...producers import Producers
from ...state import LogState
from ..link.streams import Stored
from ..tasks import patiently
from ..wire import (
    CHANGE,
    CHANGED,
    IN_DATA,
    PART,
    WHOLE,
    Changed,
    Stamp,
    Whole,
    decode_changed,
    decode_whole,
    producers_of,
)
from .books import MODES, Shelf, book_of, pin
from .finding import Finder, Found
from .store import state_of

_AT_ONCE = 64


class Recovery:
    """Makes the shelves."""

    def __init__(self, finder: Finder, stream: str) -> None:
        """``stream`` is for errors."""
        self._finder = finder
        self._stream = stream
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def shelves(self, newest: Iterable[Stored]) -> list[Shelf]:
        """Of each log, from the newest message of each; CorruptionError, StorageError."""
        made: list[Shelf] = []
        harder: list[tuple[Stored, Stamp]] = []
        for message in newest:
            stamp, state = self._finder.stamp(message)
            if stamp.flags & WHOLE and not stamp.flags & IN_DATA:
                whole = decode_whole(state, self._where(message.sequence))
                made.append(_shelf(message.subject, stamp, whole, message.sequence, 0))
            else:
                harder.append((message, stamp))
        made += await asyncio.gather(*(self._look(message, stamp) for message, stamp in harder))
        shelves = {shelf.id: shelf for shelf in made}
        for shelf in made:
            pin(shelves, shelf.id, shelf.stored.shares)
        return made

    async def _look(self, message: Stored, stamp: Stamp) -> Shelf:
        """A log whose newest message does not say all."""
        async with self._slots:
            log_id = _id_of(message.subject)
            base = message.sequence if stamp.flags & WHOLE else stamp.base
            found = await patiently(lambda: self._finder.at(log_id, base))
            if found is None or not found.stamp.flags & WHOLE:
                raise CorruptionError(where=self._where(base), expected=f"what is known of log {log_id}", got="nothing")
            whole = decode_whole(found.state, self._where(base))
            debt = 0
            if stamp.flags & CHANGED:
                whole, debt = await self._changed(message, stamp, whole, base + 1)
            return _shelf(message.subject, stamp, whole, base, debt)

    async def _changed(self, message: Stored, stamp: Stamp, whole: Whole, sequence: int) -> tuple[Whole, int]:
        """``whole`` with all that changed from ``sequence`` to ``message``, the newest, and how much that was."""
        log_id, last = _id_of(message.subject), message.sequence
        producers = {row[0]: row for row in whole.producers}
        debt = 0
        while sequence <= last:
            batch = await patiently(partial(self._read, log_id, sequence))
            if batch is None and stamp.flags & PART:
                break  # of something that never came to its end
            if batch is None:
                raise StorageError(f"stream {self._stream}: message {last} of log {log_id} is not there")
            for found in batch:
                if found.stamp.flags & CHANGE:
                    change = decode_changed(found.state, self._where(found.last))
                    whole, debt = _with(whole, change), debt + len(found.state)
                    producers |= {row[0]: row for row in change.producers}
            sequence = batch[-1].last + 1
        return whole._replace(producers=list(producers.values())), debt

    async def _read(self, log_id: int, sequence: int) -> list[Found] | None:
        return await self._finder.read(log_id, sequence) or None

    def _where(self, sequence: int) -> str:
        return f"{self._stream}, message {sequence}"


def _with(whole: Whole, change: Changed) -> Whole:
    meta = whole.meta if change.meta is None else change.meta
    return whole._replace(meta=meta, closed=whole.closed or change.closed)


def _id_of(subject: str) -> int:
    return int(subject.rsplit(".", 1)[1])


def _shelf(subject: str, stamp: Stamp, whole: Whole, base: int, debt: int) -> Shelf:
    shelf = Shelf(_id_of(subject), whole.name, MODES[whole.mode], book_of(stamp, whole, base, debt))
    if not whole.gone:
        shelf.state = state_of(shelf)
        if whole.producers:
            shelf.state.producers = Producers(producers_of(whole.producers))
    return shelf


def states_of(shelves: Sequence[Shelf]) -> list[LogState]:
    """Of the logs that are not deleted."""
    return [shelf.state for shelf in shelves if shelf.state is not None]
