"""How the items of the four record streams lie on the wire: batches, laid out by columns.

A batch, big-endian::

    u32  length      of all that follows
    u8   flags       1 COMPRESSED, 2 DENSE, 4 STATUSES
    u32  count       items, at least 1
    then, if COMPRESSED, u32 raw length and a zstd frame of what follows, else just that:
    u64  index       DENSE: of the first item, the others follow it one by one;
                     without it one u64 for each item
    u8   status      for each item, only with STATUSES; without, all are OK
    u32  length      for each item
    …    bodies      one after the other

Both directions are laid out so; requests have no statuses.  Pure: no I/O, nothing but the standard library
(``zstandard`` is imported when the first batch is compressed).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from struct import Struct, pack, unpack_from
from typing import Final, NamedTuple, Protocol

from ..errors import UsageError
from ..limits import LIMITS, Limits

OK: Final = 0
ERROR: Final = 1
"""The body is JSON of ``errors.to_wire``."""
EXISTED: Final = 2
"""As OK, and it had been pushed before."""

COMPRESSED: Final = 1
DENSE: Final = 2
STATUSES: Final = 4
_FLAGS: Final = COMPRESSED | DENSE | STATUSES

_HEAD: Final = Struct(">IBI")
_INDEX: Final = Struct(">Q")
_RAW_LENGTH: Final = Struct(">I")
HEAD_BYTES: Final = _HEAD.size
ITEM_HEAD_BYTES: Final = 13
"""What an item takes besides its body, at most."""
INDEX_MAX: Final = (1 << 63) - 1
COMPRESS_BYTES_MIN: Final = 512
"""Below, compressing a batch gains nothing."""


class Batch(NamedTuple):
    """Items that travel together."""

    indexes: Sequence[int]
    bodies: list[bytes]
    statuses: bytes = b""
    """One byte for each item; empty: all are OK."""


class Compressor(Protocol):
    """Compresses and decompresses; see :func:`zstd`."""

    def compress(self, data: bytes) -> bytes:
        """``data``, smaller if that can be."""
        ...

    def decompress(self, data: bytes, length: int) -> bytes:
        """The ``length`` bytes that were compressed; ValueError for anything else."""
        ...


def encode_batch(
    indexes: Sequence[int], bodies: Sequence[bytes], statuses: bytes = b"", compressor: Compressor | None = None
) -> bytes:
    """One batch of at least one item, compressed if that makes it smaller.

    It is for the caller to keep below ``record_batch_items_max`` and ``record_batch_bytes_max``: a batch takes
    ``HEAD_BYTES`` and for each item ``ITEM_HEAD_BYTES`` and its body, at most.
    """
    count = len(bodies)
    flags = 0
    if _is_dense(indexes):
        flags, columns = DENSE, _INDEX.pack(indexes[0])
    else:
        columns = pack(f">{count}Q", *indexes)
    if statuses.count(OK) != len(statuses):
        flags |= STATUSES
        columns += statuses
    rest = b"".join((columns, pack(f">{count}I", *map(len, bodies)), *bodies))
    if compressor is not None and len(rest) >= COMPRESS_BYTES_MIN:
        compressed = compressor.compress(rest)
        if len(compressed) + _RAW_LENGTH.size < len(rest):
            flags |= COMPRESSED
            rest = _RAW_LENGTH.pack(len(rest)) + compressed
    return _HEAD.pack(HEAD_BYTES - 4 + len(rest), flags, count) + rest


def _is_dense(indexes: Sequence[int]) -> bool:
    if isinstance(indexes, range):
        return indexes.step == 1
    first = indexes[0]
    return indexes[-1] - first == len(indexes) - 1 and list(indexes) == list(range(first, first + len(indexes)))


class BatchDecoder:
    """Cuts a stream into batches.  Feed it what arrives; iterate it for what is complete.

    UsageError (``field="batch"``) for what is no batch, or one over the limits; it is of no use after that.
    """

    __slots__ = ("_compressor", "_data", "_limits", "_start")

    def __init__(self, compressor: Compressor | None = None, limits: Limits = LIMITS) -> None:
        """``compressor``: what was agreed on; None: no batch may be compressed."""
        self._compressor = compressor
        self._limits = limits
        self._data = bytearray()
        self._start = 0

    @property
    def pending_bytes(self) -> int:
        """What is there of batches that are not complete, or were not asked for; 0 at the end of a whole stream."""
        return len(self._data) - self._start

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """More of the stream."""
        if self._start:
            del self._data[: self._start]
            self._start = 0
        self._data += data

    def __iter__(self) -> Iterator[Batch]:
        while (batch := self.next_batch()) is not None:
            yield batch

    def next_batch(self) -> Batch | None:
        """The next complete batch; None until more was fed."""
        data, start = self._data, self._start
        left = len(data) - start
        if left < HEAD_BYTES:
            return None
        length, flags, count = _HEAD.unpack_from(data, start)
        self._check_head(length, flags, count)
        end = start + 4 + length
        if left < 4 + length:
            return None
        rest = bytes(memoryview(data)[start + HEAD_BYTES : end])
        self._start = end
        if self._start == len(data):
            data.clear()
            self._start = 0
        if flags & COMPRESSED:
            rest = self._decompressed(rest)
        return _decode(rest, flags, count)

    def finish(self) -> None:
        """The stream has ended: UsageError if that was within a batch."""
        if self.pending_bytes:
            raise _refused(f"the stream ended within a batch, {self.pending_bytes} bytes after its beginning")

    def _check_head(self, length: int, flags: int, count: int) -> None:
        if flags & ~_FLAGS:
            raise _refused(f"flags {flags:#x} are not known")
        if flags & COMPRESSED and self._compressor is None:
            raise _refused("it is compressed, which was not agreed on")
        _check(self._limits.record_batch_items_max, count, "items")
        _check(self._limits.record_batch_bytes_max, length, "bytes")
        if not count:
            raise _refused("it is empty")

    def _decompressed(self, rest: bytes) -> bytes:
        if len(rest) < _RAW_LENGTH.size:
            raise _refused("it is too short")
        (length,) = _RAW_LENGTH.unpack_from(rest)
        _check(self._limits.record_batch_bytes_max, length, "bytes")
        assert self._compressor is not None, "the head was checked"
        try:
            return self._compressor.decompress(rest[_RAW_LENGTH.size :], length)
        except ValueError as error:
            raise _refused(f"it cannot be decompressed: {error}") from None


def _decode(rest: bytes, flags: int, count: int) -> Batch:
    try:
        (first,) = _INDEX.unpack_from(rest)
        indexes: Sequence[int]
        if flags & DENSE:
            indexes, at = range(first, first + count), _INDEX.size
        else:
            indexes, at = unpack_from(f">{count}Q", rest), _INDEX.size * count
        statuses = b""
        if flags & STATUSES:
            statuses, at = rest[at : at + count], at + count
        lengths = unpack_from(f">{count}I", rest, at)
    except struct.error:
        raise _refused("it is too short") from None
    if max(indexes) > INDEX_MAX or (statuses and max(statuses) > EXISTED):
        raise _refused("an index or a status is out of range")
    ends = list(accumulate(lengths, initial=at + 4 * count))
    if ends[-1] != len(rest):
        raise _refused(f"its items take {ends[-1]} bytes, it has {len(rest)}")
    return Batch(indexes, [rest[start:end] for start, end in pairwise(ends)], statuses)


def _check(limit: int, value: int, unit: str) -> None:
    if value > limit:
        name = f"record_batch_{unit}_max"
        raise _refused(f"{value} {unit} are over {name} = {limit}")


def _refused(why: str) -> UsageError:
    return UsageError(f"batch: {why}", field="batch")


def zstd(level: int = 3) -> Compressor:
    """zstd, as one stream uses it.  ImportError if the package ``zstandard`` is not installed."""
    from .compression import Zstd

    return Zstd(level)
