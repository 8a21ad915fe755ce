"""What the manager's core asks of its shell: decided first, done after.  Frozen, and without a way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ...errors import HoldfastError
    from ..model import Change, PatternSpec
    from .state import Session, Ticket


class StartProvider(NamedTuple):
    """Start it, then say ``provider_started``."""

    name: str


class StopProvider(NamedTuple):
    """Close its streams, stop it, then say ``provider_stopped``."""

    name: str
    feeds: Sequence[str]


class OpenFeed(NamedTuple):
    """Follow the pattern, then say ``feed_opened``."""

    pattern: str


class CloseFeed(NamedTuple):
    """Follow the pattern no more."""

    pattern: str


class Save(NamedTuple):
    """Store the session with these patterns, durably, then say ``session_saved`` if there is a ``ticket``."""

    session: Session
    patterns: Sequence[PatternSpec]
    version: int
    added: Sequence[PatternSpec] = ()
    """Those of the patterns that are new to it."""
    ticket: Ticket | None = None


class Forget(NamedTuple):
    """Remove what is stored of the session, then answer ``ticket``."""

    session: Session
    ticket: Ticket | None


class Bind(NamedTuple):
    """From now on the session gets what matches ``added``, and no more of ``removed``."""

    session: Session
    added: Sequence[PatternSpec]
    changed: Sequence[PatternSpec]
    removed: Sequence[str]


class Unbind(NamedTuple):
    """The session lost patterns by no wish of its own: it is told which, and why."""

    session: Session
    patterns: Sequence[str]
    reason: str


class BeginDelivery(NamedTuple):
    """Give the session's messages to its new client; ``carrier`` is how."""

    session: Session
    attachment: int
    carrier: Any


class EndDelivery(NamedTuple):
    """Let the client go, with ``error`` if it did not ask for it."""

    session: Session
    error: HoldfastError | None


class Dispose(NamedTuple):
    """The session is over: let go of all that was kept for it in memory."""

    session: Session


class Plan(NamedTuple):
    """Find out what durable sources would replay, and answer ``ticket`` with it."""

    session: Session
    change: Change
    added: Sequence[PatternSpec]
    ticket: Ticket


class Answer(NamedTuple):
    """Whoever waits gets ``result``, or ``error`` is raised there."""

    ticket: Ticket
    result: Any = None
    error: HoldfastError | None = None


class Note(NamedTuple):
    """Into the log."""

    event: str
    fields: dict[str, Any]


Effect = (
    StartProvider
    | StopProvider
    | OpenFeed
    | CloseFeed
    | Save
    | Forget
    | Bind
    | Unbind
    | BeginDelivery
    | EndDelivery
    | Dispose
    | Plan
    | Answer
    | Note
)
