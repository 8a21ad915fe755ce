"""What comes of a stream, cut anywhere; and a producer's turns, whatever becomes of its appends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.client.streams.pieces import StreamArrivals, StreamChunk, Turns, make_parcel
from holdfast.durable.model import ProducerMark, StreamInfo, StreamStart
from holdfast.errors import ClosedError, DisconnectedError, Gone, LimitExceeded, NotFound, UsageError
from holdfast.rpc.commands import INLINE_BYTES_MAX
from holdfast.rpc.failures import encode_failure
from holdfast.streams import Chunk, End, Failed, Gap


def opened(position: int, content_type: str = "application/json") -> StreamArrivals:
    arrivals = StreamArrivals("start")
    info = StreamInfo(path="s", id="one", content_type=content_type, tail=100)
    assert arrivals.opened(StreamStart(info=info, position=position)) == (0 if arrivals.lines else position)
    return arrivals


def taken(arrivals: StreamArrivals) -> list[StreamChunk]:
    chunks = []
    while (chunk := arrivals.take()) is not None:
        chunks.append(chunk)
    assert arrivals.empty
    return chunks


@given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b" "))), st.lists(st.integers(0, 50)))
def test_lines_are_messages_wherever_the_packets_are_cut(lines: list[bytes], sizes: list[int]) -> None:
    arrivals = opened(7)
    left = b"".join(line + b"\n" for line in lines)
    offset = 0
    for size in [*sizes, len(left)]:
        if left[:size]:
            arrivals.receive(Chunk(offset, left[:size], 0))
        offset, left = offset + len(left[:size]), left[size:]
    expected = [StreamChunk(7 + place, line, 8 + place) for place, line in enumerate(lines)]
    assert taken(arrivals) == expected
    assert arrivals.position == 7 + len(lines)
    arrivals.receive(End(offset))
    assert arrivals.ended


def test_a_message_that_was_cut_comes_again_as_a_whole() -> None:
    arrivals = opened(3)
    arrivals.receive(Chunk(0, b"1\n[2,", 0))
    assert (arrivals.position, arrivals.id) == (4, "one")
    info = StreamInfo(path="s", id="one", content_type="application/json", tail=100)
    assert arrivals.opened(StreamStart(info=info, position=4)) == 0
    arrivals.receive(Chunk(0, b"[2,3]\n", 0))
    assert [chunk.json() for chunk in taken(arrivals)] == [1, [2, 3]]
    assert arrivals.position == 5


def test_bytes_keep_their_offsets() -> None:
    arrivals = opened(10, "text/plain")
    arrivals.receive(Chunk(10, b"abc", 0))
    arrivals.receive(Chunk(13, b"\n", 0))
    assert taken(arrivals) == [(10, b"abc", 13), (13, b"\n", 14)]
    assert arrivals.position == 14
    arrivals.receive(Chunk(14, b"x", 0))
    arrivals.clear()
    assert taken(arrivals) == []


def test_what_a_reading_fails_with() -> None:
    arrivals = opened(10, "text/plain")
    with pytest.raises(Gone) as gone:
        arrivals.receive(Failed(10, encode_failure(Gone(oldest=20))))
    assert gone.value.oldest == 20
    with pytest.raises(NotFound, match="'s'"):
        arrivals.receive(Failed(10, encode_failure(NotFound(kind="stream", name="s"))))
    with pytest.raises(DisconnectedError, match="going down") as cut:
        arrivals.receive(Failed(10, "going down"))
    assert cut.value.resume_offset == 10
    with pytest.raises(Gone) as hole:
        arrivals.receive(Gap(10, 5))
    assert hole.value.oldest == 15


def test_what_can_be_appended() -> None:
    assert make_parcel("ä", "", close=False) == ("ä".encode(), "", False, "", None)
    assert make_parcel({"a": [1]}, "", close=True)[:3] == (b'{"a":[1]}', "application/json", True)
    assert make_parcel({"a": 1}, "application/json; v=1", close=False).content_type == "application/json; v=1"
    assert not make_parcel(b"x" * INLINE_BYTES_MAX, "", close=False).streams
    assert make_parcel(b"x" * (INLINE_BYTES_MAX + 1), "", close=False).streams
    with pytest.raises(UsageError, match="payload"):
        make_parcel(object(), "", close=False)


class Log:
    """A log that takes a producer's appends once each, as the engine does, over a link that loses answers."""

    def __init__(self) -> None:
        self.next = 0
        self.entries: list[bytes] = []

    def append(self, mark: ProducerMark | None, data: bytes) -> None:
        assert mark is not None
        assert mark.sequence <= self.next, "a sequence was left out"
        if mark.sequence == self.next:
            self.entries.append(data)
            self.next += 1


Fate = st.sampled_from(["answered", "answer lost", "lost", "refused", "answer lost, then refused"])


@given(st.lists(st.tuples(Fate, st.integers(0, 2))))
def test_no_append_is_lost_or_doubled_whatever_becomes_of_them(fates: list[tuple[str, int]]) -> None:
    log, turns = Log(), Turns("p", 0, 0)
    certain: list[bytes] = []
    previous: bytes | None = None
    for number, (fate, again) in enumerate(fates):
        data = previous if previous is not None and again == 0 else b"%d" % number
        previous = None
        for parcel in turns.parcels(make_parcel(data, "", close=False)):
            sent = turns.begun(parcel)
            if fate in ("answered", "answer lost", "answer lost, then refused"):
                log.append(sent.producer, sent.data)
            if fate == "answered":
                turns.done()
                continue
            previous = data
            if fate != "refused":
                turns.lost()
            if fate.endswith("refused"):
                turns.refused(LimitExceeded(name="engine_pending_bytes_max"))
                previous = data if fate != "refused" else None
            break
        else:
            certain.append(data)
    it = iter(log.entries)
    assert all(data in it for data in certain), "each that was answered is there, in order"
    assert len(set(log.entries)) == len(log.entries), "and none twice"


def test_an_interrupted_append_is_finished_before_another_one() -> None:
    turns = Turns("p", 2, 5)
    first, second = (make_parcel(text, "", close=False) for text in ("first", "second"))
    marked = turns.begun(first)
    assert marked.producer == ProducerMark("p", 2, 5)
    turns.lost()
    assert turns.parcels(first) == (first,)
    assert turns.parcels(second) == (marked, second)
    assert turns.begun(marked) == marked
    turns.done()
    assert turns.begun(second).producer == ProducerMark("p", 2, 6)
    assert turns.next_sequence == 6


@pytest.mark.parametrize(
    ("lost", "error", "kept"),
    [
        (False, LimitExceeded(name="stream_append_bytes_max"), False),
        (True, LimitExceeded(name="calls_in_flight_max"), True),
        (True, ClosedError("the stream is closed"), False),
        (True, UsageError("body: not JSON"), False),
    ],
)
def test_a_refused_append_gives_its_sequence_back_unless_it_may_be_there(lost: bool, error: Any, kept: bool) -> None:
    turns = Turns("p", 0, 0)
    turns.begun(make_parcel("x", "", close=False))
    if lost:
        turns.lost()
    turns.refused(error)
    assert len(turns.parcels(make_parcel("y", "", close=False))) == (2 if kept else 1)


def test_a_producer_has_a_name() -> None:
    with pytest.raises(UsageError, match="id"):
        Turns("", 0, 0)
