"""Bloom filters: which messages a participant has, in few bits.

Both public implementations compute ``(A + n * B) mod m`` from two MurmurHash3 values.  One takes them as signed numbers
and then their absolute value (``spec``), the other as unsigned ones (``nim``), so their filters differ.  The bits are
kept in the byte order of the wire: words of 64 bits, big-endian in ``spec`` and little-endian in ``nim``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from mmh3 import hash as murmur

from ...errors import ProtocolError
from ..model import Dialect
from .protobuf import bytes_field, fields, number_field
from .unit_hash import murmur_of_units

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
        return _nim_filter(words, capacity, self.error_rate, hashes, bits)


def _nim_filter(words: bytes, capacity: int, error_rate: float, hashes: int, bits: int) -> bytes:
    """The filter of dialect ``nim``: its words, little-endian, with its parameters."""
    return b"".join(
        (
            bytes_field(1, words),
            number_field(2, capacity),
            number_field(3, round(error_rate * 1_000_000)),
            number_field(4, hashes),
            number_field(5, bits),
        )
    )


def read_nim(data: bytes) -> Bloom | None:
    """Somebody's filter of dialect ``nim``; None if it contradicts itself."""
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
