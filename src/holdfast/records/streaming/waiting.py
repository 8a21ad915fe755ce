"""Items that wait to be sent: now, those to be sent again first, or at a moment to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush


class Waiting:
    """Items by index."""

    __slots__ = ("_later", "queue")

    def __init__(self) -> None:
        self.queue: deque[int] = deque()
        """Those that may be sent now, in this order; whoever sends them takes them off."""
        self._later: list[tuple[float, int]] = []  # a heap

    @property
    def next_moment(self) -> float | None:
        """When :meth:`wake` has something to do."""
        return self._later[0][0] if self._later else None

    def again(self, indexes: Iterable[int]) -> None:
        """Send these before all others, in the order of the items."""
        self.queue.extendleft(sorted(indexes, reverse=True))

    def later(self, index: int, moment: float) -> None:
        """Send it again at ``moment``."""
        heappush(self._later, (moment, index))

    def wake(self, now: float) -> None:
        """The moment of some has come."""
        if self._later and self._later[0][0] <= now:
            due: list[int] = []
            while self._later and self._later[0][0] <= now:
                due.append(heappop(self._later)[1])
            self.again(due)

    def take_all(self) -> list[int]:
        """Take off the queue all that is in it."""
        indexes = list(self.queue)
        self.queue.clear()
        return indexes

    def clear(self) -> None:
        """None of them is to be sent."""
        self.queue.clear()
        self._later.clear()
