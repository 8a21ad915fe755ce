"""Time as a value: the real clock, and a virtual one that only moves when told to."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where shells get ``now`` from; cores are handed the number and never see a clock."""

    def now(self) -> float:
        """Seconds on a clock that never goes back; its zero means nothing."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch; may jump."""
        ...


class RealClock:
    """The machine's clocks."""

    __slots__ = ()

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class VirtualClock:
    """A clock for simulations and tests: it stands still until :meth:`advance` or :meth:`advance_to`."""

    __slots__ = ("_now", "_wall_offset")

    def __init__(self, start_s: float = 0.0, wall_s: float = 1_700_000_000.0) -> None:
        self._now = start_s
        self._wall_offset = wall_s - start_s

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now + self._wall_offset

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds``, which must not be negative."""
        self.advance_to(self._now + seconds)

    def advance_to(self, moment_s: float) -> None:
        """Move on to ``moment_s`` on the :meth:`now` scale; going back raises ValueError."""
        if moment_s < self._now:
            raise ValueError(f"a clock does not go back: {moment_s} < {self._now}")
        self._now = moment_s

    def step_wall(self, seconds: float) -> None:
        """Jump the wall clock only, as NTP or a person would."""
        self._wall_offset += seconds
