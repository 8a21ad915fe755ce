"""How fast a process may append: a bucket of tokens that fills at a steady rate."""

from __future__ import annotations


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
