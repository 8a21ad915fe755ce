"""Runs as readers take them apart: cut anywhere, in any pieces, and never for something they are not."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.channels.packing import Extras, check_batch, encode_batch, encode_draft, encode_run
from holdfast.channels.unpacking import (
    Entry,
    RunReader,
    cut_runs,
    entries_of,
    heads_of,
    iter_entries,
    parts_of,
    split_runs,
    without_sender,
)
from holdfast.errors import ProtocolError


class Made(NamedTuple):
    """Runs that follow each other, as a log holds them."""

    data: bytes
    entries: int


@st.composite
def runs(draw: st.DrawFn) -> Made:
    parts: list[bytes] = []
    index = 1
    for _ in range(draw(st.integers(1, 4))):
        alike = st.integers(1, 12).map(lambda count: [b"x"] * count)  # read in bulk, if there are enough
        payloads = draw(st.lists(st.binary(max_size=3), min_size=1, max_size=5) | alike)
        drafts = encode_batch(payloads, first_sequence=draw(st.integers(1, 50)))
        if draw(st.booleans()):
            drafts += encode_draft(type="error", extras=Extras(error="e"))
        count = check_batch(drafts).entries
        late = draw(st.lists(st.integers(0, count - 1), unique=True))
        sender = draw(st.sampled_from(["a", "bär"])).encode()
        parts.append(encode_run(index, sender, float(index), drafts, count, late=late, contiguous=draw(st.booleans())))
        index += count
    return Made(b"".join(parts), index - 1)


@given(runs())
def test_indexes_are_dense(made: Made) -> None:
    assert [entry.index for entry in iter_entries(made.data)] == list(range(1, made.entries + 1))


@given(runs(), st.integers(1, 4))
def test_parts_hold_the_same_entries(made: Made, most: int) -> None:
    for run in split_runs(made.data):
        parts = list(parts_of(run, most))
        assert all(part.entries <= most for part in parts)
        assert [part.first_index for part in parts[1:]] == [part.next_index for part in parts[:-1]]
        assert [entry for part in parts for entry in entries_of(part)] == entries_of(run)


@pytest.mark.parametrize("length", [0, 200, 1 << 31])
def test_parts_do_not_reach_beyond_their_run(length: int) -> None:
    drafts = bytearray(encode_batch([b"x"] * 3))
    drafts[:4] = length.to_bytes(4, "big")
    (run,) = split_runs(encode_run(1, b"a", 0.0, bytes(drafts), 3))
    with pytest.raises(ProtocolError):
        [entries_of(part) for part in parts_of(run, 2)]


@given(runs(), st.data())
def test_a_cut_gives_just_these_entries(made: Made, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, made.entries + 1))
    stop = data.draw(st.integers(first, made.entries + 1))
    cut = cut_runs(made.data, first, stop)
    assert list(iter_entries(cut)) == list(iter_entries(made.data))[first - 1 : stop - 1]
    if (first, stop) == (1, made.entries + 1):
        assert cut == made.data


@given(runs())
def test_heads_say_what_entries_say(made: Made) -> None:
    entries = list(iter_entries(made.data))
    heads = [heads_of(run) for run in split_runs(made.data)]
    assert [sequence for head in heads for sequence in head.sequences] == [entry.sequence for entry in entries]


@given(runs())
def test_a_senders_entries_can_be_left_out(made: Made) -> None:
    left = list(iter_entries(without_sender(made.data, "a")))
    assert left == [entry for entry in iter_entries(made.data) if entry.sender != "a"]


@given(runs(), st.data())
def test_runs_come_whole_however_their_bytes_come(made: Made, data: st.DataObject) -> None:
    reader, out, left = RunReader(), [], made.data
    while left:
        size = data.draw(st.integers(1, len(left)))
        part, left = left[:size], left[size:]
        complete = reader.feed(part)
        list(split_runs(complete))
        out.append(complete)
    assert b"".join(out) == made.data
    assert reader.buffered_bytes == 0


@given(st.binary(max_size=150))
def test_no_bytes_are_taken_for_runs_that_are_none(data: bytes) -> None:
    for take in (lambda: list(iter_entries(data)), lambda: RunReader(1000).feed(data)):
        try:
            take()
        except ProtocolError as error:
            assert error.reason == "malformed"


@given(runs(), st.data())
def test_damaged_runs_are_refused_or_are_other_runs(made: Made, data: st.DataObject) -> None:
    damaged = bytearray(made.data)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        entries = list(iter_entries(bytes(damaged)))
    except ProtocolError as error:
        assert error.reason == "malformed"
    else:
        assert all(isinstance(entry, Entry) for entry in entries)


RUN = encode_run(1, b"me", 0.0, encode_batch([b"x", b"x"], first_sequence=1), 2)


@pytest.mark.parametrize(
    "data",
    [
        RUN[:-1],
        RUN[:20],
        RUN + b"\0",
        RUN[:13] + b"\0\0\0\3" + RUN[17:],
        RUN[:13] + b"\0\0\0\0" + RUN[17:],
        RUN[:13] + b"\xff\xff\xff\xff" + RUN[17:],
        RUN[:13] + b"\0\0\0\1" + RUN[17:],
        RUN[:25] + b"\xff\xff" + RUN[27:],
        RUN[:27] + b"\xff\xfe" + RUN[29:],
        encode_run(1, b"me", 0.0, encode_draft(b""), 1, late=[1]),
        encode_run(1, b"me", 0.0, b"\0" * 30, 1),
        RUN[:4] + b"\1" + RUN[5:],
    ],
)
def test_malformed_runs_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(iter_entries(data))


def test_a_run_longer_than_may_be_is_refused_before_it_is_gathered() -> None:
    reader = RunReader(bytes_max=100)
    with pytest.raises(ProtocolError):
        reader.feed(b"\0\0\0\xff")
    with pytest.raises(ProtocolError):
        RunReader().feed(b"\0\0\0\1")


def test_late_entries_are_marked() -> None:
    data = encode_run(5, b"me", 0.0, encode_batch([b"x", b"x", b"x"], first_sequence=1), 3, late=[1])
    assert [entry.late for entry in iter_entries(data)] == [False, True, False]
    assert [entry.late for entry in iter_entries(cut_runs(data, 6, 8))] == [True, False]


def test_views_of_memory_can_be_taken_apart() -> None:
    assert [entry.payload for entry in iter_entries(bytes(memoryview(RUN)))] == [b"x", b"x"]
