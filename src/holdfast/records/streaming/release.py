"""Results on their way to the consumer: in the order of the inputs or as they come, never too many bytes of them."""

from __future__ import annotations

from typing import Generic, TypeVar

R = TypeVar("R")


class Release(Generic[R]):
    """Holds results until those before them are there, and what is ready until the consumer takes it.

    An answer out of order for which there is no room is not taken: it is asked for again once the order has moved on.
    Only large answers meet that, as pulled records, and asking for them again is safe.
    """

    __slots__ = (
        "_again", "_early", "_early_bytes", "_given_bytes", "_given_items", "_next", "_ordered", "_postponed", "_ready",
        "bytes", "bytes_max", "consumed", "ready_bytes",
    )  # fmt: skip

    def __init__(self, *, ordered: bool, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0
        """All of the answers that are here, with those the consumer was given last."""
        self.ready_bytes = 0
        """Those that are ready, with those the consumer was given last."""
        self.consumed = 0
        """Results that the consumer was given and has come back from."""
        self._ordered = ordered
        self._next = 0
        """The index whose result is to be given next."""
        self._early: dict[int, tuple[R, int]] = {}
        """Results that wait for one before them."""
        self._early_bytes = 0
        self._ready: list[R] = []
        self._given_items = 0
        self._given_bytes = 0
        self._postponed: list[int] = []
        self._again: list[int] = []

    @property
    def ready(self) -> bool:
        """:meth:`take` has something."""
        return bool(self._ready)

    def offer(self, index: int, result: R, size: int) -> bool:
        """Take the result of the item ``index``, whose answer has ``size`` bytes; False if there is no room for it."""
        if self._ordered and index != self._next:
            if size and self._early_bytes + size > self.bytes_max:
                return False
            self._early[index] = (result, size)
            self._early_bytes += size
            self.bytes += size
            return True
        self._ready.append(result)
        self.bytes += size
        self.ready_bytes += size
        self._next += 1
        if self._early or self._postponed:
            self._advance()
        return True

    def postpone(self, index: int) -> None:
        """The result of ``index`` was not taken: it is asked for again when there is room."""
        self._postponed.append(index)

    def asked_again(self) -> list[int]:
        """Items to be sent again, the last one first; once."""
        again, self._again = self._again, []
        return again

    def flush(self) -> None:
        """What the results that are here waited for will not come: they are ready, still in order."""
        for index in sorted(self._early):
            result, size = self._early[index]
            self._ready.append(result)
            self.ready_bytes += size
        self._early.clear()
        self._early_bytes = 0

    def take(self) -> list[R]:
        """What is ready; what was taken before has been used up."""
        self.consumed += self._given_items
        self.bytes -= self._given_bytes
        ready, self._ready = self._ready, []
        self._given_items = len(ready)
        self._given_bytes = self.ready_bytes - self._given_bytes
        self.ready_bytes = self._given_bytes
        return ready

    def _advance(self) -> None:
        early = self._early
        while self._next in early:
            result, size = early.pop(self._next)
            self._ready.append(result)
            self._early_bytes -= size
            self.ready_bytes += size
            self._next += 1
        if self._postponed:
            self._again = sorted([*self._again, *self._postponed], reverse=True)
            self._postponed.clear()
