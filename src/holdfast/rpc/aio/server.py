"""Accepting connections, with asyncio: whoever listens, unix socket or TCP, the connections are owned here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, Self, cast

from ...clock import Clock, RealClock
from ...errors import HoldfastError, LimitExceeded
from ...limits import LIMITS, Limits
from ..connection import Connection
from ..handshake.greeting import Authenticator
from ..sockets.unix import BACKLOG, listen_unix, peer_uid
from ..states import Role
from .connection import AsyncConnection, MakeHandler
from .msgspec_codec import MsgspecCodec

MakeAuthenticator = Callable[[int | None], Authenticator]
UidOf = Callable[[socket.socket], int | None]

_RETRY_AFTER_FULL_S = 1.0
"""What a client is told that comes while ``connections_max`` are open: a command's connection is short."""


class Listening(Protocol):
    """Where a server can be reached."""

    @property
    def address(self) -> str:
        """As a dialing end names it."""
        ...

    @property
    def lost(self) -> bool:
        """Whether nobody can reach it any more, since it was opened."""
        ...

    async def open(self, make_protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        """Listen."""
        ...

    def leave(self) -> None:
        """Take away what is left of it; idempotent."""
        ...


class Server:
    """Listens at one place and owns the connections made there.  Made by :func:`serve_unix` and ``tcp.serve_tcp``.

    ``make_authenticator(transport)`` gives this end's part of proving who calls.
    """

    def __init__(
        self,
        listening: Listening,
        *,
        make_authenticator: Callable[[asyncio.Transport], Authenticator],
        make_handler: MakeHandler,
        features: Iterable[str] = (),
        clock: Clock | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self._listening = listening
        self._make_authenticator = make_authenticator
        self._make_handler = make_handler
        self._features = tuple(features)
        self._clock = clock or RealClock()
        self._limits = limits
        self._connections: set[AsyncConnection] = set()
        self.accepted = 0
        """Connections that were made since it was started."""
        self._listener: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens; the port that was found if any was asked for."""
        return self._listening.address

    @property
    def connections(self) -> frozenset[AsyncConnection]:
        """The connections that are not over, those still in their handshake included."""
        return frozenset(self._connections)

    async def start(self) -> None:
        """Listen; see :func:`serve_unix` for what it raises."""
        self._listener = await self._listening.open(lambda: _Arrival(self))

    @property
    def lost(self) -> bool:
        """Whether it listens where nobody can reach it: a socket file can be taken away from under its server."""
        return self._listener is not None and self._listening.lost

    async def renew(self) -> None:
        """Listen anew; connections go on.  See :func:`serve_unix` for what it raises; it is still *lost* then."""
        if self._listener is not None:
            self._listener.close()
        self._listener = await self._listening.open(lambda: _Arrival(self))

    def stop_listening(self) -> None:
        """Accept nobody new and remove a socket file; connections go on.  Idempotent."""
        if self._listener is not None:
            self._listening.leave()
            self._listener.close()
            self._listener = None

    async def drain(self, timeout_s: float) -> None:
        """Stop listening, let the calls that are being answered now end, for ``timeout_s`` seconds, then close.

        Clients are told to come back after a moment.  Cancel-safe: close() is still to be called then.
        """
        self.stop_listening()
        answered = [connection.answered() for connection in self._connections]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*answered)
        await self.close(retry_after_s=_RETRY_AFTER_FULL_S)

    async def close(self, error: HoldfastError | None = None, retry_after_s: float = 0.0) -> None:
        """Stop listening, say goodbye on every connection, cancel what is being answered, and wait for all to end.

        What is queued is sent first, for ``goodbye_s`` at most.  Idempotent.
        """
        self.stop_listening()
        while self._connections:
            for connection in list(self._connections):
                connection.close(error, retry_after_s)
            await next(iter(self._connections)).wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def accept(self, transport: asyncio.Transport) -> None:
        """Take over a connection that was just made."""
        self.accepted += 1
        core = Connection(
            Role.SERVER,
            self._make_authenticator(transport),
            codec=MsgspecCodec(),
            limits=self._limits,
            features=self._features,
            now=self._clock.now(),
        )
        connection = AsyncConnection(
            core, self._clock, make_handler=self._make_handler, on_closed=self._connections.discard
        )
        full = len(self._connections) >= self._limits.connections_max
        self._connections.add(connection)
        transport.set_protocol(connection.wire)
        connection.wire.connection_made(transport)
        if full:
            limit = self._limits.connections_max
            connection.close(LimitExceeded(name="connections_max", limit=limit, value=limit + 1), _RETRY_AFTER_FULL_S)


class _Arrival(asyncio.Protocol):
    """Stands in until the transport, and with it the peer, is known."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.accept(cast("asyncio.Transport", transport))  # uvloop's is one in all but name


class UnixListening:
    """At a unix socket of mode 0600 that is the only one at its path."""

    def __init__(self, path: str) -> None:
        self.address = path
        self._inode: tuple[int, int] | None = None

    async def open(self, make_protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        """Listen; see :func:`serve_unix` for what it raises."""
        sock = listen_unix(self.address)
        found = os.stat(self.address)
        self._inode = (found.st_dev, found.st_ino)
        try:
            return await asyncio.get_running_loop().create_unix_server(make_protocol, sock=sock, backlog=BACKLOG)
        except BaseException:
            sock.close()
            self.leave()
            raise

    @property
    def lost(self) -> bool:
        """Whether our socket file is there no more, or is another's."""
        try:
            found = os.stat(self.address)
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self._inode

    def leave(self) -> None:
        """Remove our socket file, not one that somebody else put in its place."""
        with contextlib.suppress(OSError):
            if not self.lost:
                os.unlink(self.address)
        self._inode = None


async def serve_unix(
    path: str,
    *,
    make_authenticator: MakeAuthenticator,
    make_handler: MakeHandler,
    features: Iterable[str] = (),
    clock: Clock | None = None,
    limits: Limits = LIMITS,
    uid_of: UidOf = peer_uid,
) -> Server:
    """Listen on a unix socket at ``path``, mode 0600; close the Server to end.

    ``make_authenticator(peer_uid)`` gives this end's part of proving who calls, ``make_handler(connection)`` what
    answers the calls of one proven connection.  ``uid_of`` asks the kernel for a peer's uid.  A socket file that
    nobody answers on is removed.  Raises BusyError if somebody does, UsageError for a path that is too long or
    cannot be listened at.
    """
    server = Server(
        UnixListening(path),
        make_authenticator=lambda transport: make_authenticator(uid_of(transport.get_extra_info("socket"))),
        make_handler=make_handler,
        features=features,
        clock=clock,
        limits=limits,
    )
    await server.start()
    return server
