from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.streams import EOF, ERROR, GAP, Ack, Chunk, Data, End, Failed, Gap, Reader

TRUTH = bytes(range(200))


def piece(start: int, end: int, tag: int = 0) -> Data:
    return Data(1, start, TRUTH[start:end], tag=tag)


def drain(reader: Reader, size: int = 1000) -> list[object]:
    items: list[object] = []
    while (item := reader.read(size)) is not None:
        items.append(item)
    return items


@settings(max_examples=150, deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 199), st.integers(0, 60)), max_size=60),
    window=st.integers(1, 80),
    read_bytes=st.integers(1, 50),
    reads=st.lists(st.integers(0, 3), min_size=1, max_size=5),
)
def test_any_arrivals_give_a_prefix_in_order(
    arrivals: list[tuple[int, int]], window: int, read_bytes: int, reads: list[int]
) -> None:
    """Whatever overlapping pieces come, in whatever order: what is read is the truth from 0 on, and credit holds."""
    reader = Reader(1, window_bytes=window)
    got = b""
    have: set[int] = set()
    edge = window
    for turn, (start, size) in enumerate(arrivals):
        end = min(200, start + size)
        if end <= reader.edge:
            have.update(range(start, end))
        reader.receive_data(piece(start, end), 0.0)
        for _ in range(reads[turn % len(reads)]):
            item = reader.read(read_bytes)
            if item is None:
                break
            assert isinstance(item, Chunk)
            assert item.offset == len(got)
            assert len(item.data) <= read_bytes
            got += bytes(item.data)
        ack = reader.next_ack()
        if ack is not None:
            assert ack.seq + ack.window >= edge, "the edge went back"
            assert 0 <= ack.window <= window
            edge = ack.seq + ack.window
        assert reader.buffered <= window
    for rest in drain(reader):
        assert isinstance(rest, Chunk)
        got += bytes(rest.data)
    contiguous = next(at for at in range(201) if at not in have)
    assert got == TRUTH[:contiguous]


def test_order_is_restored_and_duplicates_dropped() -> None:
    reader = Reader(1)
    for start, end in ((4, 8), (0, 4), (4, 8), (2, 6), (8, 9)):
        reader.receive_data(piece(start, end), 0.0)
    assert b"".join(bytes(item.data) for item in drain(reader) if isinstance(item, Chunk)) == TRUTH[:9]
    assert (reader.out_of_order, reader.duplicates) == (1, 2)


def test_every_arrival_is_acknowledged_the_latest_state_only() -> None:
    reader = Reader(1, window_bytes=100)
    assert reader.next_ack() is None
    reader.receive_data(piece(10, 20), 0.0)
    assert reader.next_ack() == Ack(1, 0, 100)
    reader.receive_data(piece(0, 10), 0.0)
    reader.receive_data(piece(20, 30), 0.0)
    assert reader.ack_due
    assert reader.next_ack() == Ack(1, 30, 70)
    assert reader.next_ack() is None


def test_window_updates_come_when_a_fifth_is_free_or_all_is_read() -> None:
    reader = Reader(1, window_bytes=100)
    reader.receive_data(piece(0, 60), 0.0)
    reader.next_ack()
    reader.read(19)
    assert reader.next_ack() is None
    reader.read(1)
    assert reader.next_ack() == Ack(1, 60, 60)
    reader.receive_data(piece(60, 65), 0.0)
    assert reader.next_ack() == Ack(1, 65, 55)
    drain(reader)
    assert reader.next_ack() == Ack(1, 65, 100)


def test_beyond_the_window_is_a_violation_and_dropped() -> None:
    reader = Reader(1, window_bytes=10)
    reader.receive_data(piece(0, 11), 0.0)
    reader.receive_data(piece(5, 15), 0.0)
    reader.receive_data(Data(1, 11, kind=GAP, skip=1), 0.0)
    reader.receive_data(Data(1, 0, b"?", kind=9), 0.0)
    assert reader.violations == 4
    assert reader.read() is None
    assert reader.next_ack() == Ack(1, 0, 10)


def test_end_comes_once_and_after_the_last_byte() -> None:
    reader = Reader(1)
    reader.receive_data(Data(1, 5, kind=EOF), 0.0)
    assert reader.read() is None
    assert reader.next_ack() == Ack(1, 0, 65536)
    reader.receive_data(piece(0, 5), 0.0)
    assert reader.next_ack() == Ack(1, 5, 65531, fin=True)
    assert drain(reader) == [Chunk(0, TRUTH[:5], 0), End(5)]
    reader.receive_data(Data(1, 5, kind=EOF), 0.0)
    assert drain(reader) == []
    assert reader.finished


def test_the_end_does_not_move() -> None:
    reader = Reader(1)
    reader.receive_data(piece(0, 5), 0.0)
    reader.receive_data(Data(1, 4, kind=EOF), 0.0)
    reader.receive_data(Data(1, 9, kind=EOF), 0.0)
    reader.receive_data(Data(1, 8, kind=EOF), 0.0)
    reader.receive_data(piece(5, 10), 0.0)
    assert reader.violations == 3
    reader.receive_data(piece(5, 9), 0.0)
    assert drain(reader)[-1] == End(9)


def test_an_error_is_honoured_whatever_its_seq() -> None:
    for seq in (0, 3, 5, 99):
        reader = Reader(1)
        reader.receive_data(piece(0, 3), 0.0)
        reader.receive_data(piece(4, 5), 0.0)
        reader.receive_data(Data(1, seq, b"disk on fire", kind=ERROR), 0.0)
        reader.receive_data(piece(3, 4), 0.0)
        assert reader.next_ack() == Ack(1, 3, 65533, fin=True)
        assert drain(reader) == [Chunk(0, TRUTH[:3], 0), Failed(3, "disk on fire")]
        assert drain(reader) == []


