"""The change feed: one log of JSON lines.

A change is announced *before* it is made, so that none is ever missed: a crash, or a disk that fails, in between leaves
an announcement of something that was begun and not done.  Who reads is shown an announcement once the change was made
or has failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import structlog

from ..errors import CorruptionError, Gone, HoldfastError, StorageError, UsageError
from .finishing import finish
from .model import FeedEntry, FeedKind, FeedPage

if TYPE_CHECKING:
    from ..engine.base import Log, Piece
    from ..limits import Limits

_logger = structlog.get_logger("holdfast.records")

Result = TypeVar("Result")

FEED_LOG = "records/feed"
_READ_BYTES = 256 * 1024

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, str | float]).decode


class Feed:
    """What happened to records, in order, positions from 1."""

    def __init__(self, log: Log, limits: Limits) -> None:
        self._log = log
        self._limits = limits
        self._tail = 1
        self._oldest = 1
        self._open: dict[int, int] = {}
        """Announcements that wait for their change, and below which position nothing of them is."""
        self._tickets = 0
        self._moved = asyncio.Event()
        self._trimming = False

    async def open(self) -> None:
        """Make its log, or find it."""
        found = [stat for stat in await self._log.list(FEED_LOG) if stat.name == FEED_LOG]
        stat = found[0] if found else await self._log.create(FEED_LOG, mode="entries")
        self._tail, self._oldest = stat.tail, stat.oldest

    @property
    def next_position(self) -> int:
        """The position after the newest change that can be read."""
        return min(self._open.values(), default=self._tail)

    @property
    def oldest_position(self) -> int:
        """The oldest change that is kept."""
        return self._oldest

    # writing

    async def around(
        self, kind: FeedKind, cids: Sequence[str], now: float, change: Coroutine[Any, Any, Result], name: str = ""
    ) -> Result:
        """Announce that this happens to each of ``cids``, and make ``change``; both durable on return, in this order.

        Raises what ``change`` raises, or StorageError.  Cancelled, it still waits for what the engine has been given.
        """
        self._tickets += 1
        self._open[self._tickets] = self._tail
        announcing = self._append(kind, cids, now, name)
        result = await finish(self._both(self._tickets, announcing, change))
        await self._trim()
        return result

    async def _both(
        self, ticket: int, announcing: Coroutine[Any, Any, None], change: Coroutine[Any, Any, Result]
    ) -> Result:
        """Begun in this order; both are waited for, also if one fails."""
        tasks = asyncio.ensure_future(announcing), asyncio.ensure_future(change)
        try:
            await asyncio.wait(tasks)
        finally:
            del self._open[ticket]
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()
        error = tasks[1].exception()
        tasks[0].result()
        if error is not None:
            raise error
        return tasks[1].result()

    async def _append(self, kind: FeedKind, cids: Sequence[str], now: float, name: str) -> None:
        extra = f',"name":{_encode(name).decode()}' if name else ""
        at = round(now, 3)
        entries = [f'{{"kind":"{kind}","cid":"{cid}","at":{at}{extra}}}'.encode() for cid in cids]
        try:
            self._tail = max(self._tail, await self._log.append(FEED_LOG, entries))
        except StorageError:
            self._tail = (await self._log.stat(FEED_LOG)).tail
            raise

    async def _trim(self) -> None:
        """Let the oldest go if there are too many, a tenth at a time.  What was changed is, also if that fails."""
        kept = self._limits.feed_entries_max
        if self._trimming or self._tail - self._oldest <= kept + kept // 10:
            return
        self._trimming = True
        try:
            await self._log.trim(FEED_LOG, self._tail - kept)
            self._oldest = (await self._log.stat(FEED_LOG)).oldest
        except HoldfastError as error:
            _logger.warning("records.feed_not_trimmed", error=str(error))
        finally:
            self._trimming = False

    # reading

    async def read(self, position: int, limit: int) -> FeedPage:
        """See :meth:`RecordsApi.feed`."""
        wanted = page_size(limit, self._limits)
        at = self.checked(position)
        entries: list[FeedEntry] = []
        while len(entries) < wanted and (found := await self._read(at)):
            entries += found[: wanted - len(entries)]
            at = entries[-1].position + 1
        return FeedPage(entries=entries, next_position=at, oldest_position=self._oldest)

    def checked(self, position: int) -> int:
        """Where reading from ``position`` (0: the oldest) begins.  Gone(oldest); UsageError beyond the next one."""
        if position < 0 or position > self.next_position:
            raise UsageError(
                f"position: {position} is not within 0 and {self.next_position}, the next change's", field="position"
            )
        if position and position < self._oldest:
            raise Gone(oldest=self._oldest)
        return position or self._oldest

    async def _read(self, position: int) -> list[FeedEntry]:
        end = self.next_position
        if position >= end:
            return []
        pieces = await self._log.read(FEED_LOG, position, max_bytes=_READ_BYTES)
        return [_entry(piece) for piece in pieces if piece.position < end]

    async def follow(self, position: int) -> AsyncGenerator[list[FeedEntry]]:
        """Changes from ``position`` on (0: from now on), as they come.  Gone(oldest) when trimmed past."""
        at = self.checked(position) if position else self.next_position
        while True:
            moved = self._moved
            if entries := await self._read(at):
                at = entries[-1].position + 1
                yield entries
            else:
                await moved.wait()


def page_size(limit: int, limits: Limits) -> int:
    """How many a page has where ``limit`` (0: as many as may be) are wanted.  UsageError for a negative one."""
    if limit < 0:
        raise UsageError(f"limit: {limit} is negative", field="limit")
    most = limits.records_page_max
    return min(limit or most, most)


def _entry(piece: Piece) -> FeedEntry:
    try:
        assert not isinstance(piece.position, str)
        fields = _decode(piece.data)  # type: ignore[union-attr]  # entries-mode logs have no holes
        return msgspec.convert({**fields, "position": piece.position}, FeedEntry)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptionError(
            where=f"{FEED_LOG}, position {piece.position}", expected="JSON", got=str(error)
        ) from error
