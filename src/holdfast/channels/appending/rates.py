"""How fast a process, or a channel, may append: a bucket of tokens for each, which fills at a steady rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import RateLimited

if TYPE_CHECKING:
    from ..state.channel import Bounds, Channel

_BUCKETS_MAX = 1_000
"""Buckets after which full ones are looked for; a full bucket is as good as none."""


class TokenBucket:
    """``burst`` tokens at most, ``rate_per_s`` new ones each second; full at first.  Pure: ``now`` is an argument."""

    __slots__ = ("_at", "_tokens", "burst", "rate_per_s")

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._tokens = burst
        self._at = now

    def take(self, count: int, now: float) -> float:
        """Take ``count`` tokens: 0.0, or for how many seconds it is too early; then none is taken.

        More than the burst are given when the bucket is full, and leave it in debt: a batch larger than the burst
        goes at the same rate as everything else, instead of never.
        """
        tokens = self.tokens(now)
        wanted = min(count, self.burst)
        if tokens < wanted:
            return (wanted - tokens) / self.rate_per_s
        self._tokens = tokens - count
        self._at = max(now, self._at)
        return 0.0

    def tokens(self, now: float) -> float:
        """How many tokens there are; a clock that goes back adds none."""
        return min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate_per_s)

    def full(self, now: float) -> bool:
        """Whether it is as good as a new one, and need not be kept."""
        return self.tokens(now) >= self.burst


class Buckets:
    """The rates of all processes, and of channels that have one of their own."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def charge(self, channel: Channel, bounds: Bounds, count: int, now: float) -> None:
        """Count ``count`` entries; RateLimited, and nothing is counted, if that is too many too soon."""
        key = channel.id if channel.record.limits.rate_per_s else channel.process
        bucket = self._buckets.get(key)
        if bucket is None or (bucket.rate_per_s, bucket.burst) != (bounds.rate_per_s, bounds.burst):
            if len(self._buckets) >= _BUCKETS_MAX:
                self._drop_full(now)
            bucket = self._buckets[key] = TokenBucket(bounds.rate_per_s, bounds.burst, now)
        wait_s = bucket.take(count, now)
        if wait_s:
            raise RateLimited(
                f"channel_rate_max: {count} more entries are over the limit of {bounds.rate_per_s:g} a second "
                f"(burst {bounds.burst}) of {key}; again in {wait_s:.3f} s",
                name="channel_rate_max",
                limit=bounds.rate_per_s,
                value=count,
                retry_after_s=wait_s,
            )

    def forget(self, key: str) -> None:
        """Forget what a process, or a channel, has sent."""
        self._buckets.pop(key, None)

    def _drop_full(self, now: float) -> None:
        for key in [key for key, bucket in self._buckets.items() if bucket.full(now)]:
            del self._buckets[key]
