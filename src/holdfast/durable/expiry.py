"""When streams end by themselves: a queue of moments to look again, and the rule for one stream.  Pure."""

from __future__ import annotations

from heapq import heappop, heappush

RECHECK_S = 60.0
"""An absolute expiry is looked at this often at least, because the wall clock may be set."""


class Lifetime:
    """Decides when one stream is over: ``ttl_s`` after its last use, or at ``expires_at_s``, or never."""

    __slots__ = ("_expires_at_s", "_ttl_s", "_used_at", "users")

    def __init__(self, ttl_s: float | None, expires_at_s: float | None, now: float) -> None:
        self._ttl_s = ttl_s
        self._expires_at_s = expires_at_s
        self._used_at = now
        self.users = 0
        """Live readers; a stream that has some is in use."""

    @property
    def endless(self) -> bool:
        """It never ends by itself."""
        return self._ttl_s is None and self._expires_at_s is None

    def use(self, now: float) -> None:
        """Read or written now."""
        self._used_at = max(self._used_at, now)

    def over(self, now: float, wall: float) -> bool:
        """Whether the stream has ended."""
        if self._expires_at_s is not None and wall >= self._expires_at_s:
            return True
        return self._ttl_s is not None and not self.users and now >= self._used_at + self._ttl_s

    def look_at(self, now: float, wall: float) -> float:
        """The next moment, on the scale of ``now``, at which :meth:`over` may become true."""
        moments = [now + RECHECK_S]
        if self._expires_at_s is not None:
            moments.append(now + max(self._expires_at_s - wall, 0.0))
        if self._ttl_s is not None:
            begin = now if self.users else self._used_at
            moments.append(max(begin + self._ttl_s, now))
        return min(moments)


class Agenda:
    """Names by the moment to look at them; a name is there once, at its latest setting."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._moments: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._moments)

    def set(self, name: str, moment: float) -> None:
        """Look at ``name`` at ``moment``, and not when it was set to before."""
        self._moments[name] = moment
        heappush(self._heap, (moment, name))

    def remove(self, name: str) -> None:
        """Do not look at ``name``."""
        self._moments.pop(name, None)

    def next_deadline(self) -> float | None:
        """The earliest moment there is."""
        heap = self._heap
        while heap and self._moments.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: float) -> list[str]:
        """Take out all whose moment has come, earliest first."""
        names = []
        while (moment := self.next_deadline()) is not None and moment <= now:
            name = heappop(self._heap)[1]
            del self._moments[name]
            names.append(name)
        return names
