"""The composition root: one engine, one controller, and the doors; opened in order, closed in reverse."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import structlog

from .._version import __version__
from ..channels import api as channels_api
from ..channels.router import ChannelRouter
from ..channels.service import ChannelsService
from ..durable import api as streams_api
from ..durable.readers import Readers
from ..durable.service import Streams, StreamsService
from ..durable.streams import DurableStreams
from ..engine.memory import MemoryEngine
from ..engine.sqlite import SqliteEngine
from ..errors import StorageError, UsageError
from ..jobs import api as jobs_api
from ..jobs.birth import Midwife
from ..jobs.controller import JobController
from ..jobs.service import JobsService
from ..paths import Address, Places, make_private_dir
from ..records import api as records_api
from ..records.domain import RecordDomain
from ..records.service import RecordsService
from ..rpc.aio.server import Server, serve_unix
from ..rpc.aio.tcp import serve_tcp
from ..security import api as tokens_api
from ..security.authority import Authority
from ..security.door import tcp_door, unix_door
from ..security.policy import sees
from ..security.service import TokensService
from ..sessions import api as sessions_api
from ..sessions.actor import Sessions
from ..sessions.service import SessionsService
from ..status import api as status_api
from ..status.model import NodeInfo
from ..sync import api as groups_api
from .channels import ChannelCaller, JobChannels
from .groups.groups import NodeGroups
from .groups.service import GroupsService
from .listening import Certificate, ListenOptions, addresses, certificate, grpc_settings, http_settings, tls_context
from .rpc.callers import Caller, Callers
from .rpc.reachable import end_looking, stay_reachable
from .sealing import JobEnds, Sealer
from .sessions.bus import BusProvider
from .sessions.callers import SessionCaller, restored
from .sessions.channels import ChannelsProvider
from .sessions.jobs import JobsProvider
from .streams.mounts import PathCaller, mount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..clock import Clock
    from ..engine.base import Engine
    from ..engine.nats.options import NatsOptions
    from ..grpc.settings import GrpcSettings
    from ..http.settings import HttpSettings
    from ..limits import Limits
    from ..rpc.aio.connection import AsyncConnection
    from .grpc.door import GrpcSide
    from .http.web import Web

_logger = structlog.get_logger("holdfast.node")

EngineKind = Literal["sqlite", "memory", "nats"]
"""Where state lives; ``memory``: nowhere, it ends with the node."""


class Node:
    """One ``holdfast serve`` process, without the process: everything but signals and daemonising."""

    def __init__(
        self,
        places: Places,
        *,
        clock: Clock,
        limits: Limits,
        options: ListenOptions = ListenOptions(),  # noqa: B008 - frozen
        engine: EngineKind = "sqlite",
        nats: NatsOptions | None = None,
    ) -> None:
        """``nats`` says where the servers of the ``nats`` engine are; without it the environment does."""
        self._places = places
        self._options = options
        self._clock = clock
        self._limits = limits
        self._stack = AsyncExitStack()
        self._started_at = clock.wall()
        self.stopping = asyncio.Event()
        """Set when somebody wants the node to end; who runs it sees to that."""
        self.jobs: JobController
        self.channels: ChannelRouter
        self.groups: NodeGroups
        self.sessions: Sessions
        self.records: RecordDomain
        self.streams: Streams
        self.authority: Authority
        self.certificate: Certificate | None = None
        """What TLS clients are shown; None: there is no TLS."""
        self._callers: Callers
        self._engine_kind: EngineKind = engine
        self._nats = nats
        self.failure: StorageError | None = None
        """Why the node has to end, if it is not because somebody wants it to."""
        self._engine: Engine
        self.web: Web | None = None
        self.grpc: GrpcSide | None = None
        self._servers: list[Server] = []

    async def open(self) -> None:
        """Take the state directory, reconcile all jobs, listen.

        Raises BusyError if another node has the state directory or the address, StorageError if a directory
        or the engine cannot be used, UsageError for what cannot be listened at; nothing stays open then.
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
        listen, http = addresses(self._options), http_settings(self._options)
        grpc = grpc_settings(self._options)
        self._engine = self._make_engine()
        await self._engine.start()
        self._stack.push_async_callback(self._engine.stop)
        midwife = Midwife(self._limits)
        await midwife.start()
        self._stack.push_async_callback(midwife.stop)
        await self._open_authority()
        self.channels = ChannelRouter(self._engine, clock=self._clock, limits=self._limits)
        self._stack.push_async_callback(self.channels.close)
        await self.channels.open()
        self.records = RecordDomain(self._engine, clock=self._clock, limits=self._limits)
        self._stack.push_async_callback(self.records.close)
        await self.records.open()
        job_ends = JobEnds(JobChannels(self.channels))
        self.jobs = JobController(
            self._engine,
            midwife,
            self._places,
            clock=self._clock,
            limits=self._limits,
            mint_token=self.authority.mint_for_job,
            observer=job_ends,
        )
        self._stack.push_async_callback(self.jobs.close)
        await self.jobs.open()
        self.groups = NodeGroups(self._engine, self.channels, clock=self._clock, limits=self._limits)
        self._stack.push_async_callback(self.groups.close)
        await self.groups.open()
        await self._open_seals(job_ends)
        await self._open_streams()
        await self._open_sessions()
        await self._listen(listen)
        if http is not None:
            await self._open_web(http)
        if grpc is not None:
            await self._open_grpc(grpc)
        await self._listen_here(socket_path)
        _logger.info("node.ready", url=self._places.url, pid=os.getpid(), jobs=len(self.jobs))

    def _make_engine(self) -> Engine:
        max_bytes = self._limits.state_bytes_max or None
        if self._engine_kind == "memory":
            return MemoryEngine(max_bytes=max_bytes)
        if self._engine_kind == "nats":
            from ..engine.nats import open_nats  # nats-py, which a node without NATS need not have
            from ..engine.nats.options import options_from

            engine = open_nats(self._nats or options_from(), max_bytes=max_bytes, limits=self._limits)
            engine.on_lost = self._engine_lost
            return engine
        directory = os.path.join(self._places.state_dir, "engine")
        return SqliteEngine(directory, max_bytes=max_bytes, limits=self._limits)

    def _engine_lost(self, error: StorageError) -> None:
        """Another node has our state now: two must not answer for it."""
        _logger.error("node.replaced", error=str(error))
        self.failure = error
        self.stopping.set()

    async def _open_authority(self) -> None:
        self.authority = Authority(
            self._engine.kv,
            self._places.state_dir,
            resolve_job=self._resolve_job,
            clock=self._clock,
            limits=self._limits,
        )
        self._stack.callback(self.authority.close)
        await self.authority.open()
        self._callers = Callers(self.authority, self._resolve_job, wall=self._clock.wall, limits=self._limits)

    async def _open_streams(self) -> None:
        own = DurableStreams(self._engine, clock=self._clock, limits=self._limits)
        self._stack.push_async_callback(own.close)
        await own.open()
        mounts = mount(own, self.jobs, self.channels, self._engine.log, self.authority.audit)
        self.streams = Streams(own, mounts, Readers(self._limits))
        self._stack.push_async_callback(self.streams.readers.close)

    async def _open_seals(self, job_ends: JobEnds) -> None:
        """From now on the output of jobs that end is sealed, of those too that ended while no node ran."""
        sealer = Sealer(self._engine, self.jobs, self.records.store, limits=self._limits)
        await sealer.open()
        self.records.seals = sealer
        job_ends.begin(sealer)

    async def _open_sessions(self) -> None:
        def restore(grant: Mapping[str, Any]) -> SessionCaller:
            return restored(grant, self.channels, self.authority.audit)

        self.sessions = Sessions(
            self._engine,
            clock=self._clock,
            limits=self._limits,
            restore=restore,
            new_id=lambda: str(uuid4()),
            state_dir=os.path.join(self._places.state_dir, "providers"),
        )
        self._stack.push_async_callback(self.sessions.close)
        await self.sessions.open(
            {
                "bus": BusProvider(self._engine.bus, self._clock),
                "channels": ChannelsProvider(self.channels, self._engine.log),
                "jobs": JobsProvider(self.jobs, self._engine.log, self._clock),
            }
        )

    async def _listen_here(self, socket_path: str) -> None:
        """Let the owner in; last of all doors, so that who gets an answer here finds the others open."""
        server = await serve_unix(
            socket_path,
            make_authenticator=lambda uid: unix_door(self.authority, os.geteuid(), uid),
            make_handler=self._make_caller,
            clock=self._clock,
            limits=self._limits,
        )
        self._own(server)
        looking = asyncio.create_task(stay_reachable(server, self._limits.socket_look_s), name="stay-reachable")
        self._stack.push_async_callback(end_looking, looking)

    async def _listen(self, listen: list[Address]) -> None:
        """Let token bearers in over TCP; each address has its own count of connections, apart from the owner's."""
        self.certificate = certificate(self._options, listen, self._places.state_dir, self._clock.wall())
        for where in listen:
            server = await serve_tcp(
                where,
                make_authenticator=lambda peer: tcp_door(self.authority, peer),
                make_handler=self._make_caller,
                tls=tls_context(self.certificate) if self.certificate and where.scheme == "tls" else None,
                clock=self._clock,
                limits=self._limits,
            )
            self._own(server)
            _logger.info("node.listening", url=server.address)

    async def _open_web(self, settings: HttpSettings) -> None:
        from .http.web import Parts, Web  # 150 ms that a node without HTTP need not wait for

        parts = Parts(
            self._engine,
            self.jobs,
            self.channels,
            self.streams,
            self.sessions,
            self.records,
            self.authority,
            self._servers,
            self.groups,
        )
        web = Web(settings, parts, clock=self._clock, limits=self._limits)
        await web.open()
        self.web = web
        self._stack.push_async_callback(web.close)

    async def _open_grpc(self, settings: GrpcSettings) -> None:
        from .grpc.door import GrpcSide  # 120 ms, and the memory, that a node without gRPC need not have

        side = GrpcSide(settings, self.records.store, self.authority, limits=self._limits)
        await side.open()
        self.grpc = side
        self._stack.push_async_callback(side.close)

    def _own(self, server: Server) -> None:
        self._servers.append(server)
        self._stack.push_async_callback(server.close)

    def _resolve_job(self, job: str) -> str:
        return self.jobs.find(job).id

    def _make_caller(self, connection: AsyncConnection) -> Caller:
        """One connection's handler: the node's commands, bound to it."""
        caller = Caller(self._callers, connection)
        jobs = JobsService(self.jobs, connection, lambda job: sees(caller.identity, "job", job))
        caller.on_closed.append(jobs.close)
        caller.dispatcher.add(jobs_api.COMMANDS, jobs)
        channel_caller = ChannelCaller(caller.identity, self.authority.audit, caller.peer)
        channels = ChannelsService(self.channels, channel_caller, connection, self._limits)
        caller.dispatcher.add(channels_api.COMMANDS, channels)
        path_caller = PathCaller(caller.identity, self.authority.audit, caller.peer)
        streams = StreamsService(self.streams, path_caller, connection, self._limits)
        caller.on_closed.append(streams.close)
        caller.dispatcher.add(streams_api.COMMANDS, streams)
        session_caller = SessionCaller(caller.identity, self.channels, self.authority.audit, caller.peer)
        sessions = SessionsService(self.sessions, session_caller, connection, self._limits)
        caller.dispatcher.add(sessions_api.COMMANDS, sessions)
        records = RecordsService(self.records, connection, self._limits)
        caller.on_closed.append(records.close)
        caller.dispatcher.add(records_api.COMMANDS, records)
        caller.dispatcher.add(groups_api.COMMANDS, GroupsService(self.groups, connection, self._limits))
        caller.dispatcher.add(status_api.COMMANDS, _StatusService(self))
        caller.dispatcher.add(tokens_api.COMMANDS, TokensService(self.authority, caller.identity, self._login_url))
        return caller

    def _login_url(self) -> str:
        """Where browsers log in; UsageError if they cannot."""
        if self.web is None:
            raise UsageError("http: this node has no HTTP door; start it with --http HOST:PORT")
        return self.web.login_url

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing new and let calls under way finish, for ``timeout_s`` at most."""
        self.jobs.let_go()
        doors: list[Server | Web | GrpcSide] = [*self._servers, *self._doors]
        await asyncio.gather(*(door.drain(timeout_s) for door in doors))

    async def close(self) -> None:
        """Stop listening, let go of every keeper, make all durable.  Jobs run on."""
        await self._stack.aclose()
        _logger.info("node.closed", pid=os.getpid())

    @property
    def listening(self) -> list[str]:
        """The addresses besides the unix socket's."""
        others = [server.address for server in self._servers if "://" in server.address]  # a path has none
        return others + [door.url for door in self._doors]

    @property
    def _doors(self) -> list[Web | GrpcSide]:
        """Those that are open beside the RPC servers."""
        return [door for door in (self.web, self.grpc) if door is not None]

    def info(self) -> NodeInfo:
        """Who answers."""
        return NodeInfo(
            version=__version__,
            pid=os.getpid(),
            url=self._places.url,
            state_dir=self._places.state_dir,
            runtime_dir=self._places.runtime_dir,
            engine=self._engine_kind,
            started_at=self._started_at,
            jobs=len(self.jobs),
            connections=self._callers.count,
            listening=self.listening,
        )


class _StatusService:
    def __init__(self, node: Node) -> None:
        self._node = node

    async def info(self) -> NodeInfo:
        return self._node.info()

    async def stop(self) -> NodeInfo:
        _logger.info("node.asked_to_stop", pid=os.getpid())
        self._node.stopping.set()
        return self._node.info()
