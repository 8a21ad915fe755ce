from __future__ import annotations

import pytest

from holdfast.simulation.sync.judge import Judge
from holdfast.sync.model import Message

A, B = Message("a", "group", 5, b"A"), Message("b", "group", 6, b"B")


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
    for peer in range(3):
        judge.check_log(peer, [A, B], 1_000)


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


@pytest.mark.parametrize(
    ("peer", "log", "what"),
    [
        (1, [B, A], "out of order"),
        (2, [A], "never given"),
        (1, [A, Message("x", "group", 7, b"x")], "which nobody sent"),
        (1, [A, Message("b", "group", 6, b"!")], "with another content"),
        (1, [Message("a", "group", 4, b"A"), B], "two Lamport times"),
        (1, [A, A, B], "a message twice in its log"),
        (1, [A], "has 1 messages in its log, not 2"),
        (1, [Message("b", "group", 4, b"B"), A], "b comes before its causes"),
    ],
)
def test_what_may_not_be_in_a_log_is_found(peer: int, log: list[Message], what: str) -> None:
    with pytest.raises(AssertionError, match=what):
        three().check_log(peer, log, 1_000)


def test_two_logs_with_the_same_messages_have_the_same_order() -> None:
    judge = Judge(2)
    judge.note_sent(0, "a", b"A", 0.0)
    judge.note_sent(1, "b", b"B", 0.0)  # neither knew of the other
    judge.note_delivered(1, "a", 5, b"A")
    judge.note_delivered(0, "b", 6, b"B")
    judge.check_log(0, [A, B], 1_000)
    with pytest.raises(AssertionError, match="two Lamport times"):
        judge.check_log(1, [Message("b", "group", 4, b"B"), A], 1_000)


def test_of_a_bounded_history_so_many_are_there() -> None:
    judge = three()
    judge.check_log(1, [B], 1)
    with pytest.raises(AssertionError, match="has 2 messages in its log, not 1"):
        judge.check_log(1, [A, B], 1)
