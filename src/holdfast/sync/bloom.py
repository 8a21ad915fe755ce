"""The rolling bloom filter: which messages a participant has, in few bits.

Both public implementations compute ``(A + n * B) mod m`` from two MurmurHash3 values.  One takes them as signed numbers
and then their absolute value (``spec``), the other as unsigned ones (``nim``), so their filters differ.  The bits are
kept in the byte order of the wire: words of 64 bits, big-endian in ``spec`` and little-endian in ``nim``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from mmh3 import hash as murmur

from ..errors import ProtocolError
from .model import Dialect
from .unit_hash import murmur_of_units
from .wire.codec import nim_filter
from .wire.protobuf import fields

_FIRST_CAPACITY = 64
_new = tuple.__new__  # a NamedTuple's own constructor costs three times as much
_HASHES_MAX = 64
_BITS_MAX = 2**27
"""Of a foreign filter: more would be larger than a message may be."""


class Shape(NamedTuple):
    """A filter's size."""

    capacity: int
    bits: int
    hashes: int

    @property
    def byte_size(self) -> int:
        """Of its words."""
        return (1 + self.bits // 64) * 8


def shape(capacity: int, error_rate: float) -> Shape:
    """The size of a filter for ``capacity`` items that errs at ``error_rate``; as both implementations compute it."""
    per_item = math.ceil(-math.log(error_rate) / math.log(2) ** 2)
    return Shape(capacity, capacity * per_item, max(1, round(math.log(2) * per_item)))


class Hashes(NamedTuple):
    """An item's two hash values, before they are cut to a filter's size."""

    a: int
    b: int


def signed_hashes(item: str) -> Hashes:
    """As the JavaScript implementation has them."""
    if not item.isascii():
        return Hashes(abs(murmur_of_units(item)), abs(murmur_of_units(item + " b")))
    return _new(Hashes, (abs(murmur(item)), abs(murmur(item + " b"))))


def unsigned_hashes(item: str) -> Hashes:
    """As the native Nim implementation has them."""
    return _new(Hashes, (murmur(item, 0, False), murmur(item + " b", 0, False)))


HASHES = {"spec": signed_hashes, "nim": unsigned_hashes}


class Bloom:
    """A filter of one size.  Items are given as their :class:`Hashes`."""

    __slots__ = ("data", "error_rate", "flip", "shape")

    def __init__(self, dialect: Dialect, size: Shape, error_rate: float, data: bytes | None = None) -> None:
        self.shape = size
        self.error_rate = error_rate
        self.flip = 7 if dialect == "spec" else 0
        """What turns a bit's byte into that of the wire's word order."""
        self.data: bytearray | bytes = bytearray(size.byte_size) if data is None else data

    def add(self, hashes: Hashes) -> None:
        """Remember an item."""
        data = self.data
        assert isinstance(data, bytearray)
        _, bits, count = self.shape
        flip = self.flip
        at, step = hashes[0] % bits, hashes[1] % bits
        for _ in range(count):
            data[at >> 3 ^ flip] |= 1 << (at & 7)
            at += step
            if at >= bits:
                at -= bits

    def has(self, hashes: Hashes) -> bool:
        """Whether the item was added; rarely also if it was not."""
        data = self.data
        _, bits, count = self.shape
        flip = self.flip
        at, step = hashes[0] % bits, hashes[1] % bits
        for _ in range(count):
            if not data[at >> 3 ^ flip] >> (at & 7) & 1:
                return False
            at += step
            if at >= bits:
                at -= bits
        return True

    def wire(self) -> bytes:
        """As it travels in a message of its dialect."""
        words = bytes(self.data)
        if self.flip:
            return words
        capacity, bits, hashes = self.shape
        return nim_filter(words, capacity, self.error_rate, hashes, bits)


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
            return _read_nim(data)
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


def _read_nim(data: bytes) -> Bloom | None:
    values: dict[int, int] = {}
    words = b""
    try:
        for field, value, _, _ in fields(data):
            if isinstance(value, int):
                values[field] = value
            elif field == 1:
                words = value
    except ProtocolError:
        return None
    size = Shape(values.get(2, 0), values.get(5, 0), values.get(4, 0))
    if not 0 < size.bits <= _BITS_MAX or not 0 < size.hashes <= _HASHES_MAX or size.byte_size > len(words):
        return None
    return Bloom("nim", size, values.get(3, 0) / 1_000_000, words)
