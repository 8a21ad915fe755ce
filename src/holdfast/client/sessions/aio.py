"""Sessions, as the async SDK shows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
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
from ...rpc.aio.connection import AsyncConnection
from ...rpc.commands import invoke
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
from ...streams import Item
from ..following import LinkReader
from ..link import Link
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


class Sessions:
    """The sessions and the providers of a node."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def new(self, patterns: Iterable[Pattern] = (), *, idle_after: float = DEFAULT_IDLE) -> SessionInfo:
        """Make a session without attaching to it.  Raises as :meth:`SessionsApi.new`."""
        specs = specs_of(patterns)
        return await self._link.do(SessionsApi.new, specs, idle_after)

    async def get(self, session: str) -> SessionInfo:
        """One session, with its cursors.  SessionNotFound."""
        return await self._link.ask(SessionsApi.info, session)

    async def list(self) -> list[SessionInfo]:
        """Our sessions, by id."""
        found: list[SessionInfo] = []
        while page := await self._page(found[-1].id if found else ""):
            found += page
        return found

    async def _page(self, after: str) -> Iterable[SessionInfo]:
        return await self._link.ask(SessionsApi.list, after)

    async def configure(
        self, session: str, patterns: Iterable[Pattern], *, dry_run: bool = False, expected_version: int = 0
    ) -> Change:
        """Make ``patterns`` the session's whole set, atomically; see :meth:`SessionsApi.configure`.

        Done twice it changes nothing more, so it is asked again after a cut.
        """
        specs = specs_of(patterns)
        return await self._link.ask(SessionsApi.configure, session, specs, dry_run, expected_version)

    async def detach(self, session: str) -> SessionInfo:
        """Let the session's client go, whoever it is.  ClientNotAttached."""
        return await self._link.do(SessionsApi.detach, session)

    async def close(self, session: str, reason: str = "") -> None:
        """End a session.  SessionNotFound."""
        await self._link.do(SessionsApi.close, session, reason)

    async def stats(self) -> SessionStats:
        """The node's sessions in figures."""
        return await self._link.ask(SessionsApi.stats)

    async def subjects(self, pattern: str) -> Iterable[SubjectInfo]:
        """The subjects there are now that match, and that we may read."""
        return await self._link.ask(SessionsApi.subjects, pattern)

    async def providers(self) -> Iterable[ProviderInfo]:
        """The node's providers, by name."""
        return await self._link.ask(SessionsApi.providers)

    async def add_provider(self, name: str, kind: str, options: Mapping[str, str] | None = None) -> ProviderInfo:
        """Make and start a provider; see :meth:`SessionsApi.add_provider`."""
        given = dict(options or {})
        return await self._link.do(SessionsApi.add_provider, name, kind, given)

    async def remove_provider(self, name: str, reason: str = "") -> Removal:
        """Stop a provider; the sessions bound to it are told.  NotFound."""
        return await self._link.do(SessionsApi.remove_provider, name, reason)

    async def publish(
        self, subject: str, payload: Payload = b"", *, headers: Mapping[str, str] | None = None, sequence: int = 0
    ) -> int:
        """Send a message to a subject; its position there, -1 for a feed.  Raises as :meth:`SessionsApi.publish`."""
        data, given = payload_of(payload), headers_of(headers)
        published = await self._link.do(SessionsApi.publish, subject, data, given, sequence)
        return published.position


