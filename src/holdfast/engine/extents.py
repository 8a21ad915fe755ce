"""What one append adds to a log, and the tail of a log kept in memory for live readers."""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, repeat
from operator import attrgetter

from .base import Entry, Hole, Packed, Piece, Run

_OVERHEAD_BYTES = 200
"""What an extent costs besides its payload, roughly; keeps a cache of tiny appends bounded in fact."""
_ENTRY_OVERHEAD_BYTES = 100


class Extent:
    """One append: a run, a batch of entries, or a hole (``data`` is None).

    Positions ``position`` to ``end``; ``size`` is the payload in bytes.
    """

    __slots__ = ("_pieces", "cost", "data", "end", "position", "size", "tag")

    def __init__(self, position: int, end: int, size: int, tag: int, data: bytes | tuple[bytes, ...] | None) -> None:
        self.position = position
        self.end = end
        self.size = size
        self.tag = tag
        self.data = data
        self.cost = size + _OVERHEAD_BYTES
        """Memory this takes, in bytes, roughly."""
        if type(data) is tuple:
            self.cost += _ENTRY_OVERHEAD_BYTES * len(data)
        self._pieces: list[Piece] | None = None

    @property
    def hole_length(self) -> int:
        """Bytes lost here; 0 if this is no hole."""
        return self.end - self.position if self.data is None else 0

    def pieces(self) -> list[Piece]:
        """All of it, as readers get it; made once, shared by all readers, not to be changed."""
        made = self._pieces
        if made is None:
            made = self._pieces = self._make_pieces()
        return made

    def head(self, end: int) -> Extent | None:
        """The part below ``end``, which is inside; None if there can be no part of it."""
        length = end - self.position
        data = None if self.data is None else self.data[:length]
        size = sum(map(len, data)) if isinstance(data, tuple) else len(data or b"")
        return Extent(self.position, end, size, self.tag, data)

    def _make_pieces(self) -> list[Piece]:
        if self.data is None:
            return [Hole(self.position, self.end - self.position)]
        if isinstance(self.data, bytes):
            return [Run(self.position, self.data, self.tag)]
        return make_entries(self.position, self.data, self.tag)


class PackedExtent(Extent):
    """One append to a runs-mode log: a blob that holds as many entries as it has positions."""

    __slots__ = ()

    def head(self, end: int) -> None:
        """None: a blob is never cut."""

    def _make_pieces(self) -> list[Piece]:
        assert isinstance(self.data, bytes)
        return [Packed(self.position, self.end - self.position, self.data)]


def make_packed(position: int, counts: Sequence[int], blobs: Sequence[bytes]) -> list[Piece]:
    """Blobs from ``position`` on, each with its count of entries."""
    return list(map(Packed, accumulate(counts, initial=position), counts, blobs))


def make_entries(position: int, payloads: Sequence[bytes], tags: int | Sequence[int]) -> list[Piece]:
    """Entries from ``position`` on, all of one tag or each of its own.

    Replay of millions of entries consists of this: done without a call for each, and without letting the garbage
    collector look at each thousand of them in between, it takes 0.4 of the time.
    """
    tagging = repeat(tags) if isinstance(tags, int) else tags
    rows = zip(range(position, position + len(payloads)), payloads, tagging, strict=False)
    collecting = gc.isenabled()
    gc.disable()
    try:
        return list(map(tuple.__new__, repeat(Entry), rows))
    finally:
        if collecting:
            gc.enable()


def clip(pieces: list[Piece], position: int, limit: int, max_bytes: int) -> list[Piece]:
    """The part of adjoining ``pieces`` from ``position`` to ``limit``, at most ``max_bytes`` but at least one piece."""
    out: list[Piece] = []
    left = max_bytes
    for piece in pieces:
        if piece.end <= position:
            continue
        if piece.position >= limit or (left <= 0 and not isinstance(piece, Hole)):
            break
        if isinstance(piece, (Entry, Packed)):
            if out and len(piece.data) > left:
                break
            out.append(piece)
            left -= len(piece.data)
            continue
        part = _cut(piece, position, limit, left)
        out.append(part)
        if isinstance(part, Run):
            left -= len(part.data)
        if part.end < piece.end:
            break
    return out


