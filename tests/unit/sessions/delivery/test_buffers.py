"""What waits for a client: bounds, policies, order, reports."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.limits import LIMITS
from holdfast.sessions.delivery.buffers import OVERHEAD_BYTES, FeedBuffer
from holdfast.sessions.model import Message, PatternSpec
from holdfast.sessions.packing import pack, unpack

SMALL = LIMITS._replace(session_buffer_messages_max=8, session_buffer_bytes_max=5_000)


def packed(subject: str, payload: bytes = b"") -> tuple[str, bytes]:
    return subject, pack(Message(subject, payload))


def taken(buffer: FeedBuffer, room: int = 1 << 20) -> list[Message]:
    return list(unpack(b"".join(buffer.take(room, 5.0))))


def test_first_in_first_out_across_patterns() -> None:
    buffer = FeedBuffer(LIMITS)
    one, two = PatternSpec(pattern="p.>"), PatternSpec(pattern="q.>")
    for number in range(6):
        assert buffer.add((one, two)[number % 2], [packed(f"s.{number}")], attached=True)
    assert [message.subject for message in taken(buffer)] == [f"s.{number}" for number in range(6)]
    assert not buffer.waiting
    assert (buffer.totals.messages, buffer.totals.bytes) == (0, 0)


def test_the_oldest_of_the_pattern_go_and_are_reported_first() -> None:
    buffer = FeedBuffer(LIMITS)
    spec = PatternSpec(pattern="p.>", buffer_messages=2)
    other = PatternSpec(pattern="q.>")
    buffer.add(other, [packed("q.x")], attached=False)
    buffer.add(spec, [packed(f"p.{number}", b"12345") for number in range(5)], attached=False)
    messages = taken(buffer)
    assert [(message.kind, message.subject) for message in messages] == [
        ("lost", "p.>"),
        ("message", "q.x"),
        ("message", "p.3"),
        ("message", "p.4"),
    ]
    size = len(packed("p.0", b"12345")[1])
    assert messages[0].detail == {"count": 3, "bytes": 3 * size, "policy": "drop-oldest"}
    assert messages[0].time == 5.0
    assert taken(buffer) == [], "reported once"
    assert buffer.totals.lost == 3


def test_bytes_count_too_but_one_message_always_fits() -> None:
    buffer = FeedBuffer(LIMITS)
    spec = PatternSpec(pattern="p.>", buffer_bytes=1_000)
    buffer.add(spec, [packed("p.a", bytes(5_000))], attached=False)
    assert buffer.totals.messages == 1
    buffer.add(spec, [packed("p.b", bytes(100)), packed("p.c", bytes(100))], attached=False)
    assert [message.subject for message in taken(buffer)] == ["p.>", "p.b", "p.c"]


def test_conflate_keeps_the_newest_of_each_subject() -> None:
    buffer = FeedBuffer(LIMITS)
    spec = PatternSpec(pattern="p.>", policy="conflate")
    buffer.add(spec, [packed("p.a", b"1"), packed("p.b", b"1"), packed("p.a", b"2")], attached=True)
    assert [(m.kind, m.subject, m.payload) for m in taken(buffer)] == [
        ("lost", "p.>", b""),
        ("message", "p.b", b"1"),
        ("message", "p.a", b"2"),
    ]


def test_disconnect_lets_the_client_go_and_drops_while_there_is_none() -> None:
    buffer = FeedBuffer(LIMITS)
    spec = PatternSpec(pattern="p.>", policy="disconnect", buffer_messages=2)
    assert not buffer.add(spec, [packed(f"p.{number}") for number in range(3)], attached=True)
    (report,) = taken(buffer)
    assert report.detail["count"] == 3
    assert buffer.add(spec, [packed(f"p.{number}") for number in range(3)], attached=False)
    assert [message.kind for message in taken(buffer)] == ["lost", "message", "message"]


def test_the_session_has_bounds_of_its_own() -> None:
    buffer = FeedBuffer(SMALL)
    for number in range(40):
        buffer.add(PatternSpec(pattern=f"p.{number % 4}"), [packed("s", bytes(300))], attached=False)
    assert buffer.totals.messages <= 8
    assert buffer.totals.bytes <= 5_000 + 3 * (300 + 40 + OVERHEAD_BYTES)


def test_changed_bounds_hold_at_once_and_a_forgotten_pattern_is_gone() -> None:
    buffer = FeedBuffer(LIMITS)
    spec = PatternSpec(pattern="p.>")
    buffer.change(spec)
    buffer.forget("p.>")
    buffer.add(spec, [packed(f"p.{number}") for number in range(5)], attached=False)
    buffer.change(PatternSpec(pattern="p.>", buffer_messages=1))
    assert buffer.totals.messages == 1
    buffer.forget("p.>")
    assert not buffer.waiting
    assert (buffer.totals.messages, buffer.totals.bytes) == (0, 0)


def test_taking_in_small_rooms_keeps_the_order() -> None:
    buffer = FeedBuffer(LIMITS)
    for number in range(20):
        buffer.add(PatternSpec(pattern=f"p.{number % 3}"), [packed(f"s.{number}", bytes(50))], attached=False)
    got: list[str] = []
    while buffer.waiting:
        messages = taken(buffer, 1)
        assert len(messages) == 1
        got += [message.subject for message in messages]
    assert got == [f"s.{number}" for number in range(20)]


patterns = st.sampled_from(
    [
        PatternSpec(pattern="a", buffer_messages=3),
        PatternSpec(pattern="b", policy="conflate", buffer_messages=2),
        PatternSpec(pattern="c", policy="disconnect", buffer_bytes=900),
        PatternSpec(pattern="d"),
    ]
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), patterns, st.integers(1, 5), st.booleans()),
        st.tuples(st.just("take"), st.integers(0, 1_500)),
    ),
    max_size=40,
)


@given(steps)
def test_nothing_is_lost_without_being_counted(steps: list[Any]) -> None:
    buffer = FeedBuffer(SMALL)
    number = 0
    given_messages: Counter[str] = Counter()
    got: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    last: dict[str, int] = {}

    def look(messages: list[Message]) -> None:
        for message in messages:
            if message.kind == "lost":
                lost[message.subject] += message.detail["count"]
                continue
            pattern, _, place = message.payload.decode().partition(":")
            assert int(place) > last.get(pattern, -1), "in order"
            last[pattern] = int(place)
            got[pattern] += 1

    for step in steps:
        if step[0] == "take":
            look(taken(buffer, step[1]))
            continue
        _, spec, count, attached = step
        batch = []
        for _ in range(count):
            batch.append(packed(f"{spec.pattern}.{number % 2}", f"{spec.pattern}:{number}".encode()))
            number += 1
        if buffer.add(spec, batch, attached=attached):
            given_messages[spec.pattern] += count
        else:
            given_messages[spec.pattern] += count
            look([])
            over = sum(given_messages.values()) - sum(got.values()) - sum(lost.values())
            unseen = over - buffer.totals.messages - buffer.totals.unreported
            given_messages[spec.pattern] -= unseen  # those of the batch after the one that was too many
        assert buffer.totals.messages <= SMALL.session_buffer_messages_max + 4
    look(taken(buffer))
    for pattern, count in given_messages.items():
        assert got[pattern] + lost[pattern] == count
    assert (buffer.totals.messages, buffer.totals.bytes, buffer.totals.unreported) == (0, 0, 0)


@pytest.mark.parametrize("policy", ["drop-oldest", "conflate", "disconnect"])
def test_costs_are_given_back(policy: Any) -> None:
    buffer = FeedBuffer(SMALL)
    spec = PatternSpec(pattern="p.>", policy=policy)
    for number in range(100):
        buffer.add(spec, [packed(f"p.{number}", bytes(number))], attached=number % 2 == 0)
    taken(buffer)
    assert (buffer.totals.messages, buffer.totals.bytes) == (0, 0)
