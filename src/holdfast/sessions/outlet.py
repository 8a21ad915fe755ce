"""One session's way out: what it is bound to, how far it is with each source, and its client, if it has one.

While nobody is attached there are cursors, and a buffer for messages of feeds: no task, and nothing of what logs keep.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from ..errors import HoldfastError, NotFound, SlowConsumer
from ..subjects import matches, overlap
from .buffers import FeedBuffer
from .model import Cursor, Message, PatternSpec
from .outflow import Outflow
from .packing import pack

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Mapping, Sequence
    from typing import Any

    from ..limits import Limits
    from .access import Caller
    from .feed import Batch, LiveFeed, Tail
    from .outflow import Carrier

_logger = structlog.get_logger("holdfast.sessions")

_NOTICES_MAX = 1_000
"""Reports that wait for a client, about sources that are gone; the oldest go."""


_NOTHING: deque[Source] = deque()
"""What nobody reads while there is no client; shared by all sessions, so that ten thousand idle ones stay small."""


class Position(NamedTuple):
    """How far a session is with one durable source."""

    next: int
    ended: bool = False
    """It was given the end, too."""


class Bound(NamedTuple):
    """One pattern of the session."""

    spec: PatternSpec
    feed: LiveFeed
    earlier: tuple[str, ...]
    """Other patterns of the session that match some of the same subjects and come first; they give those."""


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


class Surroundings(Protocol):
    """What an outlet needs of the node."""

    limits: Limits

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run ``work`` as a task that somebody awaits."""
        ...

    def cut(self, session_id: str, attachment: int) -> None:
        """The client of this attachment is gone."""
        ...

    def let_go(self, session_id: str, attachment: int, error: HoldfastError) -> None:
        """The client of this attachment is to be let go: its own policy says so, or there is no reading on."""
        ...

    def forget_cursors(self, session_id: str, subjects: Sequence[str]) -> None:
        """These sources are gone."""
        ...


