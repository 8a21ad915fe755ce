"""A log read in pages, now or live.  What is not there any more is an error, never a silent skip."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from ..engine.base import Hole, Log, LogStat, Piece
from ..errors import Gone, UsageError
from .model import Page, Where


def first_of(stat: LogStat) -> int:
    """The log position that is position 0 of the stream."""
    return 0 if stat.mode == "bytes" else 1


def position_at(stat: LogStat, where: Where) -> int:
    """The stream position ``where`` stands for; UsageError beyond the tail, Gone below the oldest."""
    first = first_of(stat)
    if where == "start":
        return stat.oldest - first
    if where == "now":
        return stat.tail - first
    if where > stat.tail - first:
        raise UsageError(f"offset: {where} is beyond the tail, {stat.tail - first}", field="offset")
    if where < stat.oldest - first:
        raise Gone(oldest=stat.oldest - first)
    return where


async def read_page(log: Log, name: str, where: Where, max_bytes: int) -> Page:
    """The page at ``where``.  Raises NotFound, Gone, UsageError."""
    stat = await log.stat(name)
    start = position_at(stat, where)
    if where == "now":
        return Page([], start, start, start, stat.closed)
    pieces: list[Piece] = []
    position, room = start + first_of(stat), max_bytes
    while room > 0:  # an engine may give less than there is: what it has in memory comes apart from the rest
        more = await log.read(name, position, max_bytes=room)
        stat = await log.stat(name)
        pieces += more
        if not more or more[-1].end >= stat.tail:
            break
        position = more[-1].end
        room -= sum(len(piece.data) for piece in more if not isinstance(piece, Hole))
    return page_of(start, pieces, stat)


def page_of(start: int, pieces: Sequence[Piece], stat: LogStat) -> Page:
    """``pieces`` as the page from ``start`` on, as far as the first hole; Gone if there is one at ``start``."""
    first = first_of(stat)
    chunks: list[bytes] = []
    end = start
    for piece in pieces:
        if isinstance(piece, Hole):
            if not chunks:
                raise Gone(
                    f"the {piece.length} bytes from {piece.position} on were lost; the next kept one is {piece.end}",
                    oldest=piece.end,
                )
            break
        chunks.append(piece.data)
        end = piece.end - first
    return Page(chunks, start, end, stat.tail - first, stat.closed)


class LivePages:
    """Implements :class:`~holdfast.durable.store.LiveReader` over a log."""

    def __init__(
        self,
        log: Log,
        name: str,
        stat: LogStat,
        position: int,
        max_bytes: int,
        *,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        """``closed`` is called once, when the reader lets go."""
        self._log = log
        self._name = name
        self._first = first_of(stat)
        self.position = position
        self._max_bytes = max_bytes
        self._follower: AsyncIterator[list[Piece]] | None = None
        self._pieces: list[Piece] = []
        self._finished = False
        self._closed: Callable[[], None] | None = closed

    async def next(self) -> Page | None:
        """See :meth:`~holdfast.durable.store.LiveReader.next`."""
        if self._finished:
            return None
        if not self._pieces:
            await self._fetch()
        stat = await self._log.stat(self._name)
        if not self._pieces:
            self._finished = True
            return Page([], self.position, self.position, self.position, closed=True)
        page = page_of(self.position, self._pieces, stat)
        self._pieces = [piece for piece in self._pieces if piece.position >= page.end + self._first]
        self.position = page.end
        self._finished = page.finished
        return page

    async def _fetch(self) -> None:
        if self._follower is None:
            self._follower = self._log.follow(self._name, self.position + self._first, max_bytes=self._max_bytes)
        try:
            self._pieces = list(await anext(self._follower))
        except StopAsyncIteration:
            self._pieces = []

    def close(self) -> None:
        """Let go; idempotent."""
        if self._closed is not None:
            self._closed()
            self._closed = None
        self._follower = None
        self._pieces = []
