"""How one stream of items behaves."""

from __future__ import annotations

from typing import NamedTuple

from .breaker import CircuitBreaker
from .policy import Retry


class StreamOptions(NamedTuple):
    """How one stream behaves; see the shells' functions, which document them."""

    ordered: bool = True
    items_max: int = 1024
    """Items taken and not given back as results."""
    bytes_max: int = 8 << 20
    """The same in bytes of their bodies and answers; one item more may always come on top."""
    retry: Retry | None = None
    breaker: CircuitBreaker | None = None
    deadline_s: float | None = None
    answer_s: float = 60.0
    """A stream that gives no answer for so long while some are due counts as cut."""
