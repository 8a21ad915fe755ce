from __future__ import annotations

import pytest

from holdfast.simulation.sync_checks import Judge


def three() -> Judge:
    judge = Judge(3)
    judge.note_sent(0, "a", b"A", 0.0)
    judge.note_delivered(1, "a", 5, b"A")
    judge.note_sent(1, "b", b"B", 1.0)
    return judge


def test_everybody_has_everything_in_the_end() -> None:
    judge = three()
    assert judge.expected == 4
    judge.note_delivered(2, "a", 5, b"A")
    judge.note_delivered(2, "b", 6, b"B")
    assert not judge.converged
    assert judge.missing() == "peer 0 misses 1"
    judge.note_delivered(0, "b", 6, b"B")
    assert judge.converged
    judge.check_log(2, [(5, "a"), (6, "b")])


def test_an_answer_before_its_question_is_out_of_order() -> None:
    with pytest.raises(AssertionError, match="before 1 messages of peer 0"):
        three().note_delivered(2, "b", 6, b"B")


def test_messages_of_one_peer_come_in_its_order() -> None:
    judge = three()
    judge.note_sent(0, "c", b"C", 2.0)
    with pytest.raises(AssertionError, match="before"):
        judge.note_delivered(2, "c", 7, b"C")


@pytest.mark.parametrize(
    ("peer", "message_id", "lamport", "content", "what"),
    [
        (1, "a", 5, b"A", "twice"),
        (0, "a", 5, b"A", "its own"),
        (2, "x", 5, b"A", "nobody sent"),
        (2, "a", 5, b"!", "another content"),
        (2, "a", 4, b"A", "two Lamport times"),
    ],
)
def test_what_may_not_be_is_named(peer: int, message_id: str, lamport: int, content: bytes, what: str) -> None:
    with pytest.raises(AssertionError, match=what):
        three().note_delivered(peer, message_id, lamport, content)


def test_a_log_out_of_order_or_with_what_was_never_given_is_found() -> None:
    judge = three()
    with pytest.raises(AssertionError, match="out of order"):
        judge.check_log(1, [(6, "b"), (5, "a")])
    with pytest.raises(AssertionError, match="never given"):
        judge.check_log(2, [(5, "a")])
