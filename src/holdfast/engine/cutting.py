"""Part of a stored row, as readers get it."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

from ..errors import CorruptionError
from .base import Hole, LogMode, Piece
from .extents import clip, make_entries, make_packed
from .packing import MIXED, Row, blobs_of, unpack_pieces, unpack_runs


class Cut(NamedTuple):
    """Part of a row: ``size`` bytes of payload."""

    pieces: list[Piece]
    size: int


def cut(mode: LogMode, row: Row, position: int, limit: int, max_bytes: int) -> Cut:
    """The part of ``row``, no hole, from ``position`` to ``limit``, at most ``max_bytes`` but at least one piece.

    CorruptionError if it is not what ``pack`` makes.
    """
    try:
        if mode == "entries":
            return _cut_entries(row, position, limit, max_bytes)
        if mode == "runs":
            return _cut_blobs(row, position, limit, max_bytes)
        pieces = clip(unpack_runs(row.position, row.form, _data_of(row)), position, limit, max_bytes)
    except ValueError as error:
        raise damaged(row.position, f"data of form {row.form}", str(error)) from error
    return Cut(pieces, pieces[-1].end - position)


def _data_of(row: Row) -> bytes:
    data = row.data
    assert data is not None
    return data if isinstance(data, bytes) else bytes(data)


def _cut_entries(row: Row, position: int, limit: int, max_bytes: int) -> Cut:
    payloads, tags = unpack_pieces(_data_of(row), mixed=row.form == MIXED)
    if len(payloads) != row.length:
        raise ValueError(f"{len(payloads)} entries in the place of {row.length}")
    low, high = position - row.position, min(limit - row.position, row.length)
    if low or high < row.length:
        payloads = payloads[low:high]
    elif row.size <= max_bytes:
        return Cut(make_entries(position, payloads, tags or row.form), row.size)
    ends = list(accumulate(map(len, payloads)))
    if ends[-1] > max_bytes:
        count = max(bisect_right(ends, max_bytes), 1)
        payloads, high = payloads[:count], low + count
    size = ends[len(payloads) - 1]
    return Cut(make_entries(position, payloads, tags[low:high] if tags else row.form), size)


def _cut_blobs(row: Row, position: int, limit: int, max_bytes: int) -> Cut:
    """Whole blobs, the first of them the one that holds ``position``."""
    blobs, counts = blobs_of(row.length, row.form, row.data)
    pieces = make_packed(row.position, counts, blobs)
    if position > row.position or limit < row.position + row.length or row.size > max_bytes:
        pieces = clip(pieces, position, limit, max_bytes)
        return Cut(pieces, sum(len(piece.data) for piece in pieces if not isinstance(piece, Hole)))
    return Cut(pieces, row.size)


def damaged(position: int, expected: str, got: str) -> CorruptionError:
    """That the row at ``position`` is not what was stored."""
    return CorruptionError(where=f"run at position {position}", expected=expected, got=got)
