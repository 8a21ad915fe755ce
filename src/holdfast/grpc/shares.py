"""What each token has under way at once, so that one cannot take all there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import RateLimited

_AGAIN_S = 1.0
"""When who has too many calls may try again: some may have ended."""


class Shares:
    """The calls of all holders.  ``calls_max``: ``grpc_calls_per_token_max``."""

    def __init__(self, calls_max: int) -> None:
        self._calls_max = calls_max
        self._held: Counter[str] = Counter()

    @contextmanager
    def held_by(self, holder: str) -> Iterator[None]:
        """One more call of ``holder`` within the block; nobody in particular, the empty one, has as many as there are.

        RateLimited if it has as many as it may.
        """
        if not holder:
            yield
            return
        count, limit = self._held[holder] + 1, self._calls_max
        if count > limit:
            name = "grpc_calls_per_token_max"
            raise RateLimited(f"{name}: {count} is over the limit of {limit}", name, limit, count, _AGAIN_S)
        self._held[holder] = count
        try:
            yield
        finally:
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]
