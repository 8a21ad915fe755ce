"""The async client's one connection to its node: dialled when needed, dialled again when cut, single-flight."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..clock import RealClock
from ..errors import ClosedError, DisconnectedError, Unauthenticated, Unavailable
from ..ids import random_fraction
from ..limits import LIMITS
from ..rpc.aio.connection import AsyncConnection
from ..rpc.aio.dial import dial_unix
from ..rpc.aio.whole import send_whole
from ..rpc.backoff import Backoff
from ..rpc.commands import invoke
from ..rpc.handshake.greeting import Authenticator
from .autostart import start_node
from .credentials import Target

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Link:
    """Gives out the open connection, making one first if there is none.

    A token that is refused is replaced, where there is a callback for that, and the connection made again.
    """

    def __init__(self, target: Target, *, autostart: bool, reconnect_s: float) -> None:
        self._target = target
        self._autostart = autostart and target.own and target.address.scheme == "unix"
        self._reconnect_s = reconnect_s
        self._lock = asyncio.Lock()
        self._connection: AsyncConnection | None = None
        self._closed = False
        self._refused = False
        self._clock = RealClock()
        self._backoff = Backoff(random_fraction, LIMITS)
        self._again_at = 0.0
        """When whoever lost the link tries again: all together, for they share it."""
        self._vain_dials = 0
        self._vain_reason = ""

    async def connection(self) -> AsyncConnection:
        """The open connection.  Unavailable if there is none to be had; ClosedError after :meth:`close`."""
        vain_dials = self._vain_dials
        async with self._lock:
            if self._closed:
                raise ClosedError("this client was closed")
            if self._connection is not None and self._connection.closed_by is not None:
                self._refused = self._refused or isinstance(self._connection.closed_by, Unauthenticated)
                self._connection = None
            if self._connection is None:
                if self._vain_dials != vain_dials:  # somebody tried while we waited
                    raise Unavailable(self._vain_reason)
                self._connection = await self._dial_or_start()
            return self._connection

    async def ask(
        self, question: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The answer of the node to a command that changes nothing; as :meth:`again`."""
        return await self.again(lambda connection: invoke(connection, question, *args, **kwargs))

    async def do(
        self, command: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The answer of the node to a command; as :meth:`once`."""
        return await self.once(lambda connection: invoke(connection, command, *args, **kwargs))

    async def ask_whole(
        self,
        data: bytes,
        question: Callable[Concatenate[Any, str, int, int, P], Coroutine[Any, Any, R]],
        place: str,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As :meth:`ask`, of a command that takes ``data`` from a stream of ours: it is too large for a request."""
        return await self.again(lambda connection: send_whole(connection, data, question, place, *args, **kwargs))

    async def do_whole(
        self,
        data: bytes,
        command: Callable[Concatenate[Any, str, int, int, P], Coroutine[Any, Any, R]],
        place: str,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As :meth:`do`, of a command that takes ``data`` from a stream of ours: it is too large for a request."""
        return await self.once(lambda connection: send_whole(connection, data, command, place, *args, **kwargs))

    async def once(self, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """``ask(connection)``; once more only if the token was refused, for then nothing has been done."""
        connection = await self.connection()
        try:
            return await ask(connection)
        except Unauthenticated:
            if not self._target.credentials.renewable:
                raise
            await self._await_end(connection)
            return await ask(await self.connection())

    async def again(self, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """``ask(connection)``; once more over new connections, for ``reconnect_s`` at most, while the link is cut.

        For questions only: whatever changes something must not be asked twice.
        """
        until = self._clock.now() + self._reconnect_s
        while True:
            try:
                result = await self.once(ask)
            except (DisconnectedError, Unavailable):
                now = self._clock.now()
                if now >= until:
                    raise
                if now >= self._again_at:
                    self._again_at = now + self._backoff.next_delay_s(now)
                await asyncio.sleep(min(self._again_at, until) - now)
            else:
                self._backoff.data_flowed()
                return result

    async def close(self) -> None:
        """Hang up.  Idempotent."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()
            await self._connection.wait_closed()

    async def _dial_or_start(self) -> AsyncConnection:
        try:
            return await self._dial()
        except Unavailable as error:
            if not self._autostart:
                self._vain_dials += 1
                self._vain_reason = error.message
                raise
        # Forks, so not in a thread; blocks the loop for the fraction of a second a node needs to be ready.
        start_node(self._target.places)
        return await self._dial()

    async def _await_end(self, connection: AsyncConnection) -> None:
        """The node says goodbye to a token it has refused; so that streams know a cut from our own close."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LIMITS.goodbye_s):
                await connection.wait_closed()
        connection.close()
        if connection is self._connection:
            self._refused = True

    async def _dial(self) -> AsyncConnection:
        credentials = self._target.credentials
        refused, self._refused = self._refused, False
        try:
            connection = await self._dial_as(await credentials.authenticator(refused=refused))
        except Unauthenticated:
            if refused or not credentials.renewable:
                raise
            connection = await self._dial_as(await credentials.authenticator(refused=True))
        self._backoff.opened(self._clock.now())
        return connection

    async def _dial_as(self, authenticator: Authenticator) -> AsyncConnection:
        address = self._target.address
        if address.scheme == "unix":
            return await dial_unix(address.path, authenticator, clock=self._clock, limits=LIMITS)
        from ..rpc.aio.tcp import dial_tcp
        from ..rpc.sockets.tls import client_context

        tls = client_context(self._target.ca_file) if address.scheme == "tls" else None
        return await dial_tcp(address, authenticator, tls=tls, clock=self._clock, limits=LIMITS)
