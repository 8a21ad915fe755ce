from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.base import Entry, Hole, Packed, Piece, Run
from holdfast.engine.checks import extent_of
from holdfast.engine.contract.support import cells
from holdfast.engine.extents import Extent, TailCache, clip, make_entries

PART = st.one_of(
    st.tuples(st.just("run"), st.binary(min_size=1, max_size=30), st.integers(0, 15)),
    st.tuples(st.just("hole"), st.integers(1, 30), st.just(0)),
)
BATCH = st.tuples(st.lists(st.binary(max_size=9), min_size=1, max_size=6), st.integers(0, 15))


def bytes_extents(parts: list[tuple[str, bytes | int, int]], start: int = 0) -> list[Extent]:
    out: list[Extent] = []
    for _, value, tag in parts:
        if isinstance(value, bytes):
            out.append(extent_of("bytes", start, value, tag))
        else:
            out.append(Extent(start, start + value, 0, 0, None))
        start = out[-1].end
    return out


def entry_extents(batches: list[tuple[list[bytes], int]], start: int = 1) -> list[Extent]:
    out: list[Extent] = []
    for payloads, tag in batches:
        out.append(extent_of("entries", start, tuple(payloads), tag))
        start = out[-1].end
    return out


def size_of(pieces: list[Piece]) -> int:
    return sum(len(piece.data) for piece in pieces if not isinstance(piece, Hole))


def test_what_an_extent_holds() -> None:
    assert extent_of("bytes", 5, b"abc", 2).pieces() == [Run(5, b"abc", 2)]
    assert extent_of("entries", 5, (b"a", b""), 2).pieces() == [Entry(5, b"a", 2), Entry(6, b"", 2)]
    hole = Extent(5, 9, 0, 0, None)
    assert hole.pieces() == [Hole(5, 4)]
    assert (hole.hole_length, extent_of("bytes", 0, b"x", 0).hole_length) == (4, 0)


def test_blobs_stay_whole() -> None:
    pieces = [piece for place in (1, 4, 7) for piece in extent_of("runs", place, b"x" * place, 0, 3).pieces()]
    assert pieces == [Packed(1, 3, b"x"), Packed(4, 3, b"xxxx"), Packed(7, 3, b"x" * 7)]
    assert clip(pieces, 3, 10, 1) == pieces[:1]
    assert clip(pieces, 3, 10, 5) == pieces[:2]
    assert clip(pieces, 4, 10, 5) == pieces[1:2]
    assert clip(pieces, 5, 7, 100) == pieces[1:2]
    assert clip(pieces, 9, 10, 1) == pieces[2:]
    cache = TailCache(1)
    for place in (1, 4, 7):
        cache.push(extent_of("runs", place, b"x" * place, 0, 3))
    assert cache.read(2, 10, 5) == pieces[:2]
    assert cache.read(6, 10, 4) == pieces[1:2]
    assert cache.read(9, 10, 1) == pieces[2:]


def test_pieces_are_made_once() -> None:
    extent = extent_of("entries", 1, (b"a",), 0)
    assert extent.pieces() is extent.pieces()


def test_entries_with_tags_of_their_own() -> None:
    assert make_entries(3, [b"a", b"b"], b"\x01\x02") == [Entry(3, b"a", 1), Entry(4, b"b", 2)]
    assert make_entries(3, [], 1) == []


@given(st.lists(PART, min_size=1, max_size=8), st.data(), st.integers(1, 60))
def test_clipping_bytes(parts: list[tuple[str, bytes | int, int]], data: st.DataObject, max_bytes: int) -> None:
    pieces = [piece for extent in bytes_extents(parts) for piece in extent.pieces()]
    every = cells(pieces, 0)
    position = data.draw(st.integers(0, len(every) - 1))
    limit = data.draw(st.integers(position + 1, len(every)))
    got = clip(pieces, position, limit, max_bytes)
    assert got
    assert size_of(got) <= max_bytes
    assert cells(got, position) == every[position : got[-1].end]
    assert got[-1].end <= limit


