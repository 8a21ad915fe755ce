"""The HTTP listener: uvicorn's server inside the node's own event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import uvicorn

from ..errors import BusyError, UsageError
from .connections import CountingProtocol, Peer, StallWatch

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from ..clock import Clock
    from ..limits import Limits
    from .live import Lasting
    from .settings import HttpSettings

_BACKLOG = 1024
_CHECK_S = 1.0
"""How often stalled connections are looked for."""


class _Server(uvicorn.Server):
    """Signals are the node's, not uvicorn's; and one can wait for it to listen."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpDoor:
    """Listens, and serves one application, until it is closed."""

    def __init__(self, app: ASGIApp, settings: HttpSettings, lasting: Lasting, *, clock: Clock, limits: Limits) -> None:
        self._settings = settings
        self._lasting = lasting
        self._clock = clock
        self._watch = StallWatch(limits.http_stall_s)
        self._server = _Server(
            uvicorn.Config(
                app,
                http=CountingProtocol,
                ws="none",
                lifespan="off",
                loop="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=limits.http_connections_max,
                timeout_graceful_shutdown=1,
            )
        )
        self._tasks: list[asyncio.Task[None]] = []
        self.stalls_cut = 0
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"http://{host}:{self.port}"

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._server.server_state.connections)

    async def open(self) -> None:
        """Listen; BusyError if the address is taken, UsageError if it is not ours."""
        listener = _bind(self._settings.host, self._settings.port)
        self.port = listener.getsockname()[1]
        self._tasks = [
            asyncio.create_task(self._server.serve([listener]), name="http-door"),
            asyncio.create_task(self._cut_stalled(), name="http-stalls"),
        ]
        await self._server.listening.wait()

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing new, end live readers cleanly, let other requests finish, for ``timeout_s`` at most."""
        self._server.config.timeout_graceful_shutdown = max(1, int(timeout_s))
        self._lasting.drain()
        self._server.should_exit = True
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=timeout_s + 1)

    async def close(self) -> None:
        """Cut what is left."""
        self._lasting.drain()
        self._server.should_exit = True
        for connection in self._peers():
            connection.abort()
        self._server.force_exit = True
        if self._tasks:
            self._tasks[1].cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            pending = list(self._server.server_state.tasks)
            await asyncio.gather(*pending, return_exceptions=True)
            self._tasks = []

    def _peers(self) -> list[Peer]:
        return [cast("Peer", connection) for connection in self._server.server_state.connections]

    async def _cut_stalled(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_S)
            self.stalls_cut += self._watch.check(self._peers(), self._clock.now())


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        if isinstance(error, socket.gaierror):
            raise UsageError(f"http: {host}: {error.strerror}", field="http") from error
        raise BusyError(f"http: cannot listen on {host}:{port}: {reason}") from error
    return listener
