"""Which messages a participant has, in few bits: a filter that rolls along with its history."""

from __future__ import annotations

from collections.abc import Sequence

from ...model import Dialect
from ...wire.bloom import HASHES, Bloom, Hashes, Shape, read_nim, shape

_FIRST_CAPACITY = 64


class RollingBloom:
    """A filter that follows the newest messages of a history: it grows with them, and forgets the oldest.

    At 20 % over its capacity it is made anew from the newest messages, 20 % below it.  That costs two additions for
    each message added in between.
    """

    __slots__ = ("_adaptive", "_capacity_max", "_count", "_dialect", "_error_rate", "_filter", "_hashes", "_sizes")

    def __init__(self, dialect: Dialect, capacity: int, error_rate: float, *, adaptive: bool) -> None:
        self._dialect = dialect
        self._capacity_max = capacity
        self._error_rate = error_rate
        self._adaptive = adaptive
        self._hashes = HASHES[dialect]
        self._sizes = {size.byte_size: size for size in _ladder(capacity, error_rate, adaptive=adaptive)}
        self._filter = self._empty(0)
        self._count = 0

    @property
    def count(self) -> int:
        """Messages in it."""
        return self._count

    @property
    def byte_size(self) -> int:
        """Of its words."""
        return self._filter.shape.byte_size

    def hashes(self, message_id: str) -> Hashes:
        """What the other methods want of a message."""
        return self._hashes(message_id)

    def add(self, hashes: Hashes) -> bool:
        """Remember a message; whether the filter should be made anew now, with :meth:`rebuild`."""
        self._filter.add(hashes)
        self._count += 1
        capacity = self._filter.shape.capacity
        if capacity < self._capacity_max:
            return self._count > capacity
        return self._count > capacity + capacity // 5

    def has(self, message_id: str) -> bool:
        """Whether the message is in it; rarely also if it is not."""
        return self._filter.has(self._hashes(message_id))

    @property
    def keeps(self) -> int:
        """How many of the newest messages :meth:`rebuild` wants at most."""
        return max(1, self._capacity_max - self._capacity_max // 5)

    def rebuild(self, messages: Sequence[Hashes]) -> None:
        """Forget all, and remember ``messages``."""
        self._count = len(messages)
        self._filter = self._empty(self._count)
        for hashes in messages:
            self._filter.add(hashes)

    def wire(self) -> bytes:
        """As it travels in a message."""
        return self._filter.wire()

    def read(self, data: bytes) -> Bloom | None:
        """Somebody else's filter; None if it has a size we cannot know the shape of, or contradicts itself."""
        if self._dialect == "nim":
            return read_nim(data)
        size = self._sizes.get(len(data))
        return None if size is None else Bloom("spec", size, self._error_rate, data)

    def _empty(self, count: int) -> Bloom:
        sizes = list(self._sizes.values())
        size = next((size for size in sizes if size.capacity > count), sizes[-1])
        return Bloom(self._dialect, size, self._error_rate)


def _ladder(capacity: int, error_rate: float, *, adaptive: bool) -> list[Shape]:
    """The sizes a filter may have: the dialect ``spec`` sends none, so that its length has to tell."""
    sizes = []
    step = _FIRST_CAPACITY
    while adaptive and step < capacity:
        sizes.append(shape(step, error_rate))
        step *= 2
    return [*sizes, shape(capacity, error_rate)]
