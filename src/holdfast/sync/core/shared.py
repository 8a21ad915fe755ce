"""What all channels of a participant share."""

from __future__ import annotations

from ...limits import Limits
from ..events import Event
from ..model import Packet
from ..profiles import Profile
from ..wire import Wire


class Shared:
    """Who we are, how we behave, and what is to be told."""

    __slots__ = (
        "auto_sync",
        "events",
        "hints",
        "limits",
        "packets",
        "participant",
        "participant_bytes",
        "persistent",
        "profile",
        "touched",
        "unsaved",
        "wall_offset_s",
        "wire",
        "writes_made",
    )

    def __init__(
        self,
        participant: str,
        wire: Wire,
        profile: Profile,
        wall_offset_s: float,
        *,
        auto_sync: bool,
        hints: bool,
        persistent: bool,
        limits: Limits,
    ) -> None:
        self.participant = participant
        self.participant_bytes = participant.encode()
        self.wire = wire
        self.profile = profile
        self.wall_offset_s = wall_offset_s
        self.auto_sync = auto_sync
        self.hints = hints
        self.persistent = persistent
        self.limits = limits
        self.events: list[Event] = []
        self.packets: list[Packet] = []
        self.touched: dict[str, None] = {}
        """Names of channels whose next deadline may have changed, in the order they did."""
        self.writes_made = 0
        """So each write has a number of its own, also if its channel was removed and made again meanwhile."""
        self.unsaved: dict[str, None] = {}
        """Names of channels with something to store, in the order they had."""

    def unix_ms(self, now: float) -> int:
        """``now`` as absolute time."""
        return round((now + self.wall_offset_s) * 1000)

    def from_unix_ms(self, unix_ms: int) -> float:
        """Absolute time on the scale of ``now``."""
        return unix_ms / 1000 - self.wall_offset_s

    def ticks(self, now: float) -> int:
        """``now`` as the dialect's Lamport clocks count it."""
        unix_s = now + self.wall_offset_s
        return int(unix_s * 1000) if self.wire.dialect == "spec" else int(unix_s)
