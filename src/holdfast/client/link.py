"""The async client's one connection to its node: dialled when needed, dialled again when cut, single-flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..clock import RealClock
from ..errors import ClosedError, DisconnectedError, Unavailable
from ..ids import random_fraction
from ..limits import LIMITS
from ..paths import Places
from ..rpc.aio import AsyncConnection, dial_unix
from ..rpc.backoff import Backoff
from ..rpc.handshake import LocalClient
from .autostart import start_node

T = TypeVar("T")


class Link:
    """Gives out the open connection, making one first if there is none."""

    def __init__(self, where: Places, *, autostart: bool, reconnect_s: float) -> None:
        self._places = where
        self._autostart = autostart
        self._reconnect_s = reconnect_s
        self._lock = asyncio.Lock()
        self._connection: AsyncConnection | None = None
        self._closed = False
        self._clock = RealClock()
        self._backoff = Backoff(random_fraction, LIMITS)

    async def connection(self) -> AsyncConnection:
        """The open connection.  Unavailable if there is none to be had; ClosedError after :meth:`close`."""
        async with self._lock:
            if self._closed:
                raise ClosedError("this client was closed")
            if self._connection is None or self._connection.closed_by is not None:
                self._connection = await self._dial_or_start()
            return self._connection

    async def again(self, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """``ask(connection)``; once more over new connections, for ``reconnect_s`` at most, while the link is cut.

        For questions only: whatever changes something must not be asked twice.
        """
        until = self._clock.now() + self._reconnect_s
        while True:
            try:
                result = await ask(await self.connection())
            except (DisconnectedError, Unavailable):
                now = self._clock.now()
                delay_s = self._backoff.next_delay_s(now)
                if now + delay_s > until:
                    raise
                await asyncio.sleep(delay_s)
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
        except Unavailable:
            if not self._autostart:
                raise
        # Forks, so not in a thread; blocks the loop for the fraction of a second a node needs to be ready.
        start_node(self._places)
        return await self._dial()

    async def _dial(self) -> AsyncConnection:
        connection = await dial_unix(self._places.socket_path, LocalClient(), clock=self._clock, limits=LIMITS)
        self._backoff.opened(self._clock.now())
        return connection