def _cut(piece: Run | Hole, position: int, limit: int, max_bytes: int) -> Run | Hole:
    start = max(piece.position, position)
    end = min(piece.end, limit)
    if isinstance(piece, Hole):
        return Hole(start, end - start)
    end = min(end, start + max_bytes)
    if start == piece.position and end == piece.end:
        return piece
    return Run(start, piece.data[start - piece.position : end - piece.position], piece.tag)


_END = attrgetter("end")


class TailCache:
    """The newest extents of one log, without a gap up to its tail.

    Live followers and readers near the tail are served from here; an entry is kept once, whatever the
    number of its readers.
    """

    __slots__ = ("_extents", "_first", "cost_bytes", "end")

    def __init__(self, end: int) -> None:
        self._extents: list[Extent | None] = []
        self._first = 0  # extents before it were dropped; the list is shortened now and then only
        self.end = end
        self.cost_bytes = 0

    @property
    def start(self) -> int:
        """The first position that is here; the tail if nothing is."""
        if self._first == len(self._extents):
            return self.end
        return self._at(self._first).position

    def _at(self, index: int) -> Extent:
        extent = self._extents[index]
        assert extent is not None
        return extent

    def push(self, extent: Extent) -> None:
        """Add the newest extent."""
        assert extent.position == self.end
        self._extents.append(extent)
        self.end = extent.end
        self.cost_bytes += extent.cost

    def read(self, position: int, limit: int, max_bytes: int) -> list[Piece]:
        """As :meth:`Log.read`, for ``start <= position < limit``; nothing at or above ``limit`` is given."""
        index = bisect_right(self._extents, position, lo=self._first, key=_END)
        extent = self._at(index)
        if position == extent.position and extent.end <= limit and extent.size <= max_bytes:
            out = extent.pieces().copy()
            left = max_bytes - extent.size
        else:
            out = clip(extent.pieces(), position, limit, max_bytes)
            left = max_bytes - sum(len(piece.data) for piece in out if not isinstance(piece, Hole))
        at = out[-1].end
        while at == extent.end < limit and left > 0 and index + 1 < len(self._extents):
            index += 1
            extent = self._at(index)
            if extent.end <= limit and extent.size <= left:
                out += extent.pieces()
                left -= extent.size
                at = extent.end
                continue
            more = clip(extent.pieces(), at, limit, left)
            if isinstance(more[0], (Entry, Packed)) and len(more[0].data) > left:
                break
            out += more
            break
        return out

    def above(self, position: int) -> Iterator[Extent]:
        """The extents that end above ``position``, in order."""
        index = bisect_right(self._extents, position, lo=self._first, key=_END)
        return map(self._at, range(index, len(self._extents)))

    def fork(self, end: int) -> TailCache | None:
        """A cache of the same extents up to ``end``; None if that is inside of one that cannot be cut."""
        made = TailCache(min(self.start, end))
        for index in range(self._first, len(self._extents)):
            extent = self._at(index)
            part = extent if extent.end <= end else extent.head(end) if extent.position < end else extent
            if part is None:
                return None
            if part.position >= end:
                break
            made.push(part)
        return made

    def drop_below(self, position: int, cost_bytes: int = 0) -> int:
        """Drop whole extents that end at or below ``position`` while more than ``cost_bytes`` is kept.

        Gives the cost that was freed.
        """
        before = self.cost_bytes
        first, count = self._first, len(self._extents)
        while first < count and self._at(first).end <= position and self.cost_bytes > cost_bytes:
            self.cost_bytes -= self._at(first).cost
            self._extents[first] = None
            first += 1
        self._first = first
        if first > 64 and first * 2 > count:
            del self._extents[:first]
            self._first = 0
        return before - self.cost_bytes

    def truncate(self, end: int) -> list[Extent]:
        """Take back all extents from ``end`` on, which is where one of them begins; gives them."""
        taken: list[Extent] = []
        while len(self._extents) > self._first and self._at(-1).position >= end:
            extent = self._extents.pop()
            assert extent is not None
            self.cost_bytes -= extent.cost
            taken.append(extent)
        self.end = end
        return taken
