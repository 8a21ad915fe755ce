"""From providers to sessions: what is said of a followed pattern goes to every session that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .model import Message
from .packing import pack
from .patterns import provider_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .model import SubjectInfo
    from .providers.base import Provider, Stream


class Tail:
    """How far a durable source goes."""

    __slots__ = ("ended", "subject", "tail")

    def __init__(self, subject: str, tail: int, *, ended: bool) -> None:
        self.subject = subject
        self.tail = tail
        self.ended = ended


class Batch:
    """Messages of a feed, packed once for all who get them."""

    __slots__ = ("blob", "items")

    def __init__(self, items: Sequence[tuple[str, bytes]]) -> None:
        self.items = items
        self.blob = items[0][1] if len(items) == 1 else b"".join([data for _, data in items])


class Follower(Protocol):
    """What a session is to the feeds of its patterns: an :class:`~holdfast.sessions.delivery.outlet.Outlet`."""

    def offer(self, feed: LiveFeed, batch: Batch) -> None:
        """Messages came."""
        ...

    def source_found(self, feed: LiveFeed, tail: Tail) -> None:
        """A durable source matches."""
        ...

    def source_moved(self, subject: str) -> None:
        """There is more of it, or its end."""
        ...

    def source_gone(self, feed: LiveFeed, subject: str, reason: str) -> None:
        """It is not there any more."""
        ...


class LiveFeed:
    """One followed pattern.  Implements :class:`~holdfast.sessions.providers.base.Sink`.

    A message costs what the sessions cost that get it; those of other patterns cost nothing.
    """

    def __init__(self, pattern: str, wall: Callable[[], float], on_failed: Callable[[LiveFeed, str], None]) -> None:
        self.pattern = pattern
        self.provider_name = provider_of(pattern)
        self.provider: Provider | None = None
        """None while it is not open."""
        self.stream: Stream | None = None
        self.tails: dict[str, Tail] = {}
        """Its durable sources."""
        self.outlets: dict[Follower, None] = {}
        """Who gets its messages."""
        self.attached: dict[Follower, None] = {}
        """Those of them that have a client now."""
        self._wall = wall
        self._on_failed = on_failed

    # what the provider says

    @property
    def heard(self) -> bool:
        """See :meth:`Sink.heard`."""
        return bool(self.outlets)

    def found(self, subject: SubjectInfo) -> None:
        """See :meth:`Sink.found`; again for one that others may read than before."""
        tail = self.tails.get(subject.subject)
        if tail is None:
            tail = self.tails[subject.subject] = Tail(subject.subject, subject.tail, ended=subject.ended)
        for outlet in list(self.attached):
            outlet.source_found(self, tail)

    def moved(self, subject: str, tail: int) -> None:
        """See :meth:`Sink.moved`."""
        known = self.tails.get(subject)
        if known is not None:
            known.tail = tail
            for outlet in list(self.attached):
                outlet.source_moved(subject)

    def ended(self, subject: str) -> None:
        """See :meth:`Sink.ended`."""
        known = self.tails.get(subject)
        if known is not None:
            known.ended = True
            for outlet in list(self.attached):
                outlet.source_moved(subject)

    def gone(self, subject: str, reason: str) -> None:
        """See :meth:`Sink.gone`."""
        if self.tails.pop(subject, None) is not None:
            for outlet in list(self.outlets):
                outlet.source_gone(self, subject, reason)

    def messages(self, batch: Sequence[Message]) -> None:
        """See :meth:`Sink.messages`."""
        if self.outlets and batch:
            self.packed([(message.subject, pack(message)) for message in batch])

    def packed(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """See :meth:`Sink.packed`."""
        if self.outlets and batch:
            ready = Batch(batch)
            for outlet in list(self.outlets):
                outlet.offer(self, ready)

    def gap(self, subject: str, reason: str) -> None:
        """See :meth:`Sink.gap`."""
        self.messages([Message(subject, time=self._wall(), kind="gap", detail={"reason": reason})])

    def failed(self, reason: str) -> None:
        """See :meth:`Sink.failed`."""
        self._on_failed(self, reason)