def test_an_error_without_text_is_still_an_error() -> None:
    reader = Reader(1)
    reader.receive_data(Data(1, 0, b"", kind=ERROR), 0.0)
    assert reader.read() == Failed(0, "failed")


def test_gaps_are_reported_in_their_place_and_only_for_what_is_missing() -> None:
    reader = Reader(1, start_offset=10)
    reader.receive_data(piece(20, 22), 0.0)
    reader.receive_data(Data(1, 0, kind=GAP, skip=25), 0.0)
    reader.receive_data(piece(25, 26), 0.0)
    assert drain(reader) == [Gap(10, 10), Chunk(20, TRUTH[20:22], 0), Gap(22, 3), Chunk(25, TRUTH[25:26], 0)]


def test_a_gap_longer_than_the_window_is_taken() -> None:
    reader = Reader(1, window_bytes=10)
    reader.receive_data(Data(1, 0, kind=GAP, skip=1_000_000), 0.0)
    assert reader.next_ack() == Ack(1, 1_000_000, 10)
    assert reader.read() == Gap(0, 1_000_000)


def test_manual_acknowledges_only_what_it_is_told() -> None:
    reader = Reader(1, window_bytes=100, start_offset=50, manual_ack=True)
    reader.receive_data(piece(50, 90), 0.0)
    assert reader.next_ack() is None
    with pytest.raises(UsageError, match="not read yet"):
        reader.acknowledge(51)
    drain(reader)
    reader.acknowledge(70)
    reader.acknowledge(60)
    assert reader.next_ack() == Ack(1, 70, 100)
    assert reader.edge == 170
    reader.receive_data(Data(1, 90, kind=EOF), 0.0)
    assert reader.next_ack() == Ack(1, 70, 100)
    reader.acknowledge(90)
    assert reader.next_ack() == Ack(1, 90, 100)
    assert reader.read() == End(90)
    assert reader.next_ack() == Ack(1, 90, 100, fin=True)
    assert reader.settled


def test_manual_end_is_acknowledged_when_the_last_byte_is() -> None:
    reader = Reader(1, manual_ack=True)
    reader.receive_data(piece(0, 9), 0.0)
    reader.receive_data(Data(1, 9, kind=EOF), 0.0)
    drain(reader)
    assert reader.next_ack() == Ack(1, 0, 65536)
    assert not reader.settled
    reader.acknowledge(9)
    assert reader.next_ack() == Ack(1, 9, 65536, fin=True)


def test_acknowledge_needs_manual_mode_and_resume_the_other() -> None:
    with pytest.raises(UsageError, match="manual_ack"):
        Reader(1).acknowledge(0)
    with pytest.raises(UsageError, match="durable"):
        Reader(1, manual_ack=True).resume(2)


def test_resume_keeps_what_was_in_order_and_asks_for_the_rest() -> None:
    reader = Reader(1, window_bytes=100)
    reader.receive_data(piece(0, 10), 0.0)
    reader.receive_data(piece(20, 30), 0.0)
    assert reader.resume(2) == 10
    assert reader.window == 90
    assert reader.next_ack() == Ack(2, 10, 90)
    reader.receive_data(Data(2, 10, TRUTH[10:20]), 0.0)
    assert drain(reader) == [Chunk(0, TRUTH[:20], 0)]


def test_close_before_the_end_cancels_once() -> None:
    reader = Reader(1)
    reader.receive_data(piece(0, 9), 0.0)
    reader.close("seen enough")
    reader.close("again")
    assert reader.next_ack() == Ack(1, 9, 0, cancel=True, error="seen enough")
    assert reader.settled
    assert reader.read() is None
    assert not reader.readable


def test_close_after_the_end_says_nothing_more() -> None:
    reader = Reader(1)
    reader.receive_data(Data(1, 0, kind=EOF), 0.0)
    assert reader.next_ack() == Ack(1, 0, 65536, fin=True)
    reader.close()
    assert reader.next_ack() is None
    assert reader.settled


def test_crumbs_are_joined_and_never_the_callers_own_bytes() -> None:
    reader = Reader(1)
    first = bytearray(b"a")
    reader.receive_data(Data(1, 0, first), 0.0)
    for offset in range(1, 100):
        reader.receive_data(Data(1, offset, b"b"), 0.0)
    reader.receive_data(Data(1, 100, b"c", tag=1), 0.0)
    assert drain(reader) == [Chunk(0, b"a" + b"b" * 99, 0), Chunk(100, b"c", 1)]
    assert first == b"a"


def test_chunks_are_cut_to_what_is_asked_for() -> None:
    reader = Reader(1)
    reader.receive_data(piece(0, 10), 0.0)
    assert drain(reader, 4) == [Chunk(0, TRUTH[:4], 0), Chunk(4, TRUTH[4:8], 0), Chunk(8, TRUTH[8:10], 0)]


def test_start_announces_the_window() -> None:
    reader = Reader(1, window_bytes=7, start_offset=3)
    reader.start()
    assert reader.next_ack() == Ack(1, 3, 7)


@pytest.mark.parametrize("arguments", [{"window_bytes": 0}, {"start_offset": -1}])
def test_arguments_that_make_no_sense(arguments: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(arguments))):
        Reader(1, **arguments)  # type: ignore[arg-type]
