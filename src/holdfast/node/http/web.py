"""The HTTP door of a node: the streams it shows, who may use them, what it measures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from ...errors import UsageError
from ...http.app import make_app
from ...http.door import HttpDoor
from ...http.gate import Gate, OpenGate
from ...http.guard import Guard
from ...http.live import Lasting
from ...http.metrics import Distribution, Figure, Metrics
from ...http.pages import WebRoot
from ...http.sessions import SessionEndpoint
from ...http.streams import StreamEndpoint
from ...security.identity import owner
from ..sessions.callers import SessionCaller
from .figures import (
    channel_figures,
    engine_figures,
    group_figures,
    job_figures,
    login_figures,
    record_figures,
    rpc_figures,
    session_figures,
)
from .reader_figures import find_readers, reader_figures
from .token_gate import TokenGate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from ...channels.router import ChannelRouter
    from ...clock import Clock
    from ...durable.service import Streams
    from ...engine.base import Engine
    from ...http.settings import HttpSettings
    from ...jobs.controller import JobController
    from ...limits import Limits
    from ...records.domain import RecordDomain
    from ...rpc.aio.server import Server
    from ...security.authority import Authority
    from ...sessions.actor import Sessions
    from ..groups.groups import NodeGroups

_logger = structlog.get_logger("holdfast.node")


class Parts(NamedTuple):
    """What of a node the HTTP door shows."""

    engine: Engine
    jobs: JobController
    channels: ChannelRouter
    streams: Streams
    sessions: Sessions
    records: RecordDomain
    authority: Authority
    servers: Sequence[Server]
    """The RPC doors, to be measured."""
    groups: NodeGroups


class Web:
    """One HTTP address and what it serves."""

    def __init__(self, settings: HttpSettings, parts: Parts, *, clock: Clock, limits: Limits) -> None:
        self._settings = settings
        self._parts = parts
        entrance = None if settings.open else TokenGate(parts.authority)
        gate: Gate = entrance or OpenGate()
        root = WebRoot(settings.root, limits.http_root_bytes_max) if settings.root else None
        self._lasting = Lasting()
        endpoint = StreamEndpoint(parts.streams.mounts, gate, self._lasting, clock=clock, limits=limits)
        sessions = SessionEndpoint(
            parts.sessions, gate, self._session_caller, self._lasting, clock=clock, limits=limits
        )
        guard = Guard(hosts=(settings.host, *settings.hosts), origins=settings.origins)
        metrics = Metrics(self._figures)
        app = make_app(
            streams=endpoint,
            guard=guard,
            gate=gate,
            probe=parts.engine.probe,
            metrics=metrics,
            entrance=entrance,
            root=root,
            more=sessions.routes(),
        )
        self._door = HttpDoor(app, settings, self._lasting, clock=clock, limits=limits)

    def _session_caller(self, identity: Any, peer: str) -> SessionCaller:
        """Nobody in particular, where nobody needs a token, has the owner's sessions."""
        who = owner(os.geteuid()) if identity is None else identity
        return SessionCaller(who, self._parts.channels, self._parts.authority.audit, peer)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._door.url

    @property
    def login_url(self) -> str:
        """Where browsers log in; UsageError if nobody has to."""
        if self._settings.open:
            raise UsageError("http: nobody needs to log in at this node: it was started with --http-open")
        return self.url

    async def open(self) -> None:
        """Listen.  BusyError if the address is taken."""
        await self._door.open()
        _logger.info("node.listening", url=self.url)
        if self._settings.open:
            _logger.warning("http.open", url=self.url, meaning="nobody needs a token")

    async def drain(self, timeout_s: float) -> None:
        """End live readers, let other requests finish."""
        await self._door.drain(timeout_s)

    async def close(self) -> None:
        """Stop listening."""
        await self._door.close()

    async def _figures(self) -> AsyncIterator[Figure | Distribution]:
        for figure in self._own_figures():
            yield figure
        for figure in reader_figures(await find_readers(self._parts.jobs, self._parts.channels, self._lasting)):
            yield figure

    def _own_figures(self) -> Iterator[Figure | Distribution]:
        parts = self._parts
        yield from job_figures(parts.jobs)
        yield from channel_figures(parts.channels)
        yield from session_figures(parts.sessions)
        yield from record_figures(parts.records)
        yield from group_figures(parts.groups)
        yield from rpc_figures(parts.servers)
        yield from engine_figures(parts.engine)
        yield from login_figures(parts.authority)
        gauges = {
            "holdfast_streams": ("Free-standing durable streams.", len(parts.streams.own)),
            "holdfast_stream_readers": ("Streams being read over RPC.", len(parts.streams.readers)),
            "holdfast_http_connections": ("Open HTTP connections.", self._door.connections),
            "holdfast_http_live_readers": ("Long polls and event streams under way.", len(self._lasting)),
        }
        for name, (text, value) in gauges.items():
            yield Figure(name, text, (), [((), value)])
        cut = self._door.stalls_cut
        yield Figure(
            "holdfast_http_stalls_cut", "Connections cut because their peer stood still.", (), [((), cut)], True
        )
