"""A world to run protocol cores in: an event loop, a clock and a source of chance, all from one seed.

In virtual time a world jumps from event to event: the same seed gives the same numbers on every machine.
In real time the same code runs against the machine's clock, with a finer grain than an I/O loop's timers have.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from ..clock import VirtualClock

_SPIN_S = 0.0005
"""Real time: the last stretch before an event is spun, not slept; sleeping is late by up to this much."""


class Timer:
    """One event to come; :meth:`cancel` makes it not happen."""

    __slots__ = ("arguments", "callback")

    def __init__(self, callback: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.callback: Callable[..., None] | None = callback
        self.arguments = arguments

    def cancel(self) -> None:
        """Forget the event.  Idempotent; too late is no error."""
        self.callback = None
        self.arguments = ()


class World:
    """Events in order of their time, in virtual time, and ``random`` seeded with ``seed``."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.clock = VirtualClock()
        self.steps = 0
        """Events that have happened."""
        self._ready: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._serial = 0

    def now(self) -> float:
        """Seconds since the world began."""
        return self.clock.now()

    def soon(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call back now, after what is to be called now already."""
        self._ready.append((callback, arguments))

    def at(self, moment_s: float, callback: Callable[..., None], *arguments: Any) -> Timer:
        """Call back at ``moment_s``; events of one moment happen in the order they were asked for."""
        timer = Timer(callback, arguments)
        self._serial += 1
        heappush(self._timers, (moment_s, self._serial, timer))
        return timer

    def after(self, delay_s: float, callback: Callable[..., None], *arguments: Any) -> Timer:
        """Call back in ``delay_s`` seconds."""
        timer = Timer(callback, arguments)
        self._serial += 1
        heappush(self._timers, (self.now() + delay_s, self._serial, timer))
        return timer

    def step(self) -> bool:
        """Let the next event happen; False if there is none."""
        if self._ready:
            callback, arguments = self._ready.popleft()
        else:
            timers = self._timers
            while True:
                if not timers:
                    return False
                moment_s, _, timer = heappop(timers)
                if timer.callback is not None:
                    break
            self._wait_until(moment_s)
            callback, arguments = timer.callback, timer.arguments
        self.steps += 1
        callback(*arguments)
        return True

    def run(self, until: Callable[[], bool]) -> bool:
        """Step until ``until()`` holds; False if the events ran out before."""
        while not until():
            if not self.step():
                return False
        return True

    def _wait_until(self, moment_s: float) -> None:
        if moment_s > self.clock.now():
            self.clock.advance_to(moment_s)


class RealWorld(World):
    """The same in real time: events happen when the machine's clock says so.  ``run`` blocks its thread."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._began = time.monotonic()

    def now(self) -> float:
        """Seconds since the world began, on the machine's clock."""
        return time.monotonic() - self._began

    def step(self) -> bool:
        """Let the next event happen, those due by the clock first; False if there is none."""
        timers = self._timers
        if timers and self._ready and timers[0][0] <= self.now():
            self._ready.appendleft((self._fire, (heappop(timers)[2],)))
        return super().step()

    @staticmethod
    def _fire(timer: Timer) -> None:
        if timer.callback is not None:
            timer.callback(*timer.arguments)

    def _wait_until(self, moment_s: float) -> None:
        while (left := moment_s - self.now()) > 0:
            if left > _SPIN_S:
                time.sleep(left - _SPIN_S)
