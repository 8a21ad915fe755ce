"""Sessions, as the blocking SDK shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self

from ...errors import (
    ClientAlreadyAttached,
    ClientNotAttached,
    ClosedError,
    DisconnectedError,
    HoldfastError,
    Unavailable,
)
from ...limits import LIMITS
from ...rpc.blocking.connection import BlockingConnection
from ...rpc.commands import invoke_blocking, within_blocking
from ...sessions.api import DEFAULT_IDLE, SessionsApi
from ...sessions.model import (
    AttachStart,
    Change,
    Message,
    ProviderInfo,
    Removal,
    SessionInfo,
    SessionStats,
    SubjectInfo,
)
from ...streams.reader import Item
from ..sync_following import SyncLinkReader
from ..sync_link import SyncLink
from .inbox import (
    AckMode,
    Inbox,
    Pattern,
    Payload,
    check_acknowledges,
    client_name,
    headers_of,
    payload_of,
    specs_of,
)


class SyncSessions:
    """The sessions and the providers of a node; each method as its twin in :class:`holdfast.Sessions`.  Blocks."""

    def __init__(self, link: SyncLink) -> None:
        self._link = link

    def new(self, patterns: Iterable[Pattern] = (), *, idle_after: float = DEFAULT_IDLE) -> SessionInfo:
        """Make a session without attaching to it."""
        specs = specs_of(patterns)
        return self._link.do(SessionsApi.new, specs, idle_after)

    def get(self, session: str) -> SessionInfo:
        """One session, with its cursors.  SessionNotFound."""
        return self._link.ask(SessionsApi.info, session)

    def list(self) -> list[SessionInfo]:
        """Our sessions, by id."""
        found: list[SessionInfo] = []
        while page := self._page(found[-1].id if found else ""):
            found += page
        return found

    def _page(self, after: str) -> Iterable[SessionInfo]:
        return self._link.ask(SessionsApi.list, after)

    def configure(
        self, session: str, patterns: Iterable[Pattern], *, dry_run: bool = False, expected_version: int = 0
    ) -> Change:
        """Make ``patterns`` the session's whole set, atomically."""
        specs = specs_of(patterns)
        return self._link.ask(SessionsApi.configure, session, specs, dry_run, expected_version)

    def detach(self, session: str) -> SessionInfo:
        """Let the session's client go, whoever it is.  ClientNotAttached."""
        return self._link.do(SessionsApi.detach, session)

    def close(self, session: str, reason: str = "") -> None:
        """End a session.  SessionNotFound."""
        self._link.do(SessionsApi.close, session, reason)

    def stats(self) -> SessionStats:
        """The node's sessions in figures."""
        return self._link.ask(SessionsApi.stats)

    def subjects(self, pattern: str) -> Iterable[SubjectInfo]:
        """The subjects there are now that match, and that we may read."""
        return self._link.ask(SessionsApi.subjects, pattern)

    def providers(self) -> Iterable[ProviderInfo]:
        """The node's providers, by name."""
        return self._link.ask(SessionsApi.providers)

    def add_provider(self, name: str, kind: str, options: Mapping[str, str] | None = None) -> ProviderInfo:
        """Make and start a provider."""
        given = dict(options or {})
        return self._link.do(SessionsApi.add_provider, name, kind, given)

    def remove_provider(self, name: str, reason: str = "") -> Removal:
        """Stop a provider; the sessions bound to it are told.  NotFound."""
        return self._link.do(SessionsApi.remove_provider, name, reason)

    def publish(
        self, subject: str, payload: Payload = b"", *, headers: Mapping[str, str] | None = None, sequence: int = 0
    ) -> int:
        """Send a message to a subject; its position there, -1 for a feed."""
        data, given = payload_of(payload), headers_of(headers)
        published = self._link.do(SessionsApi.publish, subject, data, given, sequence)
        return published.position


