"""How several blobs of a runs-mode log share a row: a directory, then the blobs, each as it was appended.

The directory is the number of blobs, the length of each, and the count of entries of each: unsigned 32-bit
little-endian.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise

_NUMBER = struct.Struct("<I")


def join_blobs(blobs: Sequence[bytes | memoryview], counts: Sequence[int]) -> bytes:
    """``blobs`` behind their directory."""
    return b"".join([_NUMBER.pack(len(blobs)), _u32(map(len, blobs)), _u32(counts), *blobs])


def split_blobs(data: bytes) -> tuple[Sequence[bytes], Sequence[int]]:
    """The blobs that :func:`join_blobs` joined, and their counts.  ValueError if it cannot have been."""
    if len(data) < _NUMBER.size:
        raise ValueError("no room for a directory")
    (number,) = _NUMBER.unpack_from(data)
    start = _NUMBER.size + 8 * number
    if start > len(data):
        raise ValueError("the directory is cut")
    lengths, counts = _numbers(data[_NUMBER.size : start])
    if start + sum(lengths) != len(data) or 0 in counts:
        raise ValueError("the directory and the payload disagree")
    return [data[low:high] for low, high in pairwise(accumulate(lengths, initial=start))], counts


def payload_ending_above(read: Callable[[int], bytes], count: int) -> int:
    """Payload of the blobs that end after the first ``count`` entries; ``read`` gives the next bytes of the row."""
    (number,) = _NUMBER.unpack(read(_NUMBER.size))
    lengths, counts = _numbers(read(8 * number))
    return sum(length for length, end in zip(lengths, accumulate(counts), strict=True) if end > count)


def is_between(read: Callable[[int], bytes], count: int) -> bool:
    """Whether one blob ends and another begins after the first ``count`` entries; ``read`` as above."""
    (number,) = _NUMBER.unpack(read(_NUMBER.size))
    _, counts = _numbers(read(8 * number))
    return count in accumulate(counts)


def _numbers(directory: bytes) -> tuple[array[int], array[int]]:
    numbers = array("I", directory)
    if sys.byteorder == "big":
        numbers.byteswap()
    half = len(numbers) // 2
    return numbers[:half], numbers[half:]


def _u32(values: Iterable[int]) -> bytes:
    packed = array("I", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
