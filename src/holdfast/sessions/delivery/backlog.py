"""What waits for a session's client: messages of feeds, within the bounds of their patterns, and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import SlowConsumer
from ..packing import pack
from .buffers import FeedBuffer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...limits import Limits
    from ..model import Message, PatternSpec
    from .outflow import Outflow

_NOTICES_MAX = 1_000
"""Reports that wait for a client, about sources that are gone; the oldest go."""


class Backlog:
    """Reports are given first.  An idle session pays for no buffer."""

    __slots__ = ("_buffer", "_limits", "_notices")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer: FeedBuffer | None = None
        self._notices: list[bytes] = []

    @property
    def waiting(self) -> bool:
        """Whether there is anything."""
        return bool(self._notices) or (self._buffer is not None and self._buffer.waiting)

    @property
    def buffered(self) -> tuple[int, int, int]:
        """Messages of feeds that wait, their bytes, and how many were lost."""
        if self._buffer is None:
            return 0, 0, 0
        totals = self._buffer.totals
        return totals.messages, totals.bytes, totals.lost

    def note(self, report: Message) -> None:
        """Keep a report."""
        self._notices.append(pack(report))
        if len(self._notices) > _NOTICES_MAX:
            del self._notices[0]

    def keep(self, spec: PatternSpec, items: Sequence[tuple[str, bytes]], *, attached: bool) -> None:
        """Keep packed messages of a feed, as its policy says.  SlowConsumer if that is to disconnect the client."""
        if self._buffer is None:
            self._buffer = FeedBuffer(self._limits)
        if not self._buffer.add(spec, items, attached=attached):
            raise SlowConsumer(
                f"{spec.pattern}: more messages wait than its buffer has room for, and its policy is to disconnect",
                behind_bytes=self._buffer.totals.bytes,
            )

    def change(self, spec: PatternSpec) -> None:
        """Another policy, or other bounds, from now on."""
        if self._buffer is not None:
            self._buffer.change(spec)

    def forget(self, pattern: str) -> None:
        """What waits of it is given to nobody."""
        if self._buffer is not None:
            self._buffer.forget(pattern)

    def give(self, flow: Outflow, wall: float) -> None:
        """Give the client of what waits as much as there is room for."""
        while self._notices and flow.room > 0:
            flow.write(self._notices.pop(0), 1)
        buffer = self._buffer
        if buffer is not None and buffer.waiting:
            room = flow.room
            if room > 0:
                parts = buffer.take(room, wall)
                flow.write_feed(b"".join(parts), len(parts))
            if not buffer.waiting and not buffer.totals.lost:
                self._buffer = None
