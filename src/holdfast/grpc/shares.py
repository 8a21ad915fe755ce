"""What each token has under way at once: calls, and what they hold in memory, so that one cannot take all there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import RateLimited

if TYPE_CHECKING:
    import asyncio

    from ..limits import Limits

_AGAIN_S = 1.0
"""When who has too many calls may try again: some may have ended."""


class Share:
    """What one holder's calls hold.  While it is crowded each of them works on one request at a time, and no more."""

    __slots__ = ("_bytes_max", "_waiting", "calls", "held_bytes")

    def __init__(self, bytes_max: float) -> None:
        self._bytes_max = bytes_max
        self._waiting: set[asyncio.Event] = set()
        self.calls = 0
        self.held_bytes = 0

    def crowded(self, size_bytes: int) -> bool:
        """Whether there is no room for so many bytes more."""
        return self.held_bytes + size_bytes > self._bytes_max

    def wake(self, waiting: asyncio.Event) -> None:
        """Set ``waiting`` when less is held."""
        self._waiting.add(waiting)

    def move(self, by_bytes: int) -> None:
        """So much more is held, or less."""
        self.held_bytes += by_bytes
        if by_bytes < 0 and self._waiting:
            for waiting in self._waiting:
                waiting.set()
            self._waiting.clear()


class Charge:
    """What one request takes of its holder's share, with its answer, until it is over."""

    __slots__ = ("_over", "_share", "_size_bytes")

    def __init__(self, share: Share, size_bytes: int) -> None:
        self._share = share
        self._size_bytes = size_bytes
        self._over = False
        share.move(size_bytes)

    def change(self, size_bytes: int) -> None:
        """It takes so much from now on; nothing happens if it is over."""
        if not self._over:
            before, self._size_bytes = self._size_bytes, size_bytes
            self._share.move(size_bytes - before)

    def end(self) -> None:
        """It takes nothing any more.  Idempotent."""
        self.change(0)
        self._over = True


class Shares:
    """Those of all holders who have calls under way."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: dict[str, Share] = {}

    @contextmanager
    def held_by(self, holder: str) -> Iterator[Share]:
        """One more call of ``holder`` within the block; nobody in particular, the empty one, has a share without end.

        RateLimited if it has as many calls as it may.
        """
        if not holder:
            yield Share(float("inf"))
            return
        share = self._held.get(holder) or Share(self._limits.grpc_bytes_per_token_max)
        limit = self._limits.grpc_calls_per_token_max
        if share.calls >= limit:
            name, count = "grpc_calls_per_token_max", share.calls + 1
            raise RateLimited(f"{name}: {count} is over the limit of {limit}", name, limit, count, _AGAIN_S)
        self._held[holder] = share
        share.calls += 1
        try:
            yield share
        finally:
            share.calls -= 1
            if not share.calls:
                del self._held[holder]
