"""Whether the peer still moves: when to ping, when a connection is stalled, when it is given up.

Progress is what proves that our bytes arrive or that windows move: PONG, RESPONSE, ACK, DATA.  The peer's own pings,
requests and events prove neither and do not count.  As frames stay in order, a PONG proves that all sent before
its PING arrived; so something is outstanding exactly if it was sent after the last PING that was answered.
"""

from __future__ import annotations

from ..limits import Limits


class Liveness:
    """The clockwork of one open connection; ``now`` in seconds everywhere."""

    __slots__ = (
        "_data_after_ping",
        "_give_up_s",
        "_interval_s",
        "_pinged_at",
        "_pings",
        "_stall_s",
        "_waiting_since",
        "stalled",
    )

    def __init__(self, limits: Limits, now: float) -> None:
        self._interval_s = limits.ping_interval_s
        self._stall_s = limits.stall_s
        self._give_up_s = limits.give_up_s
        self._pinged_at = now
        self._pings = 0
        self._data_after_ping = False
        self._waiting_since: float | None = None
        self.stalled = False

    def data_sent(self, now: float) -> None:
        """Stream data was handed out."""
        self._data_after_ping = True
        if self._waiting_since is None:
            self._waiting_since = now

    def ping_due(self, now: float) -> bool:
        """Whether a ping should be queued now."""
        return now >= self._pinged_at + self._interval_s

    def next_ping(self, now: float) -> int:
        """The opaque number of the ping that is queued now."""
        self._pinged_at = now
        self._pings += 1
        self._data_after_ping = False
        if self._waiting_since is None:
            self._waiting_since = now
        return self._pings

    def progressed(self, now: float) -> bool:
        """The peer moved; whether that ends a stall."""
        if self._waiting_since is not None:
            self._waiting_since = now
        recovered, self.stalled = self.stalled, False
        return recovered

    def pong_received(self, opaque: int, now: float) -> bool:
        """The peer answered a ping; whether that ends a stall.  An answer nobody asked for proves nothing."""
        if not 0 < opaque <= self._pings:
            return False
        recovered = self.progressed(now)
        if opaque == self._pings and not self._data_after_ping:
            self._waiting_since = None
        return recovered

    def stall_due(self, now: float) -> bool:
        """Whether the connection becomes stalled now; True once per stall."""
        since = self._waiting_since
        if self.stalled or since is None or now < since + self._stall_s:
            return False
        self.stalled = True
        return True

    def is_gone(self, now: float) -> bool:
        """Whether the peer has not moved for so long that the connection is to be given up."""
        return self.stalled and self._waiting_since is not None and now >= self._waiting_since + self._give_up_s

    def next_deadline(self) -> float:
        """When one of the questions above may be answered differently."""
        ping_at = self._pinged_at + self._interval_s
        if self._waiting_since is None:
            return ping_at
        return min(ping_at, self._waiting_since + (self._give_up_s if self.stalled else self._stall_s))