@given(st.lists(st.one_of(st.none(), BATCH), min_size=1, max_size=12), st.data())
def test_a_cache_is_the_end_of_a_log(steps: list[tuple[list[bytes], int] | None], data: st.DataObject) -> None:
    cache, start = TailCache(1), 1
    kept: list[Entry] = []
    for step in steps:
        if step is None:
            start = data.draw(st.integers(start, cache.end))
            cost = data.draw(st.sampled_from([0, 500, 1 << 30]))
            before = cache.cost_bytes
            assert cache.drop_below(start, cost) == before - cache.cost_bytes
            start = cache.start
        else:
            (extent,) = entry_extents([step], cache.end)
            cache.push(extent)
            kept += [piece for piece in extent.pieces() if isinstance(piece, Entry)]
        if cache.start < cache.end:
            position = data.draw(st.integers(cache.start, cache.end - 1))
            max_bytes = data.draw(st.integers(1, 40))
            got = cache.read(position, cache.end, max_bytes)
            assert got == kept[position - 1 : got[-1].end - 1]
            assert size_of(got) <= max_bytes or len(got) == 1


def test_a_cache_of_nothing_begins_at_its_end() -> None:
    cache = TailCache(7)
    assert (cache.start, cache.end, cache.cost_bytes) == (7, 7, 0)


def test_dropping_is_by_whole_extents() -> None:
    cache = TailCache(0)
    for extent in bytes_extents([("run", b"abc", 0), ("run", b"def", 0)]):
        cache.push(extent)
    assert cache.drop_below(2) == 0
    assert cache.start == 0
    assert cache.drop_below(3) > 0
    assert cache.start == 3


def test_many_drops_leave_no_slack() -> None:
    cache = TailCache(0)
    for number in range(1000):
        cache.push(extent_of("bytes", number, b"x", 0))
        cache.drop_below(number)
    assert cache.start == 999
    assert len(cache._extents) < 200


def test_taking_back() -> None:
    cache = TailCache(0)
    for extent in bytes_extents([("run", b"abc", 0), ("hole", 4, 0), ("run", b"def", 0)]):
        cache.push(extent)
    assert [extent.position for extent in cache.truncate(3)] == [7, 3]
    assert (cache.start, cache.end) == (0, 3)
    cache.push(extent_of("bytes", 3, b"x", 0))
    assert cache.read(0, 4, 100) == [Run(0, b"abc"), Run(3, b"x")]
    cache.truncate(0)
    assert (cache.start, cache.end, cache.cost_bytes) == (0, 0, 0)


def test_reading_stops_at_the_limit() -> None:
    cache = TailCache(0)
    for extent in bytes_extents([("run", b"abc", 0), ("run", b"def", 1)]):
        cache.push(extent)
    assert cache.read(1, 3, 100) == [Run(1, b"bc")]
    assert cache.read(1, 6, 4) == [Run(1, b"bc"), Run(3, b"de", 1)]
    assert cache.read(0, 6, 3) == [Run(0, b"abc")]


def test_a_fork_of_a_cache_shares_what_is_whole() -> None:
    cache = TailCache(0)
    extents = bytes_extents([("run", b"abc", 1), ("hole", 4, 0), ("run", b"def", 2)])
    for extent in extents:
        cache.push(extent)
    cache.drop_below(3)
    fork = cache.fork(8)
    assert fork is not None
    assert (fork.start, fork.end) == (3, 8)
    assert fork.read(3, 8, 100) == [Hole(3, 4), Run(7, b"d", 2)]
    fork.push(extent_of("bytes", 8, b"x", 0))
    assert cache.read(7, 10, 100) == [Run(7, b"def", 2)]
    part = cache.fork(5)
    assert part is not None
    assert part.read(3, 5, 100) == [Hole(3, 2)]
    whole = cache.fork(10)
    assert whole is not None
    assert whole._extents[-1] is extents[-1]


def test_a_fork_cuts_batches_and_no_blobs() -> None:
    cache = TailCache(1)
    cache.push(extent_of("entries", 1, (b"a", b"bb", b"ccc"), 3))
    fork = cache.fork(3)
    assert fork is not None
    assert fork.read(1, 3, 100) == [Entry(1, b"a", 3), Entry(2, b"bb", 3)]
    cache = TailCache(1)
    cache.push(extent_of("runs", 1, b"blob", 0, 3))
    assert cache.fork(2) is None
    for end in (1, 4):
        whole = cache.fork(end)
        assert whole is not None
        assert whole.end == end
