"""One session's way out: what it is bound to, how far it is with each source, and its client, if it has one.

``reading`` has how durable sources are read for the client, ``backlog`` what waits for it.

While nobody is attached there are cursors, and a buffer for messages of feeds: no task, and nothing of what logs keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...errors import HoldfastError, SlowConsumer
from ...subjects import matches, overlap
from ..model import Cursor, Message, PatternSpec
from ..packing import pack
from .backlog import Backlog
from .outflow import Outflow
from .reading import Position, SourceReader, may_read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..access import Caller
    from ..router import Batch, LiveFeed, Tail
    from .outflow import Carrier
    from .surroundings import Surroundings


class Bound(NamedTuple):
    """One pattern of the session."""

    spec: PatternSpec
    feed: LiveFeed
    earlier: tuple[str, ...]
    """Other patterns of the session that match some of the same subjects and come first; they give those."""


class Outlet:
    """See the module."""

    def __init__(self, session_id: str, caller: Caller, around: Surroundings) -> None:
        self.session_id = session_id
        self.cursors: dict[str, Position] = {}
        """What was acknowledged."""
        self.unstored: dict[str, Position] = {}
        """Those of the cursors that moved since they were stored last."""
        self.delivered = 0
        """Given to clients that are not attached any more."""
        self.recovered_why = ""
        """What a restart of the node has lost; empty: nothing."""
        self._owner = caller
        self._caller = caller
        self._around = around
        self._bound: dict[str, Bound] = {}
        self._backlog = Backlog(around.limits)
        self._flow: Outflow | None = None
        self._attachment = 0
        self._reader: SourceReader | None = None
        """Of the client there is."""
        self._in_doubt: set[str] = set()
        """Durable sources of which clients that left were given something they did not acknowledge."""
        self._holding: dict[str, list[Batch]] = {}
        """What came of patterns whose snapshot is still to come."""

    # how it stands

    @property
    def buffered(self) -> tuple[int, int, int]:
        """Messages of feeds that wait, their bytes, and how many were lost."""
        return self._backlog.buffered

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
        self._backlog.change(spec)

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
        self._backlog.forget(pattern)
        left = [other for other in self._bound if overlap(other, pattern)]
        gone = [
            subject
            for subject in {*self.cursors, *feed.tails}
            if matches(pattern, subject) and not any(matches(other, subject) for other in left)
        ]
        forgotten = [subject for subject in gone if self._forget_cursor(subject)]
        if self._reader is not None:
            if gone:
                self._reader.forget(gone)
            self._reader.rehome(feed, [other.feed for other in self._bound.values()])
        if forgotten:
            self._around.forget_cursors(self.session_id, forgotten)
        return gone

    def _forget_cursor(self, subject: str) -> bool:
        self.unstored.pop(subject, None)
        return self.cursors.pop(subject, None) is not None

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
            if flow is not None and not self._backlog.waiting and flow.room >= len(batch.blob):
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

    def _keep(self, spec: PatternSpec, items: Sequence[tuple[str, bytes]]) -> None:
        try:
            self._backlog.keep(spec, items, attached=self._flow is not None)
        except SlowConsumer as error:
            self._around.let_go(self.session_id, self._attachment, error)

    def _report(self, message: Message) -> None:
        self._backlog.note(message)
        self._flush()

    def _flush(self) -> None:
        if self._flow is not None and self._backlog.waiting:
            self._backlog.give(self._flow, self._around.wall())

    # clients

    def attach(self, carrier: Carrier, attachment: int, caller: Caller) -> None:
        """Give all that waits, and what comes, to this client; durable sources from what was acknowledged on."""
        self._caller = caller
        self._attachment = attachment
        around, session_id = self._around, self.session_id
        flow = self._flow = Outflow(
            carrier, around.limits.session_stream_bytes, self._on_room, lambda: around.cut(session_id, attachment)
        )
        self._reader = SourceReader(
            session_id,
            caller,
            flow,
            around,
            self.source_gone,
            lambda error: around.let_go(session_id, attachment, error),
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
            self._backlog.note(lost)
        self.delivered += flow.given
        self._in_doubt.update(given.subject for given in flow.unacknowledged)
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.end()
        self._caller = self._owner
        flow.end(error)

    def acknowledge(self, count: int) -> None:
        """All up to the ``count``-th message of this attachment is dealt with; the cursors that moved are unstored."""
        reader = self._reader
        assert self._flow is not None, "the manager has looked"
        assert reader is not None, "it comes and goes with the flow"
        moved = {subject: Position(*place) for subject, place in self._flow.acknowledge(count).items()}
        kept = {subject: place for subject, place in moved.items() if subject in reader}
        self._move(kept)
        reader.kick()

    def _move(self, moved: Mapping[str, Position]) -> None:
        self.cursors.update(moved)
        self.unstored.update(moved)

    def resume(self, wanted: Mapping[str, Position]) -> None:
        """A client that comes back says what it had; cursors move forward only, and within the source."""
        tails = {
            subject: tail
            for bound in self._bound.values()
            for subject, tail in bound.feed.tails.items()
            if subject in wanted and may_read(self._caller, bound.feed, subject)
        }
        moved: dict[str, Position] = {}
        for subject, tail in tails.items():
            place = Position(wanted[subject].next, wanted[subject].ended and tail.ended)
            if self.cursors.get(subject, Position(-1)) < place and place.next <= tail.tail:
                moved[subject] = place
        self._move(moved)

    def _on_room(self) -> None:
        self._flush()
        if self._reader is not None:
            self._reader.kick()

    # durable sources

    def source_found(self, feed: LiveFeed, tail: Tail) -> None:
        """A durable source matches."""
        reader = self._reader
        if reader is not None and tail.subject not in reader and may_read(self._caller, feed, tail.subject):
            reader.add(feed, tail, self._position(tail))

    def _position(self, tail: Tail) -> Position:
        """Where to go on: after what was acknowledged; from the beginning in a source that ends before that."""
        position = self.cursors.get(tail.subject, Position(-1))
        if position.next <= tail.tail:
            return position
        reason = f"the source ends at {tail.tail}, before {position.next}: it was made anew, or lost what it had"
        self._backlog.note(Message(tail.subject, time=self._around.wall(), kind="gap", detail={"reason": reason}))
        return Position(-1)

    def source_moved(self, subject: str) -> None:
        """There is more of it, or its end."""
        if self._reader is not None:
            self._reader.moved(subject)

    def source_gone(self, feed: LiveFeed, subject: str, reason: str) -> None:
        """It is not there any more."""
        reader = self._reader
        known = None if reader is None else reader.feed_of(subject)
        if known is not None and known is not feed:
            return  # the feed that it is read for will say so
        had = self._forget_cursor(subject)
        if had:
            self._around.forget_cursors(self.session_id, [subject])
        if reader is not None:
            reader.forget([subject])
        if known is not None or had or subject in self._in_doubt:
            self._in_doubt.discard(subject)
            self._report(Message(subject, time=self._around.wall(), kind="gone", detail={"reason": reason}))