class Session(LinkReader[AttachStart, None]):
    """A session and our attachment to it: an async iterator of messages that outlives cut links and restarted nodes.

    ``async with`` makes it, or takes up the one of ``id``, and attaches; leaving detaches, and the session stays where
    it is until it is taken up again, closed, or idle for too long.  Cancelling a step loses nothing.  Ends when
    somebody detaches us; raises SessionTaken, SessionClosed, SlowConsumer when that is why.
    """

    _WINDOW_BYTES = LIMITS.session_stream_bytes
    _CLOSED = "the session was left by this end"
    _CUTS = HoldfastError

    def __init__(
        self,
        link: Link,
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
        self._patterns = None if patterns is None else specs_of(patterns)
        self._idle_after = idle_after
        self._steal = steal
        self._mode = ack
        self._client = client or client_name()
        self._inbox = Inbox()
        self._attachment = 0
        self._acked = 0
        self._acking: asyncio.Task[None] | None = None

    # coming and going

    async def __aenter__(self) -> Self:
        if not self.id:
            made = await Sessions(self._link).new(self._patterns or (), idle_after=self._idle_after)
            self.id = made.id
        elif self._patterns is not None:
            await self.configure(self._patterns)
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._acking is not None:
                await asyncio.gather(self._acking, return_exceptions=True)
            if error is None and self._mode == "auto":
                await self._acknowledge(self._inbox.taken)
        finally:
            await self.detach()

    async def detach(self) -> None:
        """Leave the session as it is.  Idempotent; never fails: a cut link detaches, too."""
        self._closed = True
        reader, self._reader = self._reader, None
        if reader is None or self._connection is None:
            return
        try:
            await invoke(self._connection, SessionsApi.detach, self.id, self._attachment)
        except HoldfastError:
            pass  # somebody else has it, or the link is cut
        reader.close()

    async def close(self, reason: str = "") -> None:
        """End the session for good.  SessionNotFound."""
        await Sessions(self._link).close(self.id, reason)
        self._closed = True

    async def _ask(self, connection: AsyncConnection, stream: int) -> AttachStart:
        try:
            return await self._attach(connection, stream, steal=self._steal)
        except ClientAlreadyAttached as error:
            if error.holder != self._client:
                raise
            # the node has not noticed yet that our last link is cut
            return await self._attach(connection, stream, steal=True)

    async def _attach(self, connection: AsyncConnection, stream: int, *, steal: bool) -> AttachStart:
        acknowledges = self._mode != "never"
        return await invoke(connection, SessionsApi.attach, self.id, stream, steal, self._client, acknowledges)

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

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        message = await self.read()
        if message is None:
            raise StopAsyncIteration
        return message

    async def read(self) -> Message | None:
        """The next message or report; None once we were detached.  Cancel-safe."""
        inbox = self._inbox
        if self._mode == "auto":
            self._acknowledge_soon()
        while (message := inbox.take()) is None:
            if inbox.ended or self._closed:
                self._drop_reader()
                return None
            await self._read()
            if self._mode == "auto":
                self._acknowledge_soon()
        return message

    # acknowledging

    async def ack(self) -> None:
        """All messages taken so far are dealt with; durable on return.

        After a cut what was not acknowledged comes again to whoever attaches next (not to this object, which has had
        it).  ClientNotAttached if somebody else is attached by now, UsageError if it is ``never`` to be done.
        """
        check_acknowledges(self._mode)
        await self._ack(self._inbox.taken)

    async def _ack(self, count: int) -> None:
        if count <= self._acked or self._connection is None:
            return
        await invoke(self._connection, SessionsApi.ack, self.id, self._attachment, count)
        self._acked = max(self._acked, count)

    def _acknowledge_soon(self) -> None:
        """Beside the reading, one at a time."""
        if self._inbox.taken > self._acked and (self._acking is None or self._acking.done()):
            self._acking = asyncio.create_task(self._acknowledge(self._inbox.taken), name=f"ack-{self.id}")

    async def _acknowledge(self, count: int) -> None:
        try:
            await self._ack(count)
        except (DisconnectedError, Unavailable, ClosedError, ClientNotAttached):
            pass  # what was not acknowledged comes again, and is left out

    # what it is bound to, and sending

    async def configure(
        self, patterns: Iterable[Pattern], *, dry_run: bool = False, expected_version: int = 0
    ) -> Change:
        """Make ``patterns`` the whole set, atomically; those in both sets go on without a gap or a repeat.

        With ``dry_run`` only told what it would change.  Raises as :meth:`SessionsApi.configure`.
        """
        return await Sessions(self._link).configure(
            self.id, patterns, dry_run=dry_run, expected_version=expected_version
        )

    async def info(self) -> SessionInfo:
        """The session as it stands."""
        return await Sessions(self._link).get(self.id)

    async def send(
        self, subject: str, payload: Payload = b"", *, headers: Mapping[str, str] | None = None, sequence: int = 0
    ) -> int:
        """Send a message to a provider: a job's input, a channel, the bus; its position there, -1 for a feed."""
        return await Sessions(self._link).publish(subject, payload, headers=headers, sequence=sequence)
