"""Decisions about batches: each rule by itself, then random lives against a model that anyone can read."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from holdfast.channels.appending.admission import Admission, admit
from holdfast.channels.packing import SEQUENCE_MAX, TYPES, EntryType, Extras, check_batch, encode_batch, encode_draft
from holdfast.channels.state.channel import Bounds, Channel
from holdfast.channels.state.record import ChannelRecord
from holdfast.channels.state.senders import Senders
from holdfast.channels.unpacking import Entry, iter_entries, split_runs
from holdfast.errors import ChannelFull, Conflict, LimitExceeded, MessageTooLarge, SequenceConflict, UsageError

BOUNDS = Bounds(entries_max=20, reserve_max=6, payload_bytes_max=64, questions_max=2, rate_per_s=1.0, burst=1)
draft = encode_draft


def channel(*, retain: bool = False) -> Channel:
    made = Channel("p", "chat", ChannelRecord(submitter="alice", retain=retain))
    made.senders = Senders()
    return made


class Desk:
    """A channel and everything that was admitted to it."""

    def __init__(self, *, retain: bool = False, bounds: Bounds = BOUNDS) -> None:
        self.channel = channel(retain=retain)
        self.bounds = bounds
        self.blobs: list[bytes] = []

    def admit(self, *drafts: bytes, sender: str = "alice", now: float = 0.0) -> Admission:
        admission = admit(self.channel, self.bounds, sender, check_batch(b"".join(drafts)), now)
        if admission.blob:
            self.blobs.append(admission.blob)
        return admission

    def refusal(self, *drafts: bytes, sender: str = "alice", now: float = 0.0) -> Exception:
        """Why the only draft was refused; nothing is stored or noted."""
        before = (self.channel.next_index, self.channel.record, list(self.blobs))
        admission = self.admit(*drafts, sender=sender, now=now)
        assert admission.blob == b"" and admission.entries == 0
        assert before == (self.channel.next_index, self.channel.record, self.blobs)
        ((_, error),) = admission.refused
        return error

    def entries(self) -> list[Entry]:
        return list(iter_entries(b"".join(self.blobs)))


def test_a_plain_batch_goes_as_it_came() -> None:
    desk = Desk()
    batch = encode_batch([b"a", b"b", b"c"], first_sequence=5)
    admission = desk.admit(batch, now=2.5)
    assert (admission.first_index, admission.last_index, admission.entries) == (1, 3, 3)
    assert admission.blob.endswith(batch)
    assert [(e.index, e.sender, e.sequence, e.timestamp, e.late) for e in desk.entries()] == [
        (1, "alice", 5, 2.5, False),
        (2, "alice", 6, 2.5, False),
        (3, "alice", 7, 2.5, False),
    ]
    assert next(split_runs(admission.blob)).contiguous


@pytest.mark.parametrize("sequences", [[1, 2, 9], [3, 3], [5, 4], [2, 1, 3], [1, SEQUENCE_MAX]])
def test_sequences_need_not_follow_each_other(sequences: list[int]) -> None:
    desk = Desk()
    desk.admit(*(draft(b"x", sequence=sequence) for sequence in sequences))
    kept = list(dict.fromkeys(sequences))
    assert [e.sequence for e in desk.entries()] == kept
    assert [e.late for e in desk.entries()] == [e < max(kept[: n + 1]) for n, e in enumerate(kept)]
    assert not next(split_runs(desk.blobs[0])).contiguous or kept == list(range(kept[0], kept[0] + len(kept)))


def test_the_node_counts_for_who_does_not() -> None:
    desk = Desk()
    desk.admit(encode_batch([b"a", b"b"]))
    desk.admit(draft(b"c", sequence=9), draft(b"d"), draft(b"e", sequence=4), draft(b"f"))
    desk.admit(draft(b"g"), sender="bob")
    assert [(e.sender, e.sequence, e.late, e.payload) for e in desk.entries()] == [
        ("alice", 1, False, b"a"),
        ("alice", 2, False, b"b"),
        ("alice", 9, False, b"c"),
        ("alice", 10, False, b"d"),
        ("alice", 4, True, b"e"),
        ("alice", 11, False, b"f"),
        ("bob", 1, False, b"g"),
    ]


def test_what_is_there_already_is_told_by_its_index() -> None:
    desk = Desk()
    desk.admit(encode_batch([b"a", b"b", b"c"], first_sequence=1))
    admission = desk.admit(encode_batch([b"b", b"c", b"d"], first_sequence=2))
    assert admission.repeats == [(0, 2), (1, 3)]
    assert (admission.first_index, admission.last_index) == (4, 4)
    assert desk.admit(draft(b"a", sequence=1)).repeats == [(0, 1)]
    assert desk.admit(draft(b"a", sequence=1), sender="bob").repeats == ()


def test_a_sequence_twice_in_one_batch() -> None:
    desk = Desk()
    admission = desk.admit(draft(b"a", sequence=1), draft(b"a", sequence=1), draft(b"x", sequence=1))
    assert admission.repeats == [(1, 1)]
    ((position, error),) = admission.refused
    assert position == 2
    assert isinstance(error, SequenceConflict)
    assert error.details() == {"expected": 1, "actual": 1}
    assert [e.payload for e in desk.entries()] == [b"a"]


def test_too_large_is_refused_by_itself() -> None:
    desk = Desk()
    admission = desk.admit(draft(b"x" * 64, sequence=1), draft(b"x" * 65, sequence=2), draft(b"y", sequence=3))
    ((position, error),) = admission.refused
    assert position == 1
    assert isinstance(error, MessageTooLarge)
    assert error.details() == {"name": "channel_payload_bytes_max", "limit": 64, "value": 65}
    assert [e.sequence for e in desk.entries()] == [1, 3]
    assert isinstance(desk.refusal(draft(b"", sequence=9, extras=Extras(headers={"a": "x" * 64}))), MessageTooLarge)
    assert isinstance(desk.refusal(encode_batch([b"x" * 65], first_sequence=9)), MessageTooLarge)


def test_a_full_channel_takes_no_more_but_can_still_be_ended_and_steered() -> None:
    desk = Desk()
    admission = desk.admit(encode_batch([b"x"] * 22, first_sequence=1))
    assert [position for position, _ in admission.refused] == [20, 21]
    assert all(isinstance(error, ChannelFull) for _, error in admission.refused)
    assert isinstance(desk.refusal(draft(b"x", sequence=50)), ChannelFull)
    assert desk.admit(draft(b"x", sequence=3)).repeats == [(0, 3)]
    for sequence in (51, 52):
        desk.admit(draft(type="cancel", sequence=sequence))
    desk.admit(draft(type="end", sequence=53))
    assert isinstance(desk.refusal(draft(type="cancel", sequence=54)), ChannelFull)
    desk.admit(draft(type="error", sequence=55))
    assert isinstance(desk.refusal(draft(type="end", sequence=56)), ChannelFull)
    assert len(desk.entries()) == 26


def test_one_that_drops_its_oldest_is_never_full() -> None:
    desk = Desk(retain=True)
    assert desk.admit(encode_batch([b"x"] * 50, first_sequence=1)).entries == 50
    desk.admit(draft(type="cancel", sequence=99))
    assert desk.channel.next_index == 53


def test_every_control_message_has_its_receipt_in_the_same_commit() -> None:
    desk = Desk()
    kinds: list[EntryType] = ["cancel", "steer", "pause", "resume"]
    admission = desk.admit(
        *(draft(b"!", type=kind, sequence=n) for n, kind in enumerate(kinds, 7)), draft(b"x", sequence=20)
    )
    assert (admission.first_index, admission.last_index, admission.entries) == (1, 5, 9)
    receipts = desk.entries()[5:]
    assert [(e.index, e.sender, e.sequence, e.type, e.in_reply_to) for e in receipts] == [
        (index, "holdfast", index - 5, "receipt", index + 1) for index in (6, 7, 8, 9)
    ]
    assert [e.control for e in receipts] == [{"of": index, "state": "accepted"} for index in (1, 2, 3, 4)]


def test_the_executor_says_what_it_applied() -> None:
    desk = Desk()
    desk.admit(draft(type="cancel", sequence=1))
    applied = draft(type="receipt", sequence=1, extras=Extras(control={"of": 1, "state": "applied"}))
    desk.admit(applied, sender="bob")
    assert desk.entries()[-1].control == {"of": 1, "state": "applied"}


@pytest.mark.parametrize(
    ("control", "field"),
    [
        ({}, "control.of"),
        ({"of": 9, "state": "applied"}, "control.of"),
        ({"of": 0, "state": "applied"}, "control.of"),
        ({"of": True, "state": "applied"}, "control.of"),
        ({"of": "1", "state": "applied"}, "control.of"),
        ({"of": 1, "state": "accepted"}, "control.state"),
        ({"of": 1}, "control.state"),
    ],
)
def test_receipts_that_say_nothing_are_refused(control: dict[str, Any], field: str) -> None:
    desk = Desk()
    desk.admit(draft(type="cancel", sequence=1))
    error = desk.refusal(draft(type="receipt", sequence=2, extras=Extras(control=control)))
    assert isinstance(error, UsageError) and error.field == field


def receipt(sequence: int, of: int, state: str = "applied") -> bytes:
    return draft(type="receipt", sequence=sequence, extras=Extras(control={"of": of, "state": state}))


@pytest.mark.parametrize("type_", ["data", "end", "error"])
def test_what_asks_for_nothing_was_neither_applied_nor_refused(type_: EntryType) -> None:
    desk = Desk()
    desk.admit(draft(b"plain"), draft(type="cancel"))
    desk.admit(draft(type=type_))
    assert [entry.type for entry in desk.entries()] == ["data", "cancel", "receipt", type_]
    for index in (1, 3, 4):  # of them the third is the node's receipt
        for state in ("applied", "refused"):
            error = desk.refusal(receipt(0, index, state), sender="bob")
            assert isinstance(error, UsageError) and error.field == "control.of"
            assert f"index {index} is no control message" in error.message
    desk.admit(receipt(0, 2), sender="bob")


def test_a_receipt_may_come_with_what_it_is_about() -> None:
    desk = Desk()
    desk.admit(draft(b"x"), draft(type="steer"), receipt(0, 2))
    assert [entry.type for entry in desk.entries()] == ["data", "steer", "receipt", "receipt"]
    admission = desk.admit(draft(b"x"), receipt(0, 5))
    assert [place for place, _ in admission.refused] == [1]


def test_of_what_is_not_kept_any_more_the_executor_is_believed() -> None:
    desk = Desk(retain=True)
    desk.admit(draft(b"x"), draft(type="steer"))
    desk.channel.oldest = 3
    assert desk.channel.senders is not None
    desk.channel.senders.forget_below(3)
    assert not desk.admit(receipt(0, 1), sender="bob").refused
    assert desk.refusal(receipt(0, 3), sender="bob")


def question(sequence: int, **control: Any) -> bytes:
    return draft(b"may I?", type="needs_input", sequence=sequence, extras=Extras(control=control))


def answer(sequence: int, reply: int = 0, **control: Any) -> bytes:
    return draft(b"yes", type="answer", sequence=sequence, in_reply_to=reply, extras=Extras(control=control))


def test_a_question_is_answered_once() -> None:
    desk = Desk()
    admission = desk.admit(question(1), sender="bob")
    assert admission.record is not None
    assert [(q.index, q.sequence, q.sender, q.policy) for q in admission.record.questions] == [(1, 1, "bob", "wait")]
    assert desk.admit(answer(1, of=1)).record == desk.channel.record
    assert desk.channel.record.questions == ()
    error = desk.refusal(answer(2, of=1))
    assert isinstance(error, Conflict) and "not open" in str(error)
    assert isinstance(desk.refusal(answer(3, of=77)), Conflict)
    assert desk.admit(answer(1, of=1)).repeats == [(0, 3)]
    assert [e.type for e in desk.entries()] == ["needs_input", "receipt", "answer", "receipt"]


def test_a_question_can_be_answered_by_its_sequence_but_not_by_who_asked() -> None:
    desk = Desk()
    desk.admit(question(8), sender="bob")
    assert isinstance(desk.refusal(answer(9, reply=8), sender="bob"), Conflict)
    assert isinstance(desk.refusal(answer(1, reply=7)), Conflict)
    assert desk.admit(answer(1, reply=8)).blob


def test_question_and_answer_in_one_batch() -> None:
    desk = Desk()
    desk.admit(draft(b"x", sequence=1), question(2), answer(3, of=2))
    assert desk.channel.record.questions == ()


def test_questions_expire_as_they_say() -> None:
    desk = Desk()
    desk.admit(question(1, policy="deny", expires_s=5), now=100.0)
    desk.admit(question(2, policy="default", expires_s=2.5, default="no"), now=101.0)
    assert [(q.policy, q.expires_at) for q in desk.channel.record.questions] == [("deny", 105.0), ("default", 103.5)]
    error = desk.refusal(question(3))
    assert isinstance(error, LimitExceeded) and error.name == "channel_questions_max"


@pytest.mark.parametrize(
    ("control", "field"),
    [
        ({"policy": "guess"}, "control.policy"),
        ({"policy": "deny"}, "control.expires_s"),
        ({"policy": "deny", "expires_s": -1}, "control.expires_s"),
        ({"policy": "deny", "expires_s": "5"}, "control.expires_s"),
        ({"policy": "deny", "expires_s": 1e300}, "control.expires_s"),
        ({"policy": "deny", "expires_s": True}, "control.expires_s"),
        ({"policy": "default", "expires_s": 5}, "control.default"),
        ({"policy": ["deny"]}, "control.policy"),
    ],
)
def test_questions_that_make_no_sense_are_refused(control: dict[str, Any], field: str) -> None:
    error = Desk().refusal(question(1, **control))
    assert isinstance(error, UsageError) and error.field == field


def test_no_sequence_is_left_after_the_last() -> None:
    desk = Desk()
    desk.admit(draft(b"x", sequence=SEQUENCE_MAX))
    assert isinstance(desk.refusal(draft(b"y")), UsageError)
    admission = desk.admit(draft(b"y", sequence=5))
    assert admission.entries == 1


class Known(NamedTuple):
    at: int
    draft: bytes


class AdmissionMachine(RuleBasedStateMachine):
    """Random batches of a few senders against dictionaries; every life ends with the log replayed into fresh books."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(bounds=BOUNDS._replace(entries_max=60, payload_bytes_max=3))
        self.known: dict[tuple[str, int], Known] = {}
        self.log: list[tuple[str, int, bytes, bool]] = []
        self.last: dict[str, int] = {}

    @rule(
        sender=st.sampled_from("ab"),
        drafts=st.lists(
            st.tuples(st.integers(0, 25), st.binary(max_size=4), st.sampled_from(["data", "data", "end", "cancel"])),
            min_size=1,
            max_size=6,
        ),
    )
    def batch(self, sender: str, drafts: list[tuple[int, bytes, EntryType]]) -> None:
        made = [draft(payload, type=type_, sequence=sequence) for sequence, payload, type_ in drafts]
        first = self.desk.channel.next_index
        admission = self.desk.admit(*made, sender=sender)
        refused, repeats = dict(admission.refused), dict(admission.repeats)
        index, receipts, taken = first, 0, 0
        room = 60 - (first - 1)
        for position, (sequence, payload, type_) in enumerate(drafts):
            there = self.known.get((sender, sequence)) if sequence else None
            if there is not None:
                if there.at >= first and there.draft != made[position]:
                    assert isinstance(refused.pop(position), SequenceConflict)
                else:
                    assert repeats.pop(position) == there.at
                continue
            if len(payload) > 3:
                assert isinstance(refused.pop(position), MessageTooLarge)
                continue
            needs = taken + receipts + (2 if type_ == "cancel" else 1)
            if needs > room + (6 if type_ != "data" else 0):
                assert isinstance(refused.pop(position), ChannelFull)
                continue
            last = self.last.get(sender, 0)
            sequence = sequence or last + 1
            late = sequence < last
            self.last[sender] = max(last, sequence)
            self.known[sender, sequence] = Known(index, made[position])
            self.log.append((sender, sequence, payload, late))
            index, taken = index + 1, taken + 1
            receipts += type_ == "cancel"
        assert (refused, repeats) == ({}, {})
        self.log += [("holdfast", 0, b"", False)] * receipts
        assert admission.entries == taken + receipts

    @invariant()
    def the_log_is_the_model(self) -> None:
        entries = self.desk.entries()
        assert [e.index for e in entries] == list(range(1, len(entries) + 1))
        assert [(e.sender, e.sequence if e.sender != "holdfast" else 0, e.payload, e.late) for e in entries] == self.log
        assert self.desk.channel.next_index == len(entries) + 1

    @precondition(lambda self: self.log)
    @rule()
    def restart(self) -> None:
        """What is replayed from the log decides as what was noted while appending."""
        senders = Senders()
        for run in split_runs(b"".join(self.desk.blobs)):
            senders.replay(run)
        self.desk.channel.senders = senders


TestAdmission = AdmissionMachine.TestCase
TestAdmission.settings = settings(max_examples=25, stateful_step_count=20)


def test_every_type_has_a_number_of_its_own() -> None:
    assert len(set(TYPES)) == len(TYPES)
