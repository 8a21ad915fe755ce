from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.channels.packing import encode_batch, encode_run
from holdfast.channels.unpacking import Entry, iter_entries
from holdfast.client.channels.entries import Arrivals, Paging, SubscribeOptions
from holdfast.errors import DisconnectedError, LimitExceeded, ProtocolError, SubscriberTooSlow
from holdfast.rpc.failures import encode_failure
from holdfast.streams.reader import Chunk, End, Failed


def run_of(first: int, count: int, timestamp: float = 1.0) -> bytes:
    batch = encode_batch([b"%d" % index for index in range(first, first + count)], first_sequence=first)
    return encode_run(first, b"me", timestamp, batch, count, contiguous=True)


def taken(arrivals: Arrivals) -> list[int]:
    indexes: list[int] = []
    while entries := arrivals.take():
        indexes += [entry.index for entry in entries]
    return indexes


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.lists(st.integers(1, 60), max_size=40))
def test_entries_come_whole_and_once_however_the_bytes_are_cut(counts: list[int], cuts: list[int]) -> None:
    data, first = b"", 1
    for count in counts:
        data += run_of(first, count)
        first += count
    arrivals, found, offset = Arrivals(None), [], 0
    arrivals.opened(1)
    for size in [*cuts, len(data)]:
        piece = data[offset : offset + size]
        arrivals.receive(Chunk(offset, piece, 0))
        offset += len(piece)
        found += taken(arrivals)
    arrivals.receive(End(offset))
    assert arrivals.ended
    assert found == list(range(1, first))
    assert arrivals.after == first - 1


def test_a_new_stream_forgets_what_the_one_before_left_unfinished() -> None:
    arrivals = Arrivals(None)
    arrivals.opened(1)
    arrivals.receive(Chunk(0, run_of(1, 2) + run_of(3, 2)[:-1], 0))
    assert taken(arrivals) == [1, 2]
    arrivals.opened(arrivals.after + 1 if arrivals.after else 0)
    arrivals.receive(Chunk(0, run_of(3, 2), 0))
    assert taken(arrivals) == [3, 4]


def test_the_end_of_a_stream_and_what_is_none() -> None:
    arrivals = Arrivals(None)
    arrivals.opened(1)
    with pytest.raises(SubscriberTooSlow) as slow:
        arrivals.receive(Failed(0, encode_failure(SubscriberTooSlow("behind", 7))))
    assert slow.value.last_position == 7
    with pytest.raises(DisconnectedError):
        arrivals.receive(Failed(0, "the node is going away"))
    assert not arrivals.ended
    arrivals.receive(Chunk(0, run_of(1, 2)[:-1], 0))
    with pytest.raises(ProtocolError):
        arrivals.receive(End(0))


def test_what_is_left_of_a_limit() -> None:
    options = SubscribeOptions(limit=10)
    assert options.left(4).limit == 6
    assert not options.satisfied(9) and options.satisfied(10)
    unlimited = SubscribeOptions()
    assert unlimited.left(4) is unlimited and not unlimited.satisfied(99)


def read_all(paging: Paging, runs: list[bytes]) -> list[int]:
    for page in [*runs, b""]:
        if not paging.done:
            paging.take(page)
    return [entry.index for entry in paging.found]


def test_pages_until_one_is_empty() -> None:
    paging = Paging(2, 0, 0, 5.0, "index")
    assert paging.params[2] == 5.0
    assert read_all(paging, [run_of(3, 2), run_of(5, 1)]) == [3, 4, 5]
    assert paging.params == (5, 0, None, 0, "index")


def test_pages_until_there_are_enough() -> None:
    paging = Paging(None, 3, 0, None, "index")
    paging.take(run_of(1, 2))
    assert paging.params == (2, 1, None, 0, "index")
    paging.take(run_of(3, 1))
    assert paging.done


def test_the_newest_are_no_more_than_asked_for_though_others_come() -> None:
    paging = Paging(None, 0, 4, None, "index")
    assert paging.params[3] == 4
    paging.take(run_of(7, 3))
    assert paging.params == (9, 1, None, 0, "index")


def test_a_view_by_sender_counts_what_was_seen() -> None:
    paging = Paging(1, 0, 0, None, "sender")
    paging.take(run_of(8, 2))
    assert paging.params == (3, 0, None, 0, "sender")
    assert not paging.can_stream(LimitExceeded(name="frame_bytes_max"))


def test_an_entry_too_large_for_a_page_comes_in_a_stream() -> None:
    paging = Paging(None, 3, 3, None, "index")
    assert paging.can_stream(LimitExceeded(name="frame_bytes_max"))
    assert not paging.can_stream(LimitExceeded(name="other"))
    assert paging.counts_back
    paging.begin_back(10)
    assert (paging.after, paging.stream_limit) == (7, 3)
    entries: list[Entry] = list(iter_entries(run_of(8, 4)))
    paging.take_rest(entries)
    assert [entry.index for entry in paging.found] == [8, 9, 10]


def test_a_stream_is_for_much() -> None:
    assert Paging(None, 0, 0, None, "index").wants_stream
    assert Paging(5, 100_000, 0, None, "index").wants_stream
    for few in (
        Paging(None, 10, 0, None, "index"),
        Paging(None, 0, 5, None, "index"),
        Paging(None, 0, 0, 1.0, "index"),
    ):
        assert not few.wants_stream
