"""What the manager's core knows: sessions, feeds, providers.  Plain data; only the core changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..access import Caller
    from ..model import PatternSpec
    from ..patterns import Diff, PatternSet

Ticket = object
"""Stands for whoever waits for the answer to a command; the core only hands it back."""


class Wish(NamedTuple):
    """A set of patterns that somebody wants for a session, and waits for."""

    ticket: Ticket
    specs: Sequence[PatternSpec]
    expected_version: int = 0
    dry_run: bool = False


class Pending:
    """A set of patterns on its way: its new feeds are opening, or it is being stored."""

    __slots__ = ("diff", "patterns", "saving", "ticket", "waiting")

    def __init__(self, ticket: Ticket, patterns: PatternSet, diff: Diff) -> None:
        self.ticket = ticket
        self.patterns = patterns
        self.diff = diff
        self.waiting: set[str] = set()
        """Feeds that are not open yet."""
        self.saving = False


class Session:
    """One session."""

    __slots__ = (
        "attachment",
        "attachments",
        "born",
        "caller",
        "client",
        "created_at",
        "expires_at",
        "id",
        "idle_after",
        "patterns",
        "pending",
        "queued_at",
        "version",
        "wishes",
    )

    def __init__(self, id: str, caller: Caller, idle_after: float, created_at: float) -> None:
        self.id = id
        self.caller = caller
        """Whose it is."""
        self.idle_after = idle_after
        self.created_at = created_at
        self.patterns: PatternSet = {}
        self.version = 0
        self.born = False
        """It is stored, and its maker knows of it."""
        self.attachment = 0
        """Number of the attachment there is; 0: there is none."""
        self.attachments = 0
        """How many there have been."""
        self.client = ""
        self.expires_at: float | None = None
        """When it closes by itself, on the scale of ``now``; None: the timer is not armed."""
        self.queued_at: float | None = None
        """The deadline under which it waits in the queue of timers, which is never later than ``expires_at``."""
        self.pending: Pending | None = None
        self.wishes: list[Wish] = []

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.caller.subject


class Attached(NamedTuple):
    """What became of an attach; the client may be gone again already."""

    session: Session
    attachment: int
    version: int


FeedState = Literal["opening", "open", "failed"]


class Feed:
    """One pattern of one provider, followed for all sessions that have it."""

    __slots__ = ("linger_until", "pattern", "sessions", "state")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.state: FeedState = "opening"
        """``failed``: it did not open when the node came back; it is tried again."""
        self.sessions: dict[str, Session] = {}
        """Those bound to it, and those that are about to be."""
        self.linger_until: float | None = None
        """When it closes, if no session comes; None: some are there."""


class ProviderEntry:
    """One provider."""

    __slots__ = ("built_in", "name", "reason", "state", "ticket", "unbound")

    def __init__(self, name: str, built_in: bool, ticket: Ticket | None) -> None:
        self.name = name
        self.built_in = built_in
        self.state: Literal["starting", "running", "stopping"] = "starting"
        self.ticket = ticket
        """Who waits for it to be started, or stopped."""
        self.reason = ""
        self.unbound = 0
        """How many sessions its end unbound."""
