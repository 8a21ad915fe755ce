"""What is tried again, how often and after how long; what tells that a server is not well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...errors import (
    BusyError,
    DeadlineExceeded,
    DisconnectedError,
    HoldfastError,
    InternalError,
    RateLimited,
    StorageError,
    Unavailable,
    UsageError,
)

_DOUBLINGS_MAX = 30
"""Beyond, 2 ** n only makes large numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How stubborn a stream is.  Delays are drawn evenly from 0 to a ceiling that doubles with each attempt."""

    attempts: int = 5
    """How often one item is tried before its error is its result; 1: once."""
    first_s: float = 0.1
    """The first ceiling of a delay, in seconds."""
    last_s: float = 5.0
    """The highest ceiling."""
    patience_s: float = 60.0
    """Without any answer for so long, and none to be had, the stream ends with the error it met last."""

    def __post_init__(self) -> None:
        for name in ("attempts", "first_s", "last_s", "patience_s"):
            if not getattr(self, name) > 0:
                raise UsageError(f"retry.{name} must be more than 0, not {getattr(self, name)}", field=f"retry.{name}")

    def delay_s(self, attempt: int, random: Callable[[], float], error: HoldfastError | None = None) -> float:
        """Seconds until the try after ``attempt`` (from 1) has failed with ``error``, whose wish to wait is kept."""
        ceiling_s = min(self.last_s, self.first_s * float(1 << min(attempt - 1, _DOUBLINGS_MAX)))
        return retry_after_s(error) + float(random()) * ceiling_s


def retry_after_s(error: HoldfastError | None) -> float:
    """How long ``error`` asks to stay away."""
    return error.retry_after_s if isinstance(error, RateLimited | Unavailable) else 0.0


def transient(error: HoldfastError) -> bool:
    """Whether the same request may well succeed later, nothing having changed at our end."""
    if isinstance(error, DeadlineExceeded):
        return error.safe_to_retry
    return isinstance(error, DisconnectedError | Unavailable | RateLimited | BusyError)


def unwell(error: HoldfastError) -> bool:
    """Whether ``error`` says something about the server, and not about what was asked of it."""
    return isinstance(error, DisconnectedError | Unavailable | DeadlineExceeded | StorageError | InternalError)
