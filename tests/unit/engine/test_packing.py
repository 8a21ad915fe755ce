from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine import joining, packing
from holdfast.engine.base import Entry, Hole, LogMode, Piece
from holdfast.engine.checks import extent_of
from holdfast.engine.contract.support import Cell, cells
from holdfast.engine.extents import Extent
from holdfast.engine.packing import HOLE, MIXED, Row

TAG = st.sampled_from([0, 0, 1, 15])
RUNS = st.lists(st.tuples(st.one_of(st.binary(min_size=1, max_size=300), st.integers(1, 9)), TAG), max_size=12)
BATCHES = st.lists(st.tuples(st.lists(st.binary(max_size=60), min_size=1, max_size=9), TAG), max_size=8)


def extents_of(mode: LogMode, parts: list[tuple[bytes | int | list[bytes], int]]) -> list[Extent]:
    out: list[Extent] = []
    position = 0 if mode == "bytes" else 1
    for value, tag in parts:
        if isinstance(value, int):
            out.append(Extent(position, position + value, 0, 0, None))
        else:
            out.append(extent_of(mode, position, value if isinstance(value, bytes) else tuple(value), tag))
        position = out[-1].end
    return out


def pieces_of(mode: LogMode, row: Row) -> list[Piece]:
    if row.data is None:
        return Extent(row.position, row.position + row.length, 0, 0, None).pieces()
    data = bytes(row.data)
    if mode == "bytes":
        return packing.unpack_runs(row.position, row.form, data)
    payloads, tags = packing.unpack_pieces(data, mixed=row.form == MIXED)
    return [Entry(row.position + n, payload, tags[n] if tags else row.form) for n, payload in enumerate(payloads)]


def check(mode: LogMode, extents: list[Extent], row_bytes: int) -> None:
    first = 0 if mode == "bytes" else 1
    want: list[Cell] = cells([piece for extent in extents for piece in extent.pieces()], first)
    rows = packing.pack(mode, extents, row_bytes)
    got: list[Piece] = []
    for row in rows:
        pieces = pieces_of(mode, row)
        got += pieces
        assert row.length == pieces[-1].end - row.position
        assert row.size == sum(len(piece.data) for piece in pieces if not isinstance(piece, Hole))
    assert cells(got, first) == want
    for group in _between_holes(rows):
        merged = packing.merge(mode, group)
        assert cells(pieces_of(mode, merged), merged.position) == cells(
            [piece for row in group for piece in pieces_of(mode, row)], merged.position
        )
        assert (merged.length, merged.size) == (sum(r.length for r in group), sum(r.size for r in group))


def _between_holes(rows: list[Row]) -> list[list[Row]]:
    groups: list[list[Row]] = [[]]
    for row in rows:
        if row.form == HOLE:
            groups.append([])
        else:
            groups[-1].append(row)
    return [group for group in groups if group]


@given(RUNS, st.sampled_from([50, 256, 10_000]))
def test_runs_and_holes(parts: list[tuple[bytes | int | list[bytes], int]], row_bytes: int) -> None:
    check("bytes", extents_of("bytes", parts), row_bytes)


@given(BATCHES, st.sampled_from([20, 100, 10_000]))
def test_batches(parts: list[tuple[bytes | int | list[bytes], int]], row_bytes: int) -> None:
    check("entries", extents_of("entries", parts), row_bytes)


def test_bytes_of_one_tag_are_stored_as_they_are() -> None:
    (row,) = packing.pack("bytes", extents_of("bytes", [(b"abc", 3), (b"def", 3)]), 1000)
    assert row == Row(0, 6, 6, 3, b"abcdef")


def test_a_large_run_is_cut_without_copying() -> None:
    data = bytes(range(250)) * 10
    rows = packing.pack("bytes", extents_of("bytes", [(data, 0)]), 1000)
    assert [row.size for row in rows] == [1000, 1500] or [row.size for row in rows] == [1000, 1000, 500]
    assert all(isinstance(row.data, memoryview) and row.data.obj is data for row in rows)


def test_a_large_batch_is_cut() -> None:
    rows = packing.pack("entries", extents_of("entries", [([bytes(100)] * 50, 0)]), 1000)
    assert [row.length for row in rows] == [10] * 5


def test_one_large_entry_stays_whole() -> None:
    rows = packing.pack("entries", extents_of("entries", [([bytes(5000), b"x", bytes(5000)], 0)]), 1000)
    assert [row.size for row in rows] == [5000, 1, 5000]


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=20), st.integers(0, 20))
def test_payload_below(payloads: list[bytes], count: int) -> None:
    data = packing.pack_pieces(payloads, b"")
    count = min(count, len(payloads))
    assert packing.payload_below(data[: 4 + 4 * count], count) == sum(map(len, payloads[:count]))


@given(
    st.lists(st.tuples(st.binary(max_size=60), st.integers(1, 9)), min_size=1, max_size=12),
    st.sampled_from([20, 100, 10_000]),
    st.data(),
)
def test_blobs(parts: list[tuple[bytes, int]], row_bytes: int, data: st.DataObject) -> None:
    extents: list[Extent] = []
    for blob, count in parts:
        extents.append(extent_of("runs", extents[-1].end if extents else 1, blob, 0, count))
    rows = packing.pack("runs", extents, row_bytes)
    for some in (rows, [packing.merge("runs", rows)]):
        found = [packing.blobs_of(row.length, row.form, row.data) for row in some]
        assert [pair for made, counts in found for pair in zip(made, counts, strict=True)] == parts
        assert sum(row.size for row in some) == sum(len(blob) for blob, _ in parts)
        assert some[-1].position + some[-1].length == extents[-1].end
    merged = packing.merge("runs", rows)
    count = data.draw(st.integers(0, merged.length))
    assert merged.form == packing.SEVERAL and merged.data is not None
    want = sum(extent.size for extent in extents if extent.end > merged.position + count)
    assert joining.payload_ending_above(io.BytesIO(merged.data).read, count) == want


def test_blobs_that_are_refused() -> None:
    good = joining.join_blobs([b"ab", b"c"], [3, 1])
    assert joining.split_blobs(good)[0] == [b"ab", b"c"]
    for bad in (b"", b"\x01\x00", good[:-1], good + b"x", good[:10], joining.join_blobs([b"ab"], [0])):
        with pytest.raises(ValueError, match=r"directory"):
            joining.split_blobs(bad)
    with pytest.raises(ValueError, match="4 entries in the place of 5"):
        packing.blobs_of(5, packing.SEVERAL, good)


@given(st.binary(max_size=40), st.booleans())
def test_anything_else_is_refused_or_read(data: bytes, mixed: bool) -> None:
    try:
        payloads, tags = packing.unpack_pieces(data, mixed=mixed)
    except ValueError:
        return
    assert packing.pack_pieces(payloads, tags) == data


def test_what_is_refused() -> None:
    good = packing.pack_pieces([b"ab", b"c"], b"\x00\x01")
    for bad in (b"", b"\x01\x00", good[:-1], good + b"x", good[:10]):
        with pytest.raises(ValueError, match=r"directory"):
            packing.unpack_pieces(bad, mixed=True)
