"""One job as the node holds it in memory: the stored record, the output log's figures, the link, who waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..rpc.states import Link
from .model import JobInfo, LinkState

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine.base import LogStat
    from ..rpc.aio.connection import AsyncConnection
    from .record import JobRecord

_LINK_STATES: dict[Link, LinkState] = {
    Link.CONNECTING: "connecting",
    Link.OPEN: "connected",
    Link.STALLED: "stalled",
    Link.CLOSED: "disconnected",
}


def _nobody(job: Job) -> None:
    """Nobody listens."""


class Job:
    """A cache a restart rebuilds: whatever matters is in ``record`` (stored) or in the log.

    The record changes here first, in one step, and is stored then: two who change it at once lose nothing of
    each other's.
    """

    __slots__ = (
        "_changed",
        "connecting",
        "connection",
        "hole_bytes",
        "keeper_total",
        "oldest",
        "on_changed",
        "output_ended",
        "record",
        "removal",
        "removed",
        "stop_grace_s",
        "tail",
        "trouble",
        "unstored",
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
        self.removal = asyncio.Lock()
        """Held by who forgets the job: that is done once."""
        self.unstored = False
        """Whether the record was changed since it was last stored."""
        self.keeper_total = 0
        """Offset after the last byte of output its keeper has, as it last told."""
        self.stop_grace_s: float | None = None
        """With how much grace it was asked to end, if this node was asked."""
        self.trouble = ""
        """Why its output cannot be stored, or its keeper not be reached, while that lasts."""
        self._changed = asyncio.Event()
        self.on_changed: Callable[[Job], None] = _nobody
        """Told of every change at once, and not by a task that has to wait for it."""

    @property
    def id(self) -> str:
        return self.record.info.id

    @property
    def label(self) -> str:
        """What people call it: its name, or its id if it has none."""
        return self.record.info.name or self.id

    @property
    def done(self) -> bool:
        """Ended, with all its output in the log."""
        return self.record.info.state == "done"

    @property
    def ended(self) -> bool:
        """Its command has ended; its output may still be on its way."""
        return self.record.info.state in ("draining", "done")

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
            pending_bytes=0 if self.output_ended else max(0, self.keeper_total - self.tail),
            trouble=self.trouble,
            output_ended=self.output_ended,
            viewers=self.viewers,
        )

    def change(self, *, released: bool | None = None, **info_fields: Any) -> None:
        """Change the record, for all to see at once.  It is not stored by that."""
        self.record = self.record.changed(released=released, **info_fields)
        self.unstored = True
        self.notify()

    def take_stat(self, stat: LogStat) -> None:
        """Note what the output log says of itself."""
        self.tail, self.oldest, self.hole_bytes = stat.tail, stat.oldest, stat.hole_bytes
        self.output_ended = stat.closed

    def notify(self) -> None:
        """Wake everyone in :meth:`changed`."""
        self.on_changed(self)
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for the next :meth:`notify`; cancel-safe."""
        await self._changed.wait()
