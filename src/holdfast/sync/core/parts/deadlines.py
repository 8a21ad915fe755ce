"""Which of many things is due first."""

from __future__ import annotations

from heapq import heapify, heappop, heappush


class Deadlines:
    """A time for each of any number of keys.  Every operation costs the logarithm of their number, amortised.

    What is cancelled or set again stays in the heap until it comes up, or until half of the heap is such leftovers.
    """

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._at)

    def at(self, key: str) -> float | None:
        """When the key is due; None: it is not known."""
        return self._at.get(key)

    def set(self, key: str, at: float) -> None:
        """The key is due at ``at``, instead of whenever it was before."""
        self._at[key] = at
        heap = self._heap
        heappush(heap, (at, key))
        if len(heap) > 2 * len(self._at) + 64:
            self._heap = [(when, name) for name, when in self._at.items()]
            heapify(self._heap)

    def cancel(self, key: str) -> None:
        """Forget the key; one that is not known is ignored."""
        self._at.pop(key, None)

    def first(self) -> float | None:
        """When the first is due; None: there is none."""
        heap, known = self._heap, self._at
        while heap:
            at, key = heap[0]
            if known.get(key) == at:
                return at
            heappop(heap)
        return None

    def take(self, now: float) -> str | None:
        """The key that is most overdue at ``now``, forgotten from here on; None: none is due."""
        at = self.first()
        if at is None or at > now:
            return None
        key = heappop(self._heap)[1]
        del self._at[key]
        return key
