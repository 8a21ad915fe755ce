"""Reading logs back from the stream: which message holds a position, and what is in it."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from typing import NamedTuple

from ...base import Hole, LogMode, Piece
from ...cutting import cut
from ...joining import is_between, payload_ending_above
from ...packing import HOLE, SEVERAL, Row, payload_below
from ..link.streams import Direct, Stored
from ..wire import HEADER, PART, Stamp, decode_stamp, split_data
from .books import Shelf

_NEAR = 64
"""So many messages of the stream are read rather than halved."""
_MESSAGES = 256
_BYTES = 256 << 10
_RECENT_MAX = 1_024
_AHEAD_BYTES = 2 << 20
_AHEAD_MAX = 16
"""Logs that are read ahead at once."""


class Found(NamedTuple):
    """A message of a log, with its parts."""

    sequence: int
    """Of its first part."""
    last: int
    stamp: Stamp
    state: bytes
    """What it says of the log."""
    rows: list[Row]
    size: int


class Weight(NamedTuple):
    """What a log holds below a position, trimmed parts too."""

    paid: int
    """Payload; of a blob that is cut, nothing."""
    holes: int
    inside: bool
    """Whether the position is inside a blob of a runs-mode log."""


class _Ahead(NamedTuple):
    """What is being read before it is asked for: messages from the sequence ``low`` on."""

    low: int
    task: asyncio.Task[list[Found]]


class Finder:
    """Finds what is stored of logs, and keeps what was read last."""

    def __init__(self, direct: Direct, where: str, subject: str, cache_bytes: int) -> None:
        """``subject`` is what logs' subjects begin with; ``where`` names the stream in errors."""
        self._direct = direct
        self._where = where
        self._subject = subject
        self._room = cache_bytes
        self._recent: OrderedDict[tuple[int, int], Found] = OrderedDict()
        self._ahead: OrderedDict[int, _Ahead] = OrderedDict()

    def subject(self, log_id: int) -> str:
        """Where a log's messages are."""
        return f"{self._subject}.{log_id}"

    def forget(self, log_id: int) -> None:
        """The log is no more."""
        for key in [key for key in self._recent if key[0] == log_id]:
            self._room += self._recent.pop(key).size

    async def read(self, log_id: int, sequence: int, *, max_bytes: int = _BYTES) -> list[Found]:
        """Some messages of a log from ``sequence`` on, which is no later part of one; [] if there are none."""
        out: list[Found] = []
        parts: list[Stored] = []
        while True:
            stored = await self._direct.read(
                self.subject(log_id), sequence, messages=_MESSAGES, max_bytes=max(max_bytes, _BYTES)
            )
            for message in stored:
                stamp, state = self.stamp(message)
                if stamp.flags & PART:
                    parts.append(message)
                    continue
                first = message.sequence - stamp.parts
                own = [part for part in parts if part.sequence >= first]  # others never came to their end
                parts = []
                if len(own) == stamp.parts:
                    data = b"".join([*(part.data for part in own), message.data]) if own else message.data
                    out.append(self._found(first, message.sequence, stamp, state, data))
            if out or not stored:
                return out
            sequence = stored[-1].sequence + 1

    def _found(self, first: int, last: int, stamp: Stamp, state: bytes, data: bytes) -> Found:
        more, rows = split_data(stamp, data, f"{self._where}, message {last}")
        return Found(first, last, stamp, more or state, rows, len(data))

    def stamp(self, message: Stored) -> tuple[Stamp, bytes]:
        """A message's stamp, and what is in it besides."""
        return decode_stamp(message.headers.get(HEADER), f"{self._where}, message {message.sequence}")

    async def at(self, log_id: int, sequence: int) -> Found | None:
        """The message with this sequence, its last part's."""
        stored = await self._direct.read(self.subject(log_id), sequence, messages=1, max_bytes=_BYTES)
        if not stored or stored[0].sequence != sequence:
            return None
        stamp, state = self.stamp(stored[0])
        if not stamp.parts:
            return self._found(sequence, sequence, stamp, state, stored[0].data)
        return next(
            (found for found in await self.read(log_id, sequence - stamp.parts) if found.last == sequence), None
        )

    # -- positions --------------------------------------------------------------------------------------------

    async def find(self, shelf: Shelf, position: int, high: int, *, max_bytes: int = _BYTES) -> Found | None:
        """The message that holds ``position``, whose sequence is below ``high``; None if there is none."""
        known = self._known(shelf.id, position)
        if known is not None:
            return known
        low, higher = shelf.places.around(position)
        high = high if higher is None else min(high, higher)
        found, low = await self._look(shelf, position, low, max_bytes)
        if found is not None or low > high:
            return found
        low = await self._halve(shelf, position, low, high)
        while True:
            found, after = await self._look(shelf, position, low, max_bytes)
            if found is not None or after <= low:
                return found
            low = after

    def _known(self, log_id: int, position: int) -> Found | None:
        exact = self._recent.get((log_id, position))
        if exact is not None:
            return exact
        for (owner, start), found in reversed(self._recent.items()):
            if owner == log_id and start <= position < found.stamp.end:
                return found
        return None

    async def _look(self, shelf: Shelf, position: int, low: int, max_bytes: int) -> tuple[Found | None, int]:
        """The message if it is among the next ones from ``low`` on; where to look next: ``low`` if there is no use."""
        batch = await self._next(shelf.id, low, max_bytes)
        if batch:
            if shelf.read_up_to == low:
                self._read_ahead(shelf.id, batch[-1].last + 1)
            shelf.read_up_to = batch[-1].last + 1
        hit = None
        for found in batch:
            self._keep(shelf, found)
            if found.stamp.position <= position < found.stamp.end:
                hit = found
        if not batch or (hit is None and batch[0].stamp.position > position):
            return None, low
        return hit, batch[-1].last + 1

    async def _next(self, log_id: int, low: int, max_bytes: int) -> list[Found]:
        """:meth:`read`, or what was read ahead."""
        ahead = self._ahead.pop(log_id, None)
        if ahead is not None and ahead.low == low:
            batch = await ahead.task
            if batch:
                return batch
        elif ahead is not None:
            ahead.task.cancel()
        return await self.read(log_id, low, max_bytes=max_bytes)

    def _read_ahead(self, log_id: int, low: int) -> None:
        """Somebody reads on and on: have what comes next when it is asked for."""
        task = asyncio.get_running_loop().create_task(self.read(log_id, low, max_bytes=_AHEAD_BYTES))
        task.add_done_callback(_consume)
        self._ahead[log_id] = _Ahead(low, task)
        if len(self._ahead) > _AHEAD_MAX:
            self._ahead.popitem(last=False)[1].task.cancel()

    async def stop(self) -> None:
        """Read no more ahead."""
        tasks = [ahead.task for ahead in self._ahead.values()]
        self._ahead.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _keep(self, shelf: Shelf, found: Found) -> None:
        start, end = found.stamp.position, found.stamp.end
        if start == end:
            return
        key = (shelf.id, start)
        if key not in self._recent:
            self._recent[key] = found
            self._room -= found.size
        while (self._room < 0 and len(self._recent) > 1) or len(self._recent) > _RECENT_MAX:
            self._room += self._recent.popitem(last=False)[1].size
        shelf.places.add(end, found.last + 1)

    async def _halve(self, shelf: Shelf, position: int, low: int, high: int) -> int:
        """A sequence from which it is not far to the message with ``position``."""
        while high - low > _NEAR:
            middle = (low + high) // 2
            stored = await self._direct.read(self.subject(shelf.id), middle, messages=1, max_bytes=_BYTES)
            if not stored or stored[0].sequence >= high:
                high = middle
                continue
            stamp, _ = self.stamp(stored[0])
            if stamp.position > position:
                high = middle
            elif stamp.flags & PART or stamp.end > position:
                return stored[0].sequence - stamp.parts
            else:
                low = stored[0].sequence + 1
        return low

    # -- what is there ----------------------------------------------------------------------------------------

    async def fetch(self, shelf: Shelf, position: int, limit: int, max_bytes: int, high: int) -> list[Piece]:
        """What a log's own messages hold from ``position`` to ``limit``; [] if nothing is there."""
        out: list[Piece] = []
        at, left = position, max_bytes
        while at < limit and left > 0:
            found = await self.find(shelf, at, high, max_bytes=left)
            if found is None:
                break
            for row in found.rows:
                end = row.position + row.length
                if end <= at:
                    continue
                if row.position >= limit or left <= 0 or (out and row.size > left):
                    return out
                left -= _add(out, shelf.mode, row, at, limit, left)
                at = out[-1].end
                if at < end:
                    return out
        return out

    async def weigh(self, shelf: Shelf, position: int, high: int) -> Weight | None:
        """What there is below ``position``, which a stored message holds; None if none does."""
        found = await self.find(shelf, position, high)
        if found is None:
            return None
        paid = found.stamp.paid - sum(row.size for row in found.rows)
        holes = found.stamp.holes - sum(row.length for row in found.rows if row.form == HOLE)
        for row in found.rows:
            count = min(position - row.position, row.length)
            if count <= 0:
                break
            if row.form == HOLE:
                holes += count
                continue
            below, inside = _below(shelf.mode, row, count)
            paid += below
            if inside:
                return Weight(paid, holes, inside=True)
        return Weight(paid, holes, inside=False)


def _consume(task: asyncio.Task[list[Found]]) -> None:
    """Nobody may come for it; whoever does reads again."""
    if not task.cancelled():
        task.exception()


def _add(out: list[Piece], mode: LogMode, row: Row, at: int, limit: int, left: int) -> int:
    """Append the pieces of ``row`` from ``at`` on; gives their payload."""
    if row.form == HOLE:
        out.append(Hole(at, min(row.position + row.length, limit) - at))
        return 0
    part = cut(mode, row, at, limit, left)
    out += part.pieces
    return part.size


def _below(mode: LogMode, row: Row, count: int) -> tuple[int, bool]:
    """Payload in the first ``count`` positions of ``row``, and whether they end inside a blob."""
    if count == row.length:
        return row.size, False
    if mode == "bytes":
        return count, False
    assert isinstance(row.data, bytes)
    if mode == "entries":
        return payload_below(row.data, count), False
    if row.form != SEVERAL:
        return 0, True
    below = row.size - payload_ending_above(io.BytesIO(row.data).read, count)
    return below, not is_between(io.BytesIO(row.data).read, count)
