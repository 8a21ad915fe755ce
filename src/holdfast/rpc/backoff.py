"""How long to wait before dialing again: full jitter under a doubling ceiling, sans-I/O."""

from __future__ import annotations

from collections.abc import Callable

from ..limits import LIMITS, Limits


class Backoff:
    """The delays of one reconnecting client.

    Each delay is drawn evenly from 0 to a ceiling that starts at ``reconnect_first_s`` and doubles up to
    ``reconnect_last_s``.  It starts over only after a connection carried data or was open for ``reconnect_healthy_s``;
    a clean close alone, however often, resets nothing.  ``random()`` gives a float in [0, 1).
    """

    __slots__ = ("_attempts", "_healthy", "_limits", "_opened_at", "_random")

    def __init__(self, random: Callable[[], float], limits: Limits = LIMITS) -> None:
        self._random = random
        self._limits = limits
        self._attempts = 0
        self._opened_at: float | None = None
        self._healthy = False

    @property
    def attempts(self) -> int:
        """Delays drawn since the last healthy connection."""
        return self._attempts

    @property
    def ceiling_s(self) -> float:
        """The longest the next delay can be, unless the peer asked for more."""
        limits = self._limits
        ceiling_s = limits.reconnect_first_s
        for _ in range(self._attempts):
            if ceiling_s >= limits.reconnect_last_s:
                break
            ceiling_s *= 2
        return min(ceiling_s, limits.reconnect_last_s)

    def opened(self, now: float) -> None:
        """A connection is open."""
        self._opened_at = now
        self._healthy = False

    def data_flowed(self) -> None:
        """The open connection carried stream data or an answer; a handshake or a ping is none."""
        self._healthy = self._opened_at is not None

    def next_delay_s(self, now: float, retry_after_s: float = 0.0) -> float:
        """Seconds to wait after a connection ended, or could not be made; ``retry_after_s``: what the peer asked for.

        The peer's wish is kept and the jitter comes on top, so that its clients do not all come back at once.
        """
        opened_at, self._opened_at = self._opened_at, None
        long_open = opened_at is not None and now - opened_at >= self._limits.reconnect_healthy_s
        if self._healthy or long_open:
            self._attempts = 0
        self._healthy = False
        delay_s = self._random() * self.ceiling_s
        self._attempts += 1
        return retry_after_s + delay_s
