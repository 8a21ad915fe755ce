"""One stream's way through a circuit breaker, which it may share with others, or not have at all."""

from __future__ import annotations

from ...errors import HoldfastError
from .breaker import CircuitBreaker
from .policy import unwell


class Gate:
    """Lets items through, and tells the breaker how they fared."""

    __slots__ = ("_breaker", "look_again_at")

    def __init__(self, breaker: CircuitBreaker | None) -> None:
        self._breaker = breaker
        self.look_again_at: float | None = None
        """When to ask again a breaker that tries the node with another stream's item."""

    @property
    def closes_at(self) -> float | None:
        """When an open breaker lets one item through; None while it is not open."""
        return None if self._breaker is None else self._breaker.closes_at()

    def may_try(self, now: float) -> bool:
        """Whether to open a stream to the node at all."""
        closes_at = self.closes_at
        return closes_at is None or now >= closes_at

    def may_send(self, now: float, *, waiting: bool) -> bool:
        """Whether to send the next item; ``waiting``: some are under way, so that something will happen anyway."""
        self.look_again_at = None
        if self._breaker is None or self._breaker.try_pass(self, now):
            return True
        if not waiting:
            self.look_again_at = now + self._breaker.open_s / 4
        return False

    def answered(self) -> None:
        """The node answered, and is well."""
        if self._breaker is not None:
            self._breaker.succeeded(self)

    def met(self, error: HoldfastError, now: float) -> None:
        """The node, or the way to it, failed; errors that say nothing about them do not count."""
        if self._breaker is not None and unwell(error):
            self._breaker.failed(self, now)

    def leave(self) -> None:
        """Nothing of ours is under way any more."""
        if self._breaker is not None:
            self._breaker.give_back(self)
