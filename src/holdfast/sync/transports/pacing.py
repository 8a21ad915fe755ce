"""How fast datagrams leave: a bounded queue behind a bucket of bytes.  Sans-I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class Pacer:
    """Lets ``rate_bytes_s`` through, and ``burst_bytes`` at once after a pause; holds ``queue_bytes_max`` at most.

    A message's datagrams are taken all together or not at all: half a message is worth nothing to anybody.  Each counts
    ``copies`` times when it leaves: once for each of those it is sent to.
    """

    __slots__ = (
        "_at",
        "_burst_bytes",
        "_queue",
        "_queue_bytes_max",
        "_rate_bytes_s",
        "_tokens",
        "copies",
        "queued_bytes",
    )

    def __init__(self, rate_bytes_s: float, burst_bytes: int, queue_bytes_max: int) -> None:
        self._rate_bytes_s = rate_bytes_s
        self._burst_bytes = burst_bytes
        self._queue_bytes_max = queue_bytes_max
        self._queue: deque[bytes] = deque()
        self._tokens = float(burst_bytes)
        self._at = 0.0
        self.copies = 1
        self.queued_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, datagrams: Sequence[bytes]) -> bool:
        """Queue one message's datagrams; False if there is no room, and then none of them is queued."""
        size = sum(map(len, datagrams))
        if self._queue and self.queued_bytes + size > self._queue_bytes_max:
            return False
        self._queue.extend(datagrams)
        self.queued_bytes += size
        return True

    def take(self, now: float) -> list[bytes]:
        """What may leave now, in order."""
        self._fill(now)
        due = []
        while self._queue and self._tokens >= self._needed():
            datagram = self._queue.popleft()
            self._tokens -= len(datagram) * self.copies
            self.queued_bytes -= len(datagram)
            due.append(datagram)
        return due

    def next_deadline(self, now: float) -> float | None:
        """When the next datagram may leave; None if none waits."""
        if not self._queue:
            return None
        self._fill(now)
        missing = self._needed() - self._tokens
        return now + max(0.0, missing) / self._rate_bytes_s

    def _needed(self) -> int:
        """Tokens for the next datagram; one that costs more than the burst goes when the bucket is full, on credit."""
        return min(len(self._queue[0]) * self.copies, self._burst_bytes)

    def clear(self) -> None:
        """Forget what waits."""
        self._queue.clear()
        self.queued_bytes = 0

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(float(self._burst_bytes), self._tokens + (now - self._at) * self._rate_bytes_s)
            self._at = now