class SyncSession(SyncLinkReader[AttachStart, None]):
    """A session and our attachment to it: an iterator of messages that outlives cut links and restarted nodes.

    As :class:`holdfast.Session`; with ``ack="auto"`` what was taken is acknowledged before it waits for more.
    """

    _WINDOW_BYTES = LIMITS.session_stream_bytes
    _CLOSED = "the session was left by this end"
    _CUTS = HoldfastError
    _PHASE = "session"

    def __init__(
        self,
        link: SyncLink,
        patterns: Iterable[Pattern] | None,
        *,
        id: str,
        idle_after: float,
        steal: bool,
        ack: AckMode,
        client: str,
    ) -> None:
        super().__init__(link)
        self.id = id
        """Empty before it was made."""
        self.recovered = True
        """False: a restart of the node has lost messages of feeds."""
        self.recovered_why = ""
        self._sessions = SyncSessions(link)
        self._patterns = None if patterns is None else specs_of(patterns)
        self._idle_after = idle_after
        self._steal = steal
        self._mode = ack
        self._client = client or client_name()
        self._inbox = Inbox()
        self._attachment = 0
        self._acked = 0

    def __enter__(self) -> Self:
        if not self.id:
            self.id = self._sessions.new(self._patterns or (), idle_after=self._idle_after).id
        elif self._patterns is not None:
            self.configure(self._patterns)
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._mode == "auto":
                self._acknowledge()
        finally:
            self.detach()

    def detach(self) -> None:
        """Leave the session as it is.  Idempotent; never fails: a cut link detaches, too."""
        self._closed = True
        reader, self._reader = self._reader, None
        if reader is None or self._connection is None:
            return
        try:
            connection = within_blocking(self._connection, LIMITS.goodbye_s)
            invoke_blocking(connection, SessionsApi.detach, self.id, self._attachment)
        except HoldfastError:
            pass  # somebody else has it, or the link is cut
        reader.close()

    def close(self, reason: str = "") -> None:
        """End the session for good.  SessionNotFound."""
        self._sessions.close(self.id, reason)
        self._closed = True

    def _ask(self, connection: BlockingConnection, stream: int) -> AttachStart:
        try:
            return self._attach(connection, stream, steal=self._steal)
        except ClientAlreadyAttached as error:
            if error.holder != self._client:
                raise
            # the node has not noticed yet that our last link is cut
            return self._attach(connection, stream, steal=True)

    def _attach(self, connection: BlockingConnection, stream: int, *, steal: bool) -> AttachStart:
        acknowledges = self._mode != "never"
        return invoke_blocking(connection, SessionsApi.attach, self.id, stream, steal, self._client, acknowledges)

    def _begun(self, start: AttachStart) -> int:
        self._inbox.attached()
        self._acked = 0
        self._attachment = start.attachment
        if not start.recovered:
            self.recovered, self.recovered_why = False, start.recovered_why
        self._steal = False
        return 0

    def _take(self, item: Item) -> None:
        self._inbox.receive(item)

    # messages

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        message = self.read()
        if message is None:
            raise StopIteration
        return message

    def read(self, timeout_s: float | None = None) -> Message | None:
        """The next message or report; None once we were detached.  DeadlineExceeded if none comes.  Blocks."""
        inbox = self._inbox
        while (message := inbox.take()) is None:
            if inbox.ended or self._closed:
                self._drop_reader()
                return None
            if self._mode == "auto":
                self._acknowledge()
            self._read(timeout_s)
        return message

    @property
    def taken(self) -> int:
        """How many messages of this attachment were taken: what :meth:`ack` acknowledges now."""
        return self._inbox.taken

    def ack(self, taken: int | None = None, *, timeout_s: float | None = None) -> None:
        """All messages taken so far are dealt with; durable on return.  ClientNotAttached.  Blocks.

        ``taken``: only those up to where :attr:`taken` was so much.  DeadlineExceeded after ``timeout_s``; UsageError
        if it is ``never`` to be done.
        """
        check_acknowledges(self._mode)
        count = self._inbox.taken if taken is None else taken
        if count > self._acked and self._connection is not None:
            connection = self._connection if timeout_s is None else within_blocking(self._connection, timeout_s)
            invoke_blocking(connection, SessionsApi.ack, self.id, self._attachment, count)
            self._acked = max(self._acked, count)

    def _acknowledge(self) -> None:
        try:
            self.ack()
        except (DisconnectedError, Unavailable, ClosedError, ClientNotAttached):
            pass  # what was not acknowledged comes again, and is left out

    # what it is bound to, and sending

    def configure(self, patterns: Iterable[Pattern], *, dry_run: bool = False, expected_version: int = 0) -> Change:
        """Make ``patterns`` the whole set, atomically; with ``dry_run`` only told what it would change.  Blocks."""
        return self._sessions.configure(self.id, patterns, dry_run=dry_run, expected_version=expected_version)

    def info(self) -> SessionInfo:
        """The session as it stands.  Blocks."""
        return self._sessions.get(self.id)

    def send(
        self, subject: str, payload: Payload = b"", *, headers: Mapping[str, str] | None = None, sequence: int = 0
    ) -> int:
        """Send a message to a provider; its position there, -1 for a feed.  Blocks."""
        return self._sessions.publish(subject, payload, headers=headers, sequence=sequence)
