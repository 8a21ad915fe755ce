"""What the shared face of logs needs of the engine below it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from .base import LogMode, Piece
from .state import Append, Control, LogState


class Store(Protocol):
    """Where :class:`Logs` keeps things; each ``…ing`` method gives what the store's side has to run.

    What that gives may be awaited, where the store's side is on the event loop too.
    """

    def submit(self, operation: Append | Control) -> None:
        """Queue it.  Its fate comes back through ``Logs.stored`` or ``Logs.failed``, in order."""
        ...

    def creating(self, name: str, mode: LogMode, meta: bytes) -> Callable[[], int]:
        """Make the log; gives its id."""
        ...

    def forking(
        self, source: LogState, name: str, position: int, meta: bytes
    ) -> Callable[[], LogState | Awaitable[LogState]]:
        """Make a log of what ``source`` holds below ``position``; gives its state."""
        ...

    def trimming(self, state: LogState, position: int) -> Callable[[], int | Awaitable[int]]:
        """Forget all below ``position``; gives how many payload bytes that was."""
        ...

    def deleting(self, state: LogState) -> Callable[[], None]:
        """Remove the log."""
        ...

    async def fetch(self, state: LogState, position: int, limit: int, max_bytes: int) -> list[Piece]:
        """What it holds from ``position`` to ``limit``; [] if ``position`` is not there (any more)."""
        ...
