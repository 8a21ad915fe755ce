"""The session commands: one definition from which the node's dispatch, the clients' stubs and the docs are made.

A session belongs to who made it.  For anybody else it does not exist: SessionNotFound, as for an unknown id.
Messages travel packed (``packing``) on the stream that a client names when it attaches.
"""

from __future__ import annotations

from typing import Protocol

from ..rpc.commands import Commands
from .model import (
    AttachStart,
    Change,
    PatternSpec,
    ProviderInfo,
    Published,
    Removal,
    SessionInfo,
    SessionStats,
    SubjectInfo,
)

DEFAULT_IDLE = 3_600.0


class SessionsApi(Protocol):
    """What can be done with sessions."""

    async def new(self, patterns: list[PatternSpec] = [], idle_after: float = DEFAULT_IDLE) -> SessionInfo:  # noqa: B006
        """Make a session, durable on return, with a random id.

        It closes by itself after ``idle_after`` seconds without a client, counted from now and from each detach; 0 or
        less: never.  Raises UsageError for a bad pattern, NotFound(kind="provider"), what kept a pattern from starting
        (the message names it), LimitExceeded(sessions_per_identity_max, sessions_max, session_patterns_max).
        """
        ...

    async def attach(
        self, session: str, stream: int, steal: bool = False, client: str = "", acknowledges: bool = True
    ) -> AttachStart:
        """Become the session's client: stream number ``stream`` of this connection carries its messages, packed.

        Durable sources go on after what was acknowledged last, feeds with what waits in the buffer.  The stream begins
        when the caller acknowledges its start, and ends when the session closes or the client is replaced, failing
        with a text that ``rpc.failures.decode_failure`` turns into SessionClosed, SessionTaken, SlowConsumer.
        At most ``session_unacknowledged_max`` messages of durable sources are given ahead of :meth:`ack`; with
        ``acknowledges`` false any number, and :meth:`ack` moves no cursor: it all comes again to who attaches next.

        Raises SessionNotFound; ClientAlreadyAttached, unless ``steal``: then the other client is let go with
        SessionTaken(by=``client``).  The end of the connection detaches.
        """
        ...

    async def detach(self, session: str, attachment: int = 0) -> SessionInfo:
        """Let the client go; its stream ends.  ``attachment``: only if it is this one; 0: whoever is attached.

        Raises SessionNotFound, ClientNotAttached.
        """
        ...

    async def configure(
        self, session: str, patterns: list[PatternSpec], dry_run: bool = False, expected_version: int = 0
    ) -> Change:
        """Make ``patterns`` the session's whole set, atomically; durable on return.

        New ones are started first; if one fails, all is as it was, and the error names it.  Those in both sets go on
        without a gap or a repeat.  With ``dry_run`` nothing is done but told what it would be, with the bytes that
        durable sources would replay.  ``expected_version``: only if the set is at this version, else Conflict.

        Raises SessionNotFound, UsageError for a bad pattern or one given twice, NotFound(kind="provider"),
        LimitExceeded(session_patterns_max).
        """
        ...

    async def ack(self, session: str, attachment: int, count: int) -> None:
        """All up to the ``count``-th message or report that this attachment was given is dealt with; durable on return.

        Cumulative and idempotent.  Raises SessionNotFound; ClientNotAttached if another client, or none, is attached;
        UsageError for more than were given.
        """
        ...

    async def close(self, session: str, reason: str = "") -> None:
        """End the session: its client is let go with SessionClosed(reason), cursors are forgotten."""
        ...

    async def info(self, session: str) -> SessionInfo:
        """One session, with its cursors."""
        ...

    async def publish(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] = {},  # noqa: B006
        sequence: int = 0,
    ) -> Published:
        """Send a message to a provider: onto the bus, into a job's input, or as an entry of a channel.

        ``sequence``: where the source counts its senders' messages (channels), so that repeating it is safe; 0: let
        the node count.  Done on return as far as the provider goes: a channel's entry is durable, a message on the bus
        is with those who listen now.  Raises NotFound, PermissionDenied, UsageError, LimitExceeded.
        """
        ...

    async def subjects(self, pattern: str) -> list[SubjectInfo]:
        """The subjects there are now that match and that the caller may read; feeds that have no list have none."""
        ...

    async def providers(self) -> list[ProviderInfo]:
        """The node's providers, by name."""
        ...

    async def add_provider(self, name: str, kind: str, options: dict[str, str] = {}) -> ProviderInfo:  # noqa: B006
        """Make and start a provider of ``kind``; it comes back with the node.  ``options`` are the kind's own.

        Raises UsageError for a bad name or option, NotFound(kind="provider kind"), AlreadyExists, LimitExceeded
        (providers_max), and what kept it from starting; nothing is left behind then.
        """
        ...

    async def remove_provider(self, name: str, reason: str = "") -> Removal:
        """Stop a provider: the sessions bound to it lose those patterns, and each is told which, and why.

        NotFound(kind="provider"); PermissionDenied for one that belongs to the node.
        """
        ...

    async def stats(self) -> SessionStats:
        """The node's sessions in figures."""
        ...

    async def list(self, after: str = "") -> list[SessionInfo]:
        """The caller's sessions by id, the first so many after the id ``after``; empty: there are no more."""
        ...


COMMANDS = Commands("sessions", SessionsApi)
