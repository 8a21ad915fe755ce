"""How a stored row holds a run of bytes, a batch of entries, or several of each.

A row's ``form`` says what its data is:

* -1: a hole; there is no data.
* 0 to 15: the tag of all of it.  In a bytes-mode log the data is the bytes themselves.  In an entries-mode log
  it is a directory (a count and the length of each entry, unsigned 32-bit little-endian), then the payloads.
* 16: mixed tags, in either mode: a directory with one tag byte for each piece after the lengths.
* 17: several blobs of a runs-mode log, see ``joining``.  A row with one blob has form 0 and is the blob itself.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby, pairwise
from operator import itemgetter
from typing import NamedTuple

from .base import LogMode, Piece, Run
from .extents import Extent
from .joining import join_blobs, split_blobs

HOLE = -1
MIXED = 16
SEVERAL = 17
_COUNT = struct.Struct("<I")


class Row(NamedTuple):
    """A row of the table of runs, without its log: positions ``position`` to ``position + length``."""

    position: int
    length: int
    size: int
    form: int
    data: bytes | memoryview | None


def pack(mode: LogMode, extents: Sequence[Extent], row_bytes: int) -> list[Row]:
    """Adjoining ``extents`` of a log in as few rows as ``row_bytes`` of payload a row allow; holes stay alone."""
    rows: list[Row] = []
    group: list[Extent] = []
    size = 0
    for extent in extents:
        if group and (extent.data is None or size >= row_bytes):
            rows += _pack_group(mode, group, size, row_bytes)
            group, size = [], 0
        if extent.data is None:
            rows.append(Row(extent.position, extent.end - extent.position, 0, HOLE, None))
        else:
            group.append(extent)
            size += extent.size
    if group:
        rows += _pack_group(mode, group, size, row_bytes)
    return rows


def _pack_group(mode: LogMode, group: list[Extent], size: int, row_bytes: int) -> list[Row]:
    first = group[0]
    if mode == "runs":
        return [_pack_blobs(group, size)]
    uniform = all(extent.tag == first.tag for extent in group)
    if mode == "bytes" and uniform:
        data = _bytes_of(first) if len(group) == 1 else b"".join(map(_bytes_of, group))
        return _split(first.position, data, first.tag, row_bytes)
    payloads: list[bytes] = []
    tags = bytearray()
    for extent in group:
        items = (extent.data,) if isinstance(extent.data, bytes) else extent.data
        assert items is not None
        payloads += items
        if not uniform:
            tags += bytes((extent.tag,)) * len(items)
    form = first.tag if uniform else MIXED
    if mode == "entries" and size >= 2 * row_bytes:
        return list(_split_entries(first.position, payloads, tags, form, row_bytes))
    return [Row(first.position, group[-1].end - first.position, size, form, pack_pieces(payloads, tags))]


def _pack_blobs(group: list[Extent], size: int) -> Row:
    first, length = group[0], group[-1].end - group[0].position
    if len(group) == 1:
        return Row(first.position, length, size, 0, _bytes_of(first))
    data = join_blobs([_bytes_of(extent) for extent in group], [extent.end - extent.position for extent in group])
    return Row(first.position, length, size, SEVERAL, data)


def _split_entries(position: int, payloads: list[bytes], tags: bytearray, form: int, row_bytes: int) -> Iterator[Row]:
    """Entries in rows of about ``row_bytes``, each with one entry at least."""
    ends = list(accumulate(map(len, payloads), initial=0))
    low = 0
    while low < len(payloads):
        high = max(bisect_right(ends, ends[low] + row_bytes) - 1, low + 1)
        data = pack_pieces(payloads[low:high], tags[low:high])
        yield Row(position + low, high - low, ends[high] - ends[low], form, data)
        low = high


def _bytes_of(extent: Extent) -> bytes:
    assert isinstance(extent.data, bytes)
    return extent.data


def _split(position: int, data: bytes, tag: int, row_bytes: int) -> list[Row]:
    """Bytes in rows of at most about ``row_bytes``; the parts are views, not copies."""
    size = len(data)
    if size < 2 * row_bytes:
        return [Row(position, size, size, tag, data)]
    view = memoryview(data)
    cuts = [*range(0, size - row_bytes + 1, row_bytes), size]
    if cuts[-2] == size:
        cuts.pop()
    return [Row(position + low, high - low, high - low, tag, view[low:high]) for low, high in pairwise(cuts)]


def pack_pieces(payloads: Sequence[bytes], tags: bytes | bytearray) -> bytes:
    """``payloads`` behind their directory; ``tags`` has one byte each, or none if they are all the same."""
    return b"".join([_COUNT.pack(len(payloads)), _u32(map(len, payloads)), tags, *payloads])


def pack_loose(mode: LogMode, extents: Sequence[Extent]) -> tuple[Row, list[bytes]] | None:
    """The one row that :func:`pack` makes of adjoining ``extents``, without its data, and the parts of that.

    None if it makes several, or one that is not as simple as most are.
    """
    first, last = extents[0], extents[-1]
    parts: list[bytes] = []
    size = 0
    for extent in extents:
        if extent.tag != first.tag or extent.data is None:
            return None
        if mode == "entries":
            assert isinstance(extent.data, tuple)
            parts += extent.data
        elif mode == "bytes":
            parts.append(_bytes_of(extent))
        else:
            return None
        size += extent.size
    if mode == "entries":
        parts[:0] = (_COUNT.pack(len(parts)), _u32(map(len, parts)))
    return Row(first.position, last.end - first.position, size, first.tag, None), parts


def _u32(values: Iterable[int]) -> bytes:
    packed = array("I", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_runs(position: int, form: int, data: bytes) -> list[Piece]:
    """The runs in a row of a bytes-mode log.  ValueError if it is not what :func:`pack` makes."""
    if form != MIXED:
        return [Run(position, data, form)]
    payloads, tags = unpack_pieces(data, mixed=True)
    starts = accumulate(map(len, payloads), initial=position)
    return [Run(start, payload, tag) for start, payload, tag in zip(starts, payloads, tags, strict=False)]


def unpack_pieces(data: bytes, *, mixed: bool) -> tuple[Sequence[bytes], bytes]:
    """What :func:`pack_pieces` packed.  ValueError if it cannot have been."""
    if len(data) < _COUNT.size:
        raise ValueError("no room for a directory")
    (count,) = _COUNT.unpack_from(data)
    tags_at = _COUNT.size + 4 * count
    start = tags_at + (count if mixed else 0)
    if start > len(data):
        raise ValueError("the directory is cut")
    lengths = array("I", data[_COUNT.size : tags_at])
    if sys.byteorder == "big":
        lengths.byteswap()
    if start + sum(lengths) != len(data):
        raise ValueError("the directory and the payload disagree")
    tags = data[tags_at:start]
    if count > 1 and lengths.count(lengths[0]) == count:
        return struct.unpack_from(f"{lengths[0]}s" * count, data, start), tags
    ends = list(accumulate(lengths, initial=start))
    return [data[low:high] for low, high in pairwise(ends)], tags


def payload_below(data: bytes, count: int) -> int:
    """Payload of the first ``count`` pieces of a packed row, from its directory (its first bytes suffice)."""
    lengths = array("I", data[_COUNT.size : _COUNT.size + 4 * count])
    if sys.byteorder == "big":
        lengths.byteswap()
    return sum(lengths)


def merge(mode: LogMode, rows: Sequence[Row]) -> Row:
    """Adjoining ``rows``, none of them a hole, in one row.  ValueError if one is not what :func:`pack` makes."""
    if mode == "runs":
        return _merge_blobs(rows)
    payloads: list[bytes] = []
    tags = bytearray()
    for row in rows:
        assert row.data is not None
        data = bytes(row.data)
        if mode == "bytes" and row.form != MIXED:
            payloads.append(data)
            tags.append(row.form)
            continue
        more, more_tags = unpack_pieces(data, mixed=row.form == MIXED)
        payloads += more
        tags += more_tags or bytes((row.form,)) * len(more)
    if mode == "bytes":
        payloads, tags = _coalesce(payloads, tags)
    first, last = rows[0], rows[-1]
    length = last.position + last.length - first.position
    size = sum(row.size for row in rows)
    uniform = tags.count(tags[0]) == len(tags)
    if uniform and mode == "bytes":
        return Row(first.position, length, size, tags[0], payloads[0])
    return Row(
        first.position, length, size, tags[0] if uniform else MIXED, pack_pieces(payloads, b"" if uniform else tags)
    )


def _merge_blobs(rows: Sequence[Row]) -> Row:
    blobs: list[bytes] = []
    counts: list[int] = []
    for row in rows:
        more, more_counts = blobs_of(row.length, row.form, row.data)
        blobs += more
        counts += more_counts
    return Row(rows[0].position, sum(counts), sum(map(len, blobs)), SEVERAL, join_blobs(blobs, counts))


def blobs_of(length: int, form: int, data: bytes | memoryview | None) -> tuple[Sequence[bytes], Sequence[int]]:
    """The blobs in a row of a runs-mode log, and their counts.  ValueError if it is not what :func:`pack` makes."""
    assert data is not None
    if form != SEVERAL:
        return (bytes(data),), (length,)
    blobs, counts = split_blobs(bytes(data))
    if sum(counts) != length:
        raise ValueError(f"{sum(counts)} entries in the place of {length}")
    return blobs, counts


def _coalesce(payloads: list[bytes], tags: bytearray) -> tuple[list[bytes], bytearray]:
    """Runs with neighbours of the same tag joined."""
    groups = [
        (tag, b"".join(payload for payload, _ in group))
        for tag, group in groupby(zip(payloads, tags, strict=True), key=itemgetter(1))
    ]
    return [payload for _, payload in groups], bytearray(tag for tag, _ in groups)
