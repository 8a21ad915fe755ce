"""When to send sync messages: soon after something happened, ever more rarely while nothing does (as RFC 6206)."""

from __future__ import annotations

from zlib import crc32

from ...profiles import Profile

_MULTIPLIER = 6364136223846793005
_INCREMENT = 1442695040888963407


class SyncPace:
    """The sync timer of one participant in one channel.

    ``name`` spreads the timers of participants: the same name gives the same spread each time.  Where ``sync_s`` equals
    ``sync_max_s`` it is strictly periodic.
    """

    __slots__ = ("_interval_s", "_profile", "_spread", "at", "heard", "periodic")

    def __init__(self, profile: Profile, name: str, now: float) -> None:
        self._profile = profile
        self._spread = crc32(name.encode())
        self._interval_s = profile.sync_s
        self.periodic = profile.sync_s == profile.sync_max_s
        self.heard = False
        """Somebody said just what we would say, since our last turn."""
        self.at = now + self._wait_s()

    def happened(self, now: float) -> None:
        """Something that others should hear of."""
        self.heard = False
        if self.periodic:
            return
        profile = self._profile
        if self._interval_s > profile.sync_s:
            self._interval_s = profile.sync_s
            self.at = min(self.at, now + self._wait_s())

    def said(self, now: float) -> None:
        """A message of ours told what a sync message would: one is due only if no other follows soon."""
        self.heard = False
        if not self.periodic:
            self._interval_s = self._profile.sync_s
            self.at = now + self._wait_s()

    def hurry(self, now: float) -> None:
        """Others wait for it: now."""
        self.heard = False
        self.at = min(self.at, now)

    def fired(self, now: float) -> None:
        """It was our turn."""
        self.heard = False
        self._interval_s = min(2 * self._interval_s, self._profile.sync_max_s)
        self.at = now + self._wait_s()

    def _wait_s(self) -> float:
        if self.periodic:
            return self._interval_s
        self._spread = (self._spread * _MULTIPLIER + _INCREMENT) % 2**64
        return self._interval_s * (0.5 + (self._spread >> 33) / 2**32)
