"""One job as the node holds it in memory: the stored record, the output log's figures, the link, who waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from ..rpc.states import Link
from .model import JobInfo, LinkState

if TYPE_CHECKING:
    from ..engine.base import LogStat
    from ..rpc.aio import AsyncConnection
    from .record import JobRecord

_LINK_STATES: dict[Link, LinkState] = {
    Link.CONNECTING: "connecting",
    Link.OPEN: "connected",
    Link.STALLED: "stalled",
    Link.CLOSED: "disconnected",
}


class Job:
    """A cache a restart rebuilds: whatever matters is in ``record`` (stored) or in the log."""

    __slots__ = (
        "_changed",
        "connecting",
        "connection",
        "hole_bytes",
        "oldest",
        "output_ended",
        "record",
        "removed",
        "tail",
        "viewers",
    )

    def __init__(self, record: JobRecord, stat: LogStat | None = None) -> None:
        self.record = record
        self.connection: AsyncConnection | None = None
        self.connecting = False
        self.tail = self.oldest = self.hole_bytes = self.viewers = 0
        self.output_ended = False
        if stat is not None:
            self.take_stat(stat)
        self.removed = False
        self._changed = asyncio.Event()

    @property
    def id(self) -> str:
        return self.record.info.id

    @property
    def done(self) -> bool:
        """Ended, with all its output in the log."""
        return self.record.info.state == "done"

    @property
    def link(self) -> LinkState:
        """How the link to the keeper stands, computed from what the keeper acknowledged."""
        if self.connection is None:
            return "connecting" if self.connecting else "disconnected"
        return _LINK_STATES[self.connection.link]

    def info(self) -> JobInfo:
        """The job as it stands now."""
        return replace(
            self.record.info,
            link=self.link,
            output_bytes=self.tail,
            oldest_offset=self.oldest,
            gap_bytes=self.hole_bytes,
            output_ended=self.output_ended,
            viewers=self.viewers,
        )

    def take_stat(self, stat: LogStat) -> None:
        """Note what the output log says of itself."""
        self.tail, self.oldest, self.hole_bytes = stat.tail, stat.oldest, stat.hole_bytes
        self.output_ended = stat.closed

    def notify(self) -> None:
        """Wake everyone in :meth:`changed`."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for the next :meth:`notify`; cancel-safe."""
        await self._changed.wait()
