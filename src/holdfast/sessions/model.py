"""What a session is, as everyone who speaks of sessions sees it.

Plain frozen classes: they import without msgspec, and every field has a type that JSON can carry.  Messages travel
packed (``packing``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Policy = Literal["drop-oldest", "conflate", "disconnect"]
"""What becomes of messages of a feed that find the session's buffer full.  ``drop-oldest``: the oldest go, counted and
reported in band.  ``conflate``: of each subject only the newest waits.  ``disconnect``: the client is let go with
SlowConsumer.  Durable sources need none: they are read when there is room."""

Start = Literal["oldest", "now"]
"""Where a session begins in a durable source that is there when the pattern comes: with all that is kept, or with what
comes from now on.  What appears later is always given from its beginning."""

Kind = Literal["message", "lost", "gap", "ended", "gone", "unbound"]
"""``message``: from a source.  All others are reports, in band, of what is not coming:

``lost``: messages of a feed were dropped, or conflated; ``detail`` has ``count`` and ``bytes``.
``gap``: a durable source has nothing between ``position`` and ``next_position`` any more (or never had), or a feed was
cut and is back, so that some may have been missed; ``detail`` has the ``reason``.
``ended``: the source is complete, all of it was given.
``gone``: the source is not there any more, or not for us; ``detail`` has the ``reason``.
``unbound``: the pattern in ``subject`` was taken from the session, by the end of its provider; with ``reason``."""

KINDS: tuple[Kind, ...] = ("message", "lost", "gap", "ended", "gone", "unbound")


class Message(NamedTuple):
    """One message, or one report, as a session gives it and providers make it."""

    subject: str
    payload: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody changes a default
    time: float = 0.0
    """Seconds since the epoch when the source had it; 0.0: not known."""
    position: int = -1
    """Where a durable source has it; -1: the source is a feed."""
    next_position: int = -1
    """Where the durable source goes on after it."""
    kind: Kind = "message"
    detail: dict[str, Any] = {}  # noqa: RUF012 - nobody changes a default
    """What a report has to say."""

    @property
    def durable(self) -> bool:
        """Whether its source keeps it, and acknowledging it moves a cursor."""
        return self.next_position >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternSpec:
    """A pattern a session is bound to; its first word is the name of a provider."""

    pattern: str
    policy: Policy = "drop-oldest"
    start: Start = "oldest"
    snapshot: bool = True
    """Begin with what the provider has of each subject now, if it keeps that."""
    buffer_messages: int = 0
    """Messages of this pattern that may wait; 0: the node's limit."""
    buffer_bytes: int = 0
    """The same in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a session is with one durable source."""

    subject: str
    position: int
    """All below is acknowledged."""
    tail: int = -1
    """Where the source ends now; -1: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """A session as it stands."""

    id: str
    owner: str = ""
    """Who made it; for everyone else it does not exist."""
    attached: bool = False
    client: str = ""
    """What the attached client said it was."""
    version: int = 0
    """Grows by one with each change of the patterns."""
    patterns: list[PatternSpec] = field(default_factory=list)
    idle_after: float = 0.0
    """Seconds without a client after which it closes; 0 or less: never."""
    created_at: float = 0.0
    """Seconds since the Unix epoch, as all times here."""
    expires_at: float = 0.0
    """When it closes if no client comes; 0.0: it does not."""
    sources: int = 0
    """Durable sources it reads; as the next in :meth:`SessionsApi.info` only."""
    cursors: list[Cursor] = field(default_factory=list)
    """Of the sources it has acknowledged something of."""
    buffered_messages: int = 0
    """Messages of feeds that wait for its client."""
    buffered_bytes: int = 0
    lost: int = 0
    """Messages of feeds that were dropped since the node started."""
    delivered: int = 0
    """Messages given to clients since the node started."""
    recovered: bool = True
    """False: a restart of the node lost messages of feeds, see ``recovered_why``."""
    recovered_why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachStart:
    """What a client that attaches is told."""

    attachment: int
    """Its number; acknowledgements name it, so that those of a client that was replaced count for nothing."""
    version: int
    recovered: bool = True
    """False: messages of feeds were lost because the node restarted; durable sources never are."""
    recovered_why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReplay:
    """What a new pattern would begin with: one durable source."""

    pattern: str
    subject: str
    position: int
    tail: int
    replay_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a set of patterns changes, or has changed."""

    version: int
    """After it; as it is now with ``dry_run``."""
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    """Stay, with another policy or buffer."""
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Go on without a gap or a repeat."""
    replay: list[SourceReplay] = field(default_factory=list)
    """``dry_run`` only."""
    replay_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectInfo:
    """A subject as its provider knows it."""

    subject: str
    durable: bool = False
    oldest: int = 0
    """Durable sources: the first position kept."""
    tail: int = 0
    """Durable sources: the position after the last."""
    stored_bytes: int = 0
    """What that takes."""
    ended: bool = False
    """Nothing more is coming."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """A provider as it stands."""

    name: str
    kind: str = ""
    options: dict[str, str] = field(default_factory=dict)
    """What it was made with; in place of passwords, tokens and headers ``***``."""
    built_in: bool = False
    """Belongs to the node; cannot be removed."""
    feeds: int = 0
    """Patterns followed now."""
    sessions: int = 0
    """Sessions bound to it."""
    state: Literal["starting", "running", "failed"] = "running"
    """``failed``: it did not start again with the node, and is tried every few seconds."""
    error: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What the end of a provider meant."""

    name: str
    sessions: int
    """How many were bound to it, and were told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where a message went."""

    position: int = -1
    """Its position, if its source is durable; -1: it is a feed's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStats:
    """A node's sessions in figures."""

    sessions: int = 0
    attached: int = 0
    providers: int = 0
    feeds: int = 0
    delivered: int = 0
    """Since the node started, as all counts below."""
    lost: int = 0
    reaped: int = 0
    """Sessions that were idle for too long."""
