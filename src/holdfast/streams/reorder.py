"""What arrived before its time: pieces at absolute offsets, none overlapping another."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .packets import Payload


class Piece(NamedTuple):
    """The bytes from ``offset`` to ``end``; ``payload`` None stands for bytes that never will come (a gap)."""

    offset: int
    end: int
    payload: Payload | None
    tag: int


class Reorder:
    """Holds pieces until those before them have come.  What is held already is never replaced."""

    __slots__ = ("_pieces", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._pieces: dict[int, Piece] = {}

    def __len__(self) -> int:
        return len(self._starts)

    def clear(self) -> None:
        """Forget everything held."""
        self._starts.clear()
        self._pieces.clear()

    def hold(self, offset: int, end: int, payload: Payload | None, tag: int) -> bool:
        """Keep whatever of ``offset`` to ``end`` is not held yet; whether that was anything."""
        starts, news = self._starts, False
        index = bisect_right(starts, offset)
        position = max(offset, self._pieces[starts[index - 1]].end) if index else offset
        while position < end:
            stop = min(end, starts[index]) if index < len(starts) else end
            if position < stop:
                news = True
                starts.insert(index, position)
                part = payload
                if payload is not None and (position, stop) != (offset, end):
                    part = bytes(payload[position - offset : stop - offset])
                self._pieces[position] = Piece(position, stop, part, tag)
                index += 1
            if stop == end:
                break
            position = self._pieces[starts[index]].end
            index += 1
        return news

    def take(self, offset: int) -> list[Piece]:
        """Remove and return the pieces that go on from ``offset`` without a hole; what lies before it is dropped."""
        taken: list[Piece] = []
        count = 0
        for start in self._starts:
            if start > offset:
                break
            count += 1
            piece = self._pieces.pop(start)
            if piece.end <= offset:
                continue
            if start < offset:
                rest = None if piece.payload is None else bytes(piece.payload[offset - start :])
                piece = Piece(offset, piece.end, rest, piece.tag)
            taken.append(piece)
            offset = piece.end
        del self._starts[:count]
        return taken
