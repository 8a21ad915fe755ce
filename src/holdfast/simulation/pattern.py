"""Data whose every byte is known from its offset, and the check that it arrived so."""

from __future__ import annotations

import random

from ..streams import Payload

PERIOD_BYTES = 1_048_573
"""A prime a little below 1 MiB: no ring, window or packet size is a multiple of it, so bytes that were moved by
any of these do not look right."""
SLICE_BYTES_MAX = 64 * 1024
"""Longest slice that is made or compared at once."""


class Pattern:
    """Endless bytes that follow from ``seed``; slicing costs a copy, not a computation."""

    __slots__ = ("_block",)

    def __init__(self, seed: int = 0) -> None:
        block = random.Random(seed).randbytes(PERIOD_BYTES)
        self._block = block + block[:SLICE_BYTES_MAX]

    def slice(self, offset: int, size: int) -> bytes:
        """The ``size`` bytes (at most SLICE_BYTES_MAX) from ``offset`` on."""
        start = offset % PERIOD_BYTES
        return self._block[start : start + min(size, SLICE_BYTES_MAX)]


class Generator:
    """Hands out ``size`` bytes of a pattern, in order."""

    __slots__ = ("_pattern", "offset", "size")

    def __init__(self, pattern: Pattern, size: int) -> None:
        self._pattern = pattern
        self.size = size
        self.offset = 0
        """Bytes handed out and taken."""

    @property
    def finished(self) -> bool:
        """Whether all bytes were taken."""
        return self.offset >= self.size

    def peek(self, size: int = SLICE_BYTES_MAX) -> bytes:
        """The next bytes, at most ``size``; they stay the next until :meth:`take`."""
        return self._pattern.slice(self.offset, min(size, self.size - self.offset))

    def take(self, size: int) -> None:
        """``size`` of the bytes last shown were used."""
        self.offset += size


class Verifier:
    """Compares what arrives with the pattern and remembers where it first differed."""

    __slots__ = ("_pattern", "first_mismatch", "gap_bytes", "mismatches", "offset", "received")

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self.offset = 0
        """Where the next bytes belong."""
        self.received = 0
        self.gap_bytes = 0
        self.mismatches = 0
        """Pieces that were not what they should be."""
        self.first_mismatch: int | None = None
        """Offset of the first byte that was wrong, or in the wrong place."""

    def check(self, offset: int, data: Payload) -> None:
        """``data`` arrived as the bytes from ``offset`` on."""
        if offset != self.offset:
            self._mismatch(min(offset, self.offset))
        size = len(data)
        for start in range(0, size, SLICE_BYTES_MAX):
            piece = data if size <= SLICE_BYTES_MAX else data[start : start + SLICE_BYTES_MAX]
            expected = self._pattern.slice(offset + start, len(piece))
            if expected != (piece if isinstance(piece, bytes) else bytes(piece)):
                self._mismatch(offset + start + first_difference(expected, bytes(piece)))
        self.offset = offset + size
        self.received += size

    def skip(self, offset: int, length: int) -> None:
        """A gap of ``length`` bytes was reported at ``offset``."""
        if offset != self.offset:
            self._mismatch(min(offset, self.offset))
        self.gap_bytes += length
        self.offset = offset + length

    def _mismatch(self, offset: int) -> None:
        self.mismatches += 1
        if self.first_mismatch is None:
            self.first_mismatch = offset


def first_difference(one: bytes, other: bytes) -> int:
    """The first index at which they differ, found by halving; their length if they do not."""
    low, high = 0, len(one)
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