class Outlet:
    """See the module."""

    def __init__(self, session_id: str, caller: Caller, around: Surroundings) -> None:
        self.session_id = session_id
        self.cursors: dict[str, Position] = {}
        """What was acknowledged."""
        self.delivered = 0
        """Given to clients that are not attached any more."""
        self.recovered_why = ""
        """What a restart of the node has lost; empty: nothing."""
        self._owner = caller
        self._caller = caller
        self._around = around
        self._bound: dict[str, Bound] = {}
        self._buffer: FeedBuffer | None = None
        self._notices: list[bytes] = []
        self._flow: Outflow | None = None
        self._attachment = 0
        self._sources: dict[str, Source] = {}
        self._ready = _NOTHING
        self._pumping: asyncio.Task[None] | None = None
        self._holding: dict[str, list[Batch]] = {}
        """What came of patterns whose snapshot is still to come."""

    # how it stands

    @property
    def buffered(self) -> tuple[int, int, int]:
        """Messages of feeds that wait, their bytes, and how many were lost."""
        if self._buffer is None:
            return 0, 0, 0
        totals = self._buffer.totals
        return totals.messages, totals.bytes, totals.lost

    @property
    def attached_given(self) -> int:
        """Messages and reports given to the client there is."""
        return self._flow.given if self._flow is not None else 0

    @property
    def given(self) -> int:
        """Messages and reports given to clients."""
        return self.delivered + (self._flow.given if self._flow is not None else 0)

    @property
    def sources(self) -> int:
        """Durable sources that match and may be read."""
        return len({subject for bound in self._bound.values() for subject in self._readable(bound.feed)})

    def list_cursors(self) -> list[Cursor]:
        """What was acknowledged of each source, and where it ends."""
        tails = {subject: tail.tail for bound in self._bound.values() for subject, tail in bound.feed.tails.items()}
        return [
            Cursor(subject=subject, position=position.next, tail=tails.get(subject, -1))
            for subject, position in sorted(self.cursors.items())
        ]

    def _readable(self, feed: LiveFeed) -> list[str]:
        if self._caller.reads_all(feed.provider_name):
            return list(feed.tails)
        return [subject for subject in feed.tails if self._caller.reads(subject)]

    # what it is bound to

    def bind(self, spec: PatternSpec, feed: LiveFeed, *, hold: bool) -> None:
        """Get what matches from now on.  ``hold``: messages wait for :meth:`give_snapshot`."""
        self._bound[spec.pattern] = Bound(spec, feed, ())
        self._find_earlier()
        feed.outlets[self] = None
        if hold:
            self._holding[spec.pattern] = []
        if self._flow is not None:
            feed.attached[self] = None
            for tail in list(feed.tails.values()):
                self.source_found(feed, tail)

    def change(self, spec: PatternSpec) -> None:
        """Another policy, or other bounds, from now on."""
        self._bound[spec.pattern] = self._bound[spec.pattern]._replace(spec=spec)
        if self._buffer is not None:
            self._buffer.change(spec)

    def unbind(self, pattern: str) -> list[str]:
        """Get no more of it; the sources that nothing else is bound to.  Their cursors are forgotten."""
        bound = self._bound.pop(pattern, None)
        if bound is None:
            return []
        self._find_earlier()
        feed = bound.feed
        feed.outlets.pop(self, None)
        feed.attached.pop(self, None)
        self._holding.pop(pattern, None)
        if self._buffer is not None:
            self._buffer.forget(pattern)
        left = [other for other in self._bound if overlap(other, pattern)]
        gone = [
            subject
            for subject in {*self.cursors, *feed.tails}
            if matches(pattern, subject) and not any(matches(other, subject) for other in left)
        ]
        forgotten = [subject for subject in gone if self.cursors.pop(subject, None) is not None]
        for subject in gone:
            self._sources.pop(subject, None)
        if self._flow is not None and gone:
            self._flow.forget(gone)
        self._rehome(feed)
        if forgotten:
            self._around.forget_cursors(self.session_id, forgotten)
        return gone

    def _rehome(self, feed: LiveFeed) -> None:
        """Sources that were read for ``feed`` and match another pattern, too, are read for that one."""
        for subject, source in self._sources.items():
            if source.feed is feed:
                other = next(bound.feed for bound in self._bound.values() if matches(bound.spec.pattern, subject))
                source.feed = other
                source.tail = other.tails.get(subject, source.tail)

    def lose(self, pattern: str, reason: str) -> None:
        """:meth:`unbind` by no wish of the client's: it is told."""
        subjects = sorted(self.unbind(pattern))
        detail = {"reason": reason, "subjects": subjects[:100], "count": len(subjects)}
        self._report(Message(pattern, time=self._around.wall(), kind="unbound", detail=detail))

    def dispose(self) -> None:
        """The session is over."""
        for bound in self._bound.values():
            bound.feed.outlets.pop(self, None)
            bound.feed.attached.pop(self, None)
        self._bound.clear()

    def _find_earlier(self) -> None:
        """Which of the patterns gives what several match."""
        before: list[str] = []
        for pattern, bound in self._bound.items():
            earlier = tuple(other for other in before if overlap(other, pattern)) if before else ()
            if earlier != bound.earlier:
                self._bound[pattern] = bound._replace(earlier=earlier)
            before.append(pattern)

    # feeds

    def give_snapshot(self, pattern: str, snapshot: Sequence[Message]) -> None:
        """What is so now, and then what came meanwhile."""
        held = self._holding.pop(pattern, None)
        bound = self._bound.get(pattern)
        if bound is None or held is None:
            return
        if snapshot:
            self._offer_items(bound, [(message.subject, pack(message)) for message in snapshot])
        for batch in held:
            self.offer(bound.feed, batch)

    def offer(self, feed: LiveFeed, batch: Batch) -> None:
        """Messages of a feed: on their way to the client at once, if it has room, else to the buffer."""
        pattern = feed.pattern
        bound = self._bound[pattern]
        if pattern in self._holding:
            self._holding[pattern].append(batch)
        elif bound.earlier or not self._caller.reads_all(feed.provider_name):
            self._offer_items(bound, batch.items)
        else:
            flow = self._flow
            if flow is not None and not self._backlog and flow.room >= len(batch.blob):
                flow.write_feed(batch.blob, len(batch.items))
            else:
                self._keep(bound.spec, batch.items)
                self._flush()

    def _offer_items(self, bound: Bound, items: Sequence[tuple[str, bytes]]) -> None:
        """:meth:`offer` for a session that does not get all of them."""
        caller = self._caller
        if not caller.reads_all(bound.feed.provider_name):
            items = [item for item in items if item[0] == bound.spec.pattern or caller.reads(item[0])]
        for other in bound.earlier:
            items = [item for item in items if not matches(other, item[0])]
        if items:
            self._keep(bound.spec, items)
            self._flush()

    @property
    def _backlog(self) -> bool:
        return bool(self._notices) or (self._buffer is not None and self._buffer.waiting)

    def _keep(self, spec: PatternSpec, items: Sequence[tuple[str, bytes]]) -> None:
        if self._buffer is None:
            self._buffer = FeedBuffer(self._around.limits)
        if not self._buffer.add(spec, items, attached=self._flow is not None):
            error = SlowConsumer(
                f"{spec.pattern}: more messages wait than its buffer has room for, and its policy is to disconnect",
                behind_bytes=self._buffer.totals.bytes,
            )
            self._around.let_go(self.session_id, self._attachment, error)

    def _report(self, message: Message) -> None:
        self._note(message)
        self._flush()

    def _note(self, message: Message) -> None:
        self._notices.append(pack(message))
        if len(self._notices) > _NOTICES_MAX:
            del self._notices[0]

    def _flush(self) -> None:
        """Give the client of what waits as much as there is room for."""
        flow = self._flow
        if flow is None:
            return
        while self._notices and flow.room > 0:
            flow.write(self._notices.pop(0), 1)
        buffer = self._buffer
        if buffer is not None and buffer.waiting:
            room = flow.room
            if room > 0:
                parts = buffer.take(room, self._around.wall())
                flow.write_feed(b"".join(parts), len(parts))
            if not buffer.waiting and not buffer.totals.lost:
                self._buffer = None  # an idle session pays for none

    # clients

    def attach(self, carrier: Carrier, attachment: int, caller: Caller) -> None:
        """Give all that waits, and what comes, to this client; durable sources from what was acknowledged on."""
        self._caller = caller
        self._attachment = attachment
        self._ready = deque()
        flow = self._flow = Outflow(
            carrier, self._around.limits.session_stream_bytes, self._on_room, lambda: self._on_cut(attachment)
        )
        for bound in self._bound.values():
            bound.feed.attached[self] = None
            for tail in list(bound.feed.tails.values()):
                self.source_found(bound.feed, tail)
        flow.start()
        self._flush()

    def end(self, error: HoldfastError | None) -> None:
        """Let the client go."""
        flow, self._flow = self._flow, None
        if flow is None:
            return
        for bound in self._bound.values():
            bound.feed.attached.pop(self, None)
        if flow.feed_in_doubt:
            reason = "a client left while messages of feeds were on their way to it"
            lost = Message("", time=self._around.wall(), kind="gap", detail={"reason": reason})
            self._note(lost)
        self.delivered += flow.given
        self._sources.clear()
        self._ready = _NOTHING
        if self._pumping is not None:
            self._pumping.cancel()
            self._pumping = None
        self._caller = self._owner
        flow.end(error)

    def acknowledge(self, count: int) -> dict[str, Position]:
        """All up to the ``count``-th message of this attachment is dealt with; the cursors that moved."""
        assert self._flow is not None, "the manager has looked"
        moved = {subject: Position(*place) for subject, place in self._flow.acknowledge(count).items()}
        kept = {subject: place for subject, place in moved.items() if subject in self._sources}
        self.cursors.update(kept)
        self._kick()
        return kept

    def resume(self, wanted: Mapping[str, Position]) -> dict[str, Position]:
        """A client that comes back says what it had; the cursors that moved: forward only, and within the source."""
        tails = {
            subject: tail
            for bound in self._bound.values()
            for subject, tail in bound.feed.tails.items()
            if subject in wanted and self._may_read(bound.feed, subject)
        }
        moved: dict[str, Position] = {}
        for subject, tail in tails.items():
            place = Position(wanted[subject].next, wanted[subject].ended and tail.ended)
            if self.cursors.get(subject, Position(-1)) < place and place.next <= tail.tail:
                moved[subject] = place
        self.cursors.update(moved)
        return moved

    def _on_room(self) -> None:
        self._flush()
        self._kick()

    def _on_cut(self, attachment: int) -> None:
        self._around.cut(self.session_id, attachment)

    # durable sources

    def source_found(self, feed: LiveFeed, tail: Tail) -> None:
        """A durable source matches."""
        subject = tail.subject
        if subject in self._sources or not self._may_read(feed, subject):
            return
        source = self._sources[subject] = Source(feed, tail, self._position(tail))
        if source.due:
            self._enqueue(source)

    def _position(self, tail: Tail) -> Position:
        """Where to go on: after what was acknowledged; from the beginning in a source that ends before that."""
        position = self.cursors.get(tail.subject, Position(-1))
        if position.next <= tail.tail:
            return position
        reason = f"the source ends at {tail.tail}, before {position.next}: it was made anew, or lost what it had"
        self._note(Message(tail.subject, time=self._around.wall(), kind="gap", detail={"reason": reason}))
        return Position(-1)

    def source_moved(self, subject: str) -> None:
        """There is more of it, or its end."""
        source = self._sources.get(subject)
        if source is not None and source.due:
            self._enqueue(source)

    def source_gone(self, feed: LiveFeed, subject: str, reason: str) -> None:
        """It is not there any more."""
        known = self._sources.get(subject)
        if known is not None and known.feed is not feed:
            return  # the feed that it is read for will say so
        had = self.cursors.pop(subject, None)
        if had is not None:
            self._around.forget_cursors(self.session_id, [subject])
        if self._flow is not None:
            self._flow.forget([subject])
        if self._sources.pop(subject, None) is not None or had is not None:
            self._report(Message(subject, time=self._around.wall(), kind="gone", detail={"reason": reason}))

    def _may_read(self, feed: LiveFeed, subject: str) -> bool:
        return self._caller.reads_all(feed.provider_name) or self._caller.reads(subject)

    def _enqueue(self, source: Source) -> None:
        if not source.queued:
            source.queued = True
            self._ready.append(source)
            self._kick()

    def _kick(self) -> None:
        """Have what is ready read, if the client has room for it."""
        if self._ready and self._pumping is None and self._may_pump(self._flow):
            assert self._flow is not None
            self._pumping = self._around.spawn(self._pump(self._flow), f"session-{self.session_id}")

    def _may_pump(self, flow: Outflow | None) -> bool:
        return (
            flow is not None
            and flow is self._flow
            and flow.room > 0
            and len(flow.unacknowledged) < self._around.limits.session_unacknowledged_max
        )

    async def _pump(self, flow: Outflow) -> None:
        try:
            while self._ready and self._may_pump(flow):
                source = self._ready.popleft()
                source.queued = False
                await self._read(source, flow)
        except HoldfastError as error:
            if flow is self._flow:
                _logger.warning("session.read_failed", session=self.session_id, error=str(error))
                self._pumping = None
                self._around.let_go(self.session_id, self._attachment, error)
        finally:
            if flow is self._flow:
                self._pumping = None

    async def _read(self, source: Source, flow: Outflow) -> None:
        """One page of ``source``."""
        subject, limits = source.tail.subject, self._around.limits
        if source.feed.provider is None or self._sources.get(subject) is not source:
            return
        if not self._may_read(source.feed, subject):
            self.source_gone(source.feed, subject, "it may not be read any more")
            return
        size = min(limits.session_read_bytes, max(1, flow.room))
        try:
            page = await source.feed.provider.read(subject, source.next, size)
        except NotFound:
            self.source_gone(source.feed, subject, "it is not there any more")
            return
        if flow is not self._flow or self._sources.get(subject) is not source:
            return
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
            flow.write_durable(data, given)
        if page.messages and source.due:
            self._enqueue(source)
