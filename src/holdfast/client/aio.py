"""The async SDK's door: :func:`connect`."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..sessions.api import DEFAULT_IDLE
from ..status.api import StatusApi
from ..status.model import NodeInfo
from .channels.aio import Channels
from .credentials import GetTokenSoon, target
from .jobs.aio import Jobs
from .link import Link
from .records.aio import Records
from .sessions.aio import Session, Sessions
from .sessions.inbox import AckMode
from .streams.aio import Streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .groups import Groups
    from .sessions.inbox import Pattern, Payload
    from .tokens import Tokens


class Node:
    """A node, reached over RPC; made by :func:`connect` and used as an async context manager.

    Safe to use from many tasks of one event loop at once.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self.channels = Channels(link)
        self.jobs = Jobs(link, self.channels)
        self.records = Records(link)
        self.streams = Streams(link)
        self.sessions = Sessions(link)

    async def __aenter__(self) -> Self:
        await self._link.connection()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up; jobs run on.  Idempotent."""
        await self._link.close()

    @property
    def groups(self) -> Groups:
        """The groups that the node takes part in."""
        from .groups import Groups

        return Groups(self._link, self.channels)

    @property
    def tokens(self) -> Tokens:
        """The node's tokens; for its owner, and with a token of scope ``admin``."""
        from .tokens import Tokens

        return Tokens(self._link)

    def session(
        self,
        patterns: Iterable[Pattern] | None = None,
        *,
        id: str = "",
        idle_after: float = DEFAULT_IDLE,
        steal: bool = False,
        ack: AckMode = "auto",
        client: str = "",
    ) -> Session:
        """A session to use with ``async with`` and ``async for``: made anew, or the one of ``id`` taken up again.

        ``patterns``: what it is bound to, from now on if it was there before; None: as it is.  ``idle_after``: seconds
        without a client after which a new one closes, 0 or less: never.  ``steal``: take it from another client.
        ``ack``: see :data:`AckMode`.  ``client``: who others are told has it.

        Entering raises SessionNotFound, ClientAlreadyAttached, and what :meth:`SessionsApi.new` does.
        """
        return Session(self._link, patterns, id=id, idle_after=idle_after, steal=steal, ack=ack, client=client)

    async def publish(
        self, subject: str, payload: Payload = b"", *, headers: Mapping[str, str] | None = None, sequence: int = 0
    ) -> int:
        """Send a message to a subject: of the bus, a job's input, a channel; its position there, -1 for a feed."""
        return await self.sessions.publish(subject, payload, headers=headers, sequence=sequence)

    async def info(self) -> NodeInfo:
        """Who answers: version, process, places, counts."""
        return await self._link.ask(StatusApi.info)

    async def stop(self) -> NodeInfo:
        """Have the node end; jobs run on.  Answers who will have ended, before it has.  For its owner only."""
        return await self._link.do(StatusApi.stop)


def connect(
    url: str | None = None,
    *,
    token: str | None = None,
    token_callback: GetTokenSoon | None = None,
    ca_file: str | None = None,
    autostart: bool = True,
    reconnect_s: float = 60.0,
) -> Node:
    """A connection to the node at ``url`` (default: ``HOLDFAST_URL``, else the user's own node).

    ``async with holdfast.connect() as node`` dials; with ``autostart`` the user's own node is started in the
    background if none answers at its unix socket; one named by another ``url`` is not.  A cut link is dialled again
    by itself: ``reconnect_s`` bounds, in seconds, how long questions and output iterators wait for it.

    ``token``: shown to the node; over TCP by default ``HOLDFAST_TOKEN``, or what is in ``HOLDFAST_TOKEN_FILE``.
    ``token_callback``: gives a token, at once or as an awaitable, when there is none and whenever the one shown is
    refused, as an expired one is; output goes on where it was.  ``ca_file``: PEM file of whom to trust for ``tls://``
    (default: ``HOLDFAST_CA_FILE``, else the system's authorities).

    Entering raises Unavailable, Unauthenticated, PermissionDenied, ProtocolError for a certificate that is not
    trusted, or what kept the node from starting.
    """
    found = target(url, token=token, token_callback=token_callback, ca_file=ca_file)
    return Node(Link(found, autostart=autostart, reconnect_s=reconnect_s))
