"""What is known of senders, against a plain dictionary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.channels.model import NODE_SENDER
from holdfast.channels.packing import EntryType, check_batch, encode_batch, encode_draft, encode_run
from holdfast.channels.state.senders import Controls, SenderBook, Senders
from holdfast.channels.unpacking import split_runs


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 5), st.integers(0, 3)), max_size=25), st.integers(0, 90))
def test_every_sequence_is_found_at_its_index(steps: list[tuple[int, int, int]], forget: int) -> None:
    book, known, index = SenderBook(), dict[int, int](), 1
    for sequence, count, others in steps:
        fresh = [s for s in range(sequence, sequence + count) if s not in known]
        if fresh:
            contiguous = fresh == list(range(fresh[0], fresh[0] + len(fresh)))
            book.add_all(fresh, index, contiguous=contiguous)
            known.update(zip(fresh, range(index, index + len(fresh)), strict=True))
            index += len(fresh)
        index += others
    assert {s: book.index_of(s) for s in range(70)} == {s: known.get(s, 0) for s in range(70)}
    assert book.last_sequence == max(known, default=0)
    assert book.last_index == max(known.values(), default=0)
    book.forget_below(forget)
    kept = {s: at for s, at in known.items() if at >= forget}
    assert {s: book.index_of(s) for s in range(70)} == {s: kept.get(s, 0) for s in range(70)}
    assert book.last_sequence == max(known, default=0)


def test_a_long_stream_takes_one_row() -> None:
    book = SenderBook()
    for step in range(1000):
        book.add(1 + step * 10, 1 + step * 10, 10)
    assert book.rows == 1
    assert book.index_of(10_000) == 10_000
    assert book.index_of(10_001) == 0


def test_a_stream_is_complete_after_its_end_until_it_goes_on() -> None:
    senders = Senders()

    def replay(index: int, sender: str, *drafts: bytes) -> int:
        data = b"".join(drafts)
        run = encode_run(index, sender.encode(), 0.0, data, check_batch(data).entries)
        senders.replay(next(split_runs(run)))
        return senders.book(sender).ended

    assert replay(1, "a", encode_draft(b"x", sequence=1), encode_draft(type="end", sequence=2)) == 1
    assert replay(3, "a", encode_draft(type="steer", sequence=3)) == 1
    assert replay(4, "a", encode_draft(b"x", sequence=4)) == 0
    assert replay(5, "a", encode_draft(type="error", sequence=5)) == 2
    assert replay(6, NODE_SENDER, encode_draft(type="receipt", sequence=1)) == 0
    assert [sender for sender, _ in senders] == ["a", NODE_SENDER]
    assert senders.last_sequence("a") == 5
    assert senders.last_sequence("nobody") == 0


def test_what_a_log_holds_is_what_was_noted_when_it_was_appended() -> None:
    batch = check_batch(encode_batch([b"1", b"2", b"3"], first_sequence=7))
    noted, replayed = Senders(), Senders()
    noted.book("a").add_all(batch.sequences, 11, contiguous=True)
    replayed.replay(next(split_runs(encode_run(11, b"a", 0.0, batch.data, 3, contiguous=True))))
    for sequence in range(6, 11):
        assert noted.book("a").index_of(sequence) == replayed.book("a").index_of(sequence)


@given(st.sets(st.integers(1, 60)), st.integers(0, 70))
def test_control_messages_are_known_by_their_index(indexes: set[int], forget: int) -> None:
    controls = Controls()
    for index in sorted(indexes):
        controls.add(index)
    assert {index for index in range(70) if index in controls} == indexes
    assert len(controls) == len(indexes)
    controls.forget_below(forget)
    kept = {index for index in indexes if index >= forget}
    assert {index for index in range(70) if index in controls} == kept
    assert len(controls) == len(kept)
    controls.add(70)
    assert 70 in controls and 71 not in controls


def test_control_messages_are_found_in_the_log() -> None:
    senders = Senders()
    types: list[EntryType] = ["data", "cancel", "steer", "receipt", "end", "answer"]
    data = b"".join(encode_draft(type=type_, sequence=at) for at, type_ in enumerate(types, 1))
    senders.replay(next(split_runs(encode_run(11, b"a", 0.0, data, len(types)))))
    senders.replay(next(split_runs(encode_run(17, b"a", 0.0, encode_batch([b"x", b"y"], first_sequence=7), 2))))
    assert [index for index in range(30) if index in senders.controls] == [12, 13, 16]
