"""A circuit breaker: leaves a server alone that only fails, and tries it with one item before it trusts it again."""

from __future__ import annotations

from enum import Enum

from ...errors import UsageError


class BreakerState(Enum):
    """Where a breaker stands."""

    CLOSED = "closed"
    """All goes through."""
    OPEN = "open"
    """Nothing goes through until ``open_s`` have passed."""
    HALF_OPEN = "half_open"
    """One item at a time goes through; its answer decides."""


class CircuitBreaker:
    """Opens after ``failures`` failures in a row; several streams to one node may share it.

    ``open_s``: seconds until it lets one item through again.  Times are seconds on one clock that never goes back:
    the shells pass their event loop's or the machine's monotonic clock, which are the same.
    """

    __slots__ = ("_failures", "_failures_max", "_opened_at", "_probing", "open_s", "opened", "state")

    def __init__(self, *, failures: int = 5, open_s: float = 5.0) -> None:
        if failures < 1:
            raise UsageError(f"circuit_breaker.failures must be at least 1, not {failures}", field="failures")
        if not open_s > 0:
            raise UsageError(f"circuit_breaker.open_s must be more than 0, not {open_s}", field="open_s")
        self.state = BreakerState.CLOSED
        self.open_s = open_s
        self.opened = 0
        """How often it has opened."""
        self._failures_max = failures
        self._failures = 0
        self._opened_at = 0.0
        self._probing: object | None = None

    def closes_at(self) -> float | None:
        """When an open breaker lets one item through; None while it is not open."""
        return self._opened_at + self.open_s if self.state is BreakerState.OPEN else None

    def try_pass(self, who: object, now: float) -> bool:
        """Whether an item of the stream ``who`` may go out.

        While half open that is so for one item of all streams together: asking is taking, until its answer or
        :meth:`give_back`.
        """
        if self.state is BreakerState.CLOSED:
            return True
        if self.state is BreakerState.OPEN:
            if now < self._opened_at + self.open_s:
                return False
            self.state = BreakerState.HALF_OPEN
        if self._probing is not None:
            return False
        self._probing = who
        return True

    def give_back(self, who: object) -> None:
        """``who`` goes away: if the one item was its, another stream's may go out."""
        if self._probing is who:
            self._probing = None

    def succeeded(self, who: object) -> None:
        """The server answered: it is well, though what was asked may have been refused."""
        self._failures = 0
        if self.state is BreakerState.HALF_OPEN and self._probing is who:
            self._probing = None
            self.state = BreakerState.CLOSED

    def failed(self, who: object, now: float) -> None:
        """The server failed, or could not be reached."""
        self._failures += 1
        if self.state is BreakerState.HALF_OPEN:
            if self._probing is who or self._probing is None:
                self._open(now)
        elif self.state is BreakerState.CLOSED and self._failures >= self._failures_max:
            self._open(now)

    def _open(self, now: float) -> None:
        self.state = BreakerState.OPEN
        self.opened += 1
        self._opened_at = now
        self._probing = None
