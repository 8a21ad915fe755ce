"""What a provider is: a source of subjects that sessions bind to.

The name a provider is added under is the first word of all its subjects.  A subject is either

* *durable*: the source keeps its messages, each at a position.  Sessions read it with :meth:`Provider.read` when their
  client is ready, so nothing is buffered; all a provider does beside that is to say, through the sink, that the subject
  is there (``found``), that there is more (``moved``), that it is complete (``ended``) or not there any more
  (``gone``); or
* a *feed*: messages are given to the sink as they come (``messages``), and whoever is not there does not get them.

A third-party package offers a kind of provider under the entry point group ``holdfast.providers``: the entry's name is
the kind, its object is called as ``factory(name, options, context)`` and gives a Provider; it raises UsageError naming
the option that is wrong.  Methods that a kind has no use for are in :class:`BaseProvider`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ...errors import NotFound, PermissionDenied, UsageError

if TYPE_CHECKING:
    from ...clock import Clock
    from ...limits import Limits
    from ..model import Message, SubjectInfo

ENTRY_POINTS = "holdfast.providers"


class Sink(Protocol):
    """Where an open stream's news go.  No call waits, raises, or calls back into the provider."""

    def found(self, subject: SubjectInfo) -> None:
        """There is a durable subject that the pattern matches; those that are there at the beginning, too.

        Said again when others may read it than before.
        """
        ...

    def moved(self, subject: str, tail: int) -> None:
        """A durable subject has more than before: it reaches to ``tail`` now."""
        ...

    def ended(self, subject: str) -> None:
        """A durable subject is complete: nothing will follow its last position."""
        ...

    def gone(self, subject: str, reason: str) -> None:
        """A subject is not there any more; sessions are told, and forget their cursor."""
        ...

    @property
    def heard(self) -> bool:
        """Whether there is a session now that gets what is said: one that is being made has yet to be stored."""
        ...

    def messages(self, batch: Sequence[Message]) -> None:
        """Messages of feeds, in order; a batch costs little more than one message."""
        ...

    def packed(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """The same for messages that are packed already (``packing.pack``), each with its subject."""
        ...

    def gap(self, subject: str, reason: str) -> None:
        """The feed behind ``subject`` (or behind the whole pattern) was cut and is back: some may have been missed."""
        ...

    def failed(self, reason: str) -> None:
        """The stream is over by itself and will not come back; sessions lose the pattern and are told."""
        ...


class Stream(Protocol):
    """A pattern that is being followed."""

    async def close(self) -> None:
        """Follow it no more; the sink is not called again once this returns.  Idempotent."""
        ...


class Page(NamedTuple):
    """What a durable subject has after a position."""

    messages: Sequence[Message]
    """Each with its position and next_position; a hole is a message of kind ``gap``."""
    next_position: int
    """Where to read on."""
    ended: bool = False
    """The subject is complete, and nothing follows ``next_position``."""


class Provider(Protocol):
    """A source of subjects.  Every method is called on the node's event loop; none may block it."""

    async def start(self) -> None:
        """Get ready; whatever it raises is why the provider was not added, and :meth:`stop` is not called then."""
        ...

    async def stop(self) -> None:
        """Let go of everything; all streams are closed before.  Idempotent."""
        ...

    def durable(self, pattern: str) -> bool:
        """Whether all subjects that ``pattern`` can match are durable, so that nothing of them is ever missed."""
        ...

    async def subjects(self, pattern: str) -> Sequence[SubjectInfo]:
        """The subjects there are now that ``pattern`` matches; [] from a feed that cannot list them."""
        ...

    async def open(self, pattern: str, sink: Sink) -> Stream:
        """Follow ``pattern``, which may be a single subject, until the stream is closed.

        Opened once for all sessions that have the pattern.  When this returns it is in force: nothing after is missed,
        and durable subjects that are there have been ``found``.  Subjects that come to be join by themselves.
        Whatever it raises is why the sessions do not get the pattern; nothing stays open then.
        """
        ...

    async def read(self, subject: str, position: int, max_bytes: int) -> Page:
        """Durable subjects: what is at ``position`` and after, at most ``max_bytes`` of payload but at least a message.

        A ``position`` below the oldest, -1 too, means the oldest; nothing is skipped in silence: what is trimmed away
        between a position of 0 or more and the oldest comes as a message of kind ``gap``.  An empty page: that was
        all for now.  NotFound if there is no such subject.
        """
        ...

    async def snapshot(self, subject: str) -> Sequence[Message]:
        """Feeds: what is so now, for a session that begins; [] if it keeps nothing.

        One message for each subject that ``subject``, which may be a pattern, matches; taken so that with what the
        sink is given from then on nothing is missing.
        """
        ...

    async def send(self, message: Message, sender: Sender) -> int:
        """Take ``message`` to its subject; its position there, -1 for a feed.

        NotFound if there is no such subject; PermissionDenied if nobody may write there.
        """
        ...


class Sender(Protocol):
    """Who sends, as the node's door introduces it."""

    @property
    def subject(self) -> str:
        """Its name."""
        ...

    @property
    def identity(self) -> Any:
        """What the node proved of it; only the node's own providers look at it."""
        ...


class Context(NamedTuple):
    """What a factory may use."""

    clock: Clock
    limits: Limits
    state_dir: str = ""
    """A directory of its own, for what it wants to keep; made when first used."""


Factory = Callable[[str, Mapping[str, str], Context], Provider]
"""Makes a provider: ``factory(name, options, context)``."""


class BaseProvider:
    """What a provider does that has nothing to say: derive from it and write :meth:`Provider.open`."""

    async def start(self) -> None:
        """Nothing to get ready."""

    async def stop(self) -> None:
        """Nothing to let go of."""

    async def forget(self) -> None:
        """Nothing is kept for the next start.

        Asked of those that have it, when they are removed for good, and were stopped.
        """

    def durable(self, pattern: str) -> bool:
        """No: they are feeds."""
        return False

    async def subjects(self, pattern: str) -> Sequence[SubjectInfo]:
        """There is no list."""
        return []

    async def read(self, subject: str, position: int, max_bytes: int) -> Page:
        """Nothing is durable."""
        raise NotFound(kind="durable subject", name=subject)

    async def snapshot(self, subject: str) -> Sequence[Message]:
        """Nothing is kept."""
        return []

    async def send(self, message: Message, sender: Sender) -> int:
        """Nobody may write."""
        raise PermissionDenied(f"{message.subject}: nothing can be sent there")


class OpenStream:
    """A Stream that a function closes."""

    def __init__(self, close: Callable[[], Awaitable[None]]) -> None:
        self._close: Callable[[], Awaitable[None]] | None = close

    async def close(self) -> None:
        """Idempotent."""
        close, self._close = self._close, None
        if close is not None:
            await close()


def take_options(options: Mapping[str, str], known: Mapping[str, str], kind: str) -> dict[str, str]:
    """``options`` over the defaults in ``known``; UsageError naming one that is unknown, or required and missing.

    A default of ``"!"`` makes the option required.
    """
    for name in options:
        if name not in known:
            some = ", ".join(known) or "none"
            raise UsageError(f"options.{name}: a provider of kind {kind} has {some}", field=f"options.{name}")
    taken = {**known, **options}
    for name, value in taken.items():
        if value == "!":
            raise UsageError(f"options.{name}: a provider of kind {kind} needs it", field=f"options.{name}")
    return taken
