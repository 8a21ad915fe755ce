"""How a session that has a client reads its durable sources: page by page, while the client has room for them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import structlog

from ...errors import HoldfastError, NotFound
from ...subjects import matches
from ..model import Message
from ..packing import pack

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    from ..access import Caller
    from ..providers.base import Page
    from ..router import LiveFeed, Tail
    from .outflow import Outflow
    from .surroundings import Surroundings

_logger = structlog.get_logger("holdfast.sessions")


class Position(NamedTuple):
    """How far a session is with one durable source."""

    next: int
    ended: bool = False
    """It was given the end, too."""


class Source:
    """One durable source, while a client is attached."""

    __slots__ = ("feed", "next", "queued", "tail", "told_end")

    def __init__(self, feed: LiveFeed, tail: Tail, position: Position) -> None:
        self.feed = feed
        self.tail = tail
        self.next = position.next
        """Where reading goes on."""
        self.told_end = position.ended
        self.queued = False

    @property
    def due(self) -> bool:
        """Whether there is something to read."""
        return self.next < self.tail.tail or (self.tail.ended and not self.told_end)


def may_read(caller: Caller, feed: LiveFeed, subject: str) -> bool:
    """Whether a source of ``feed`` is there for ``caller``."""
    return caller.reads_all(feed.provider_name) or caller.reads(subject)


class SourceReader:
    """Reads for one client, until :meth:`end`.  There is a task only while there is something to read.

    ``on_gone`` is called with a source that is not there any more, or may not be read, and why; ``on_failed`` when
    there is no reading on.
    """

    def __init__(
        self,
        session_id: str,
        caller: Caller,
        flow: Outflow,
        around: Surroundings,
        on_gone: Callable[[LiveFeed, str, str], None],
        on_failed: Callable[[HoldfastError], None],
    ) -> None:
        self._session_id = session_id
        self._caller = caller
        self._flow = flow
        self._around = around
        self._on_gone = on_gone
        self._on_failed = on_failed
        self._sources: dict[str, Source] = {}
        self._ready: deque[Source] = deque()
        self._pumping: asyncio.Task[None] | None = None
        self._over = False

    def __contains__(self, subject: str) -> bool:
        return subject in self._sources

    # what there is to read

    def add(self, feed: LiveFeed, tail: Tail, position: Position) -> None:
        """Read this source, too, from ``position`` on."""
        source = self._sources[tail.subject] = Source(feed, tail, position)
        if source.due:
            self._enqueue(source)

    def moved(self, subject: str) -> None:
        """There is more of it, or its end."""
        source = self._sources.get(subject)
        if source is not None and source.due:
            self._enqueue(source)

    def feed_of(self, subject: str) -> LiveFeed | None:
        """The feed that it is read for; None: it is not read."""
        source = self._sources.get(subject)
        return None if source is None else source.feed

    def rehome(self, feed: LiveFeed, left: Iterable[LiveFeed]) -> None:
        """Sources that were read for ``feed`` are read for the first one of ``left`` that has them."""
        others = list(left)
        for subject, source in self._sources.items():
            if source.feed is feed:
                other = next(one for one in others if matches(one.pattern, subject))
                source.feed = other
                source.tail = other.tails.get(subject, source.tail)

    def forget(self, subjects: Sequence[str]) -> None:
        """Read these no more; what was given of them moves no cursor."""
        for subject in subjects:
            self._sources.pop(subject, None)
        self._flow.forget(subjects)

    def end(self) -> None:
        """The client goes: nothing is read any more."""
        self._over = True
        self._sources.clear()
        self._ready.clear()
        if self._pumping is not None:
            self._pumping.cancel()

    # reading

    def _enqueue(self, source: Source) -> None:
        if not source.queued:
            source.queued = True
            self._ready.append(source)
            self.kick()

    def kick(self) -> None:
        """Have what is ready read, if the client has room for it."""
        if self._ready and self._pumping is None and self._may_pump():
            self._pumping = self._around.spawn(self._pump(), f"session-{self._session_id}")

    def _may_pump(self) -> bool:
        flow = self._flow
        return (
            not self._over
            and flow.room > 0
            and len(flow.unacknowledged) < self._around.limits.session_unacknowledged_max
        )

    async def _pump(self) -> None:
        try:
            while self._ready and self._may_pump():
                source = self._ready.popleft()
                source.queued = False
                await self._read(source)
        except HoldfastError as error:
            if not self._over:
                _logger.warning("session.read_failed", session=self._session_id, error=str(error))
                self._on_failed(error)
        finally:
            self._pumping = None

    async def _read(self, source: Source) -> None:
        """One page of ``source``."""
        subject, feed = source.tail.subject, source.feed
        if feed.provider is None or self._sources.get(subject) is not source:
            return
        if not may_read(self._caller, feed, subject):
            self._on_gone(feed, subject, "it may not be read any more")
            return
        size = min(self._around.limits.session_read_bytes, max(1, self._flow.room))
        try:
            page = await feed.provider.read(subject, source.next, size)
        except NotFound:
            self._on_gone(source.feed, subject, "it is not there any more")
            return
        if self._over or self._sources.get(subject) is not source:
            return
        self._give(source, page)
        if page.messages and source.due:
            self._enqueue(source)

    def _give(self, source: Source, page: Page) -> None:
        """A page, and after the last one that the source ended, on their way to the client."""
        subject = source.tail.subject
        data = [pack(message) for message in page.messages]
        given = [(subject, message.next_position, False) for message in page.messages]
        source.next = max(source.next, page.next_position)
        if page.ended and not source.told_end:
            end = Message(
                subject, time=self._around.wall(), position=source.next, next_position=source.next, kind="ended"
            )
            data.append(pack(end))
            given.append((subject, source.next, True))
            source.told_end = True
        if data:
            self._flow.write_durable(data, given)
