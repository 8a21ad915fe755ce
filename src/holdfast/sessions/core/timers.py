"""Deadlines of many things, each with one that moves: a heap in which nothing is ever searched.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")


class Timers(Generic[T]):
    """Entries wait under the deadline they had when they were added, and are asked for their own when it comes.

    So a deadline may move to later, or away, at no cost; ``deadline_of(item)`` gives it, None if there is none.  An
    item waits once at a time for each time it was added.
    """

    def __init__(self, deadline_of: Callable[[T], float | None]) -> None:
        self._deadline_of = deadline_of
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, deadline: float, item: T) -> None:
        """Have ``item`` come up at ``deadline``."""
        self._count += 1
        heappush(self._heap, (deadline, self._count, item))

    def next_deadline(self) -> float | None:
        """When to call :meth:`due` next; it may then turn out that nothing is."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[tuple[T, bool]]:
        """The items whose time under which they waited has come, and whether their own deadline has, too.

        They wait no more; who is not due yet is to be added again.
        """
        found = []
        while self._heap and self._heap[0][0] <= now:
            item = heappop(self._heap)[2]
            deadline = self._deadline_of(item)
            found.append((item, deadline is not None and deadline <= now))
        return found

    def discard(self, over: Callable[[T], bool]) -> None:
        """Take out all that is ``over``; worth its price when that is most of what waits."""
        self._heap = [entry for entry in self._heap if not over(entry[2])]
        heapify(self._heap)
