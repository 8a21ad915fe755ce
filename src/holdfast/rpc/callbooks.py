"""The two books of calls of one connection: ours that wait for an answer, the peer's that we have to answer."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from ..errors import DeadlineExceeded, LimitExceeded, ProtocolError

_NUMBER_MAX = 2**32 - 1
_STALE_DEADLINES_MAX = 64
"""Deadlines of answered calls are swept out when they are more than this and more than the live ones."""


class OutgoingCalls:
    """Our calls: numbers, deadlines."""

    __slots__ = ("_deadlines", "_in_flight_max", "_issued", "_last", "_waiting")

    def __init__(self, in_flight_max: int) -> None:
        self._in_flight_max = in_flight_max
        self._waiting: dict[int, float | None] = {}
        """Number → seconds the caller gave, for the error's sake."""
        self._deadlines: list[tuple[float, int]] = []
        self._last = 0
        self._issued = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def check_room(self) -> None:
        """LimitExceeded if no further call may be made now."""
        if len(self._waiting) >= self._in_flight_max:
            raise LimitExceeded(name="calls_in_flight_max", limit=self._in_flight_max, value=len(self._waiting) + 1)

    def open(self, deadline_s: float | None, now: float) -> int:
        """The number of a new call, from 1 up; numbers come round again after 2³² and skip those in use."""
        number = self._last % _NUMBER_MAX + 1
        while number in self._waiting:
            number = number % _NUMBER_MAX + 1
        self._last = number
        self._issued = max(self._issued, number)
        self._waiting[number] = deadline_s
        if deadline_s is not None:
            self._sweep()
            heappush(self._deadlines, (now + deadline_s, number))
        return number

    def close(self, number: int) -> bool:
        """Strike the call out; whether it was waiting."""
        if number not in self._waiting:
            return False
        del self._waiting[number]
        return True

    def is_waiting(self, number: int) -> bool:
        """Whether the call still waits for its answer."""
        return number in self._waiting

    def check_issued(self, number: int) -> None:
        """ProtocolError if this end never made call ``number``: the peer answers what nobody asked."""
        if not 0 < number <= self._issued:
            raise ProtocolError(f"answer to call {number}, which was never made", "unknown-call")

    def expired(self, now: float) -> list[tuple[int, DeadlineExceeded]]:
        """The calls whose deadline has passed, struck out, each with its error."""
        late: list[tuple[int, DeadlineExceeded]] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            number = heappop(self._deadlines)[1]
            after_s = self._waiting.get(number)
            if after_s is not None:
                del self._waiting[number]
                late.append((number, DeadlineExceeded(phase="call", after_s=after_s)))
        return late

    def next_deadline(self) -> float | None:
        """The earliest deadline of a call that still waits."""
        deadlines = self._deadlines
        while deadlines and self._waiting.get(deadlines[0][1]) is None:
            heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def _sweep(self) -> None:
        if len(self._deadlines) > 2 * len(self._waiting) + _STALE_DEADLINES_MAX:
            self._deadlines = [entry for entry in self._deadlines if self._waiting.get(entry[1]) is not None]
            heapify(self._deadlines)


class IncomingCalls:
    """The peer's calls that have no answer yet."""

    __slots__ = ("_in_flight_max", "_open")

    def __init__(self, in_flight_max: int) -> None:
        self._in_flight_max = in_flight_max
        self._open: set[int] = set()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, number: int) -> LimitExceeded | None:
        """Enter a call; the error to answer with if there are too many.

        ProtocolError for number 0 and for one that is still open.
        """
        if number == 0 or number in self._open:
            raise ProtocolError(f"call number {number} is 0 or in use", "duplicate-call")
        if len(self._open) >= self._in_flight_max:
            return LimitExceeded(name="calls_in_flight_max", limit=self._in_flight_max, value=len(self._open) + 1)
        self._open.add(number)
        return None

    def close(self, number: int) -> bool:
        """Strike the call out; whether it was open."""
        if number not in self._open:
            return False
        self._open.discard(number)
        return True

    def is_open(self, number: int) -> bool:
        """Whether the call still waits for our answer."""
        return number in self._open
