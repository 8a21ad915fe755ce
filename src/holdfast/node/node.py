"""The composition root: one engine, one controller, one door; opened in order, closed in reverse."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from .._version import __version__
from ..engine.sqlite import SqliteEngine
from ..jobs import api as jobs_api
from ..jobs.birth import Midwife
from ..jobs.controller import JobController
from ..jobs.service import JobsService
from ..paths import Places, make_private_dir
from ..rpc.dispatch import Dispatcher
from ..rpc.handshake import LocalOwner
from ..rpc.server import Server, serve_unix
from ..status import api as status_api
from ..status.model import NodeInfo

if TYPE_CHECKING:
    from ..clock import Clock
    from ..engine.base import Engine
    from ..limits import Limits
    from ..rpc.aio import AsyncConnection
    from ..rpc.events import Reply, RequestReceived

_logger = structlog.get_logger("holdfast.node")


class Node:
    """One ``holdfast serve`` process, without the process: everything but signals and daemonising."""

    def __init__(self, places: Places, *, clock: Clock, limits: Limits) -> None:
        self._places = places
        self._clock = clock
        self._limits = limits
        self._stack = AsyncExitStack()
        self._started_at = clock.wall()
        self.connections = 0
        self.jobs: JobController
        self._engine: Engine
        self._server: Server

    async def open(self) -> None:
        """Take the state directory, reconcile all jobs, listen.

        Raises BusyError if another node has the state directory or the address, StorageError if a directory
        or the engine cannot be used; nothing stays open then.
        """
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _open(self) -> None:
        make_private_dir(self._places.state_dir)
        make_private_dir(self._places.runtime_dir)
        socket_path = self._places.socket_path
        self._engine = SqliteEngine(
            os.path.join(self._places.state_dir, "engine"),
            max_bytes=self._limits.state_bytes_max or None,
            limits=self._limits,
        )
        await self._engine.start()
        self._stack.push_async_callback(self._engine.stop)
        midwife = Midwife(self._limits)
        await midwife.start()
        self._stack.push_async_callback(midwife.stop)
        self.jobs = JobController(self._engine, midwife, self._places, clock=self._clock, limits=self._limits)
        self._stack.push_async_callback(self.jobs.close)
        await self.jobs.open()
        self._server = await serve_unix(
            socket_path,
            make_authenticator=lambda uid: LocalOwner(os.geteuid(), uid),
            make_handler=lambda connection: _Caller(self, connection),
            clock=self._clock,
            limits=self._limits,
        )
        self._stack.push_async_callback(self._server.close)
        _logger.info("node.ready", url=self._places.url, pid=os.getpid(), jobs=len(self.jobs))

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing new and let calls under way finish, for ``timeout_s`` at most."""
        await self._server.drain(timeout_s)

    async def close(self) -> None:
        """Stop listening, let go of every keeper, make all durable.  Jobs run on."""
        await self._stack.aclose()
        _logger.info("node.closed", pid=os.getpid())

    def info(self) -> NodeInfo:
        """Who answers."""
        return NodeInfo(
            version=__version__,
            pid=os.getpid(),
            url=self._places.url,
            state_dir=self._places.state_dir,
            runtime_dir=self._places.runtime_dir,
            engine="sqlite",
            started_at=self._started_at,
            jobs=len(self.jobs),
            connections=self.connections,
        )


class _Caller:
    """One connection's handler: the node's commands, bound to that connection."""

    def __init__(self, node: Node, connection: AsyncConnection) -> None:
        self._node = node
        self._jobs = JobsService(node.jobs, connection)
        self._dispatcher = Dispatcher()
        self._dispatcher.add(jobs_api.COMMANDS, self._jobs)
        self._dispatcher.add(status_api.COMMANDS, _StatusService(node))
        node.connections += 1

    async def handle(self, request: RequestReceived) -> Reply:
        return await self._dispatcher.handle(request)

    def closed(self) -> None:
        self._node.connections -= 1
        self._jobs.close()


class _StatusService:
    def __init__(self, node: Node) -> None:
        self._node = node

    async def info(self) -> NodeInfo:
        return self._node.info()
