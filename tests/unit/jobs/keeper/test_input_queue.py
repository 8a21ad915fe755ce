"""Input in order: by session and number, held a moment, bounded, whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import LimitExceeded
from holdfast.jobs.keeper.input_queue import SESSIONS_MAX, InputQueue

HOLD_S = 0.1


@pytest.fixture
def queue() -> InputQueue:
    return InputQueue(items_max=10, bytes_max=100, hold_s=HOLD_S)


def drain(queue: InputQueue) -> list[str]:
    found = []
    while (item := queue.first()) is not None:
        assert queue.finish() == item
        found.append(item.action)
    return found


def test_in_order_at_once(queue: InputQueue) -> None:
    for number in (1, 2, 3):
        queue.put(f"a{number}", 0.0, session="a", sequence=number)
    assert drain(queue) == ["a1", "a2", "a3"]
    assert queue.next_deadline() is None


def test_out_of_order_waits_for_its_elders(queue: InputQueue) -> None:
    queue.put("a3", 0.0, session="a", sequence=3)
    queue.put("a2", 0.0, session="a", sequence=2)
    assert queue.first() is None
    queue.put("a1", 0.0, session="a", sequence=1)
    assert drain(queue) == ["a1", "a2", "a3"]
    assert queue.next_deadline() is None


def test_held_too_long_goes_on_without_the_missing(queue: InputQueue) -> None:
    queue.put("a5", 1.0, session="a", sequence=5)
    queue.put("a3", 1.05, session="a", sequence=3)
    queue.put("a7", 1.06, session="a", sequence=7)
    assert queue.next_deadline() == pytest.approx(1.0 + HOLD_S)
    queue.handle_timer(1.0 + HOLD_S / 2)
    assert drain(queue) == []
    queue.handle_timer(1.0 + HOLD_S)
    assert drain(queue) == ["a3", "a5"]
    queue.put("a6", 1.11, session="a", sequence=6)
    assert drain(queue) == ["a6", "a7"]


def test_old_ones_go_on_at_once(queue: InputQueue) -> None:
    for number in (1, 2):
        queue.put(f"a{number}", 0.0, session="a", sequence=number)
    queue.put("again", 0.0, session="a", sequence=1)
    assert drain(queue) == ["a1", "a2", "again"]


def test_two_of_one_held_number_both_go_on(queue: InputQueue) -> None:
    queue.put("first", 0.0, session="a", sequence=2)
    queue.put("second", 0.0, session="a", sequence=2)
    assert drain(queue) == ["second"]
    queue.handle_timer(HOLD_S)
    assert drain(queue) == ["first"]


@pytest.mark.parametrize(("session", "sequence"), [("", 5), ("a", 0)])
def test_without_session_or_number_bypasses(queue: InputQueue, session: str, sequence: int) -> None:
    queue.put("held", 0.0, session="a", sequence=2)
    queue.put("now", 0.0, session=session, sequence=sequence)
    assert drain(queue) == ["now"]


def test_sessions_do_not_wait_for_each_other(queue: InputQueue) -> None:
    queue.put("a2", 0.0, session="a", sequence=2)
    queue.put("b1", 0.0, session="b", sequence=1)
    assert drain(queue) == ["b1"]


def test_the_first_stays_the_first_until_finished(queue: InputQueue) -> None:
    queue.put("x", 0.0)
    queue.put("y", 0.0)
    first = queue.first()
    assert first is not None
    assert queue.first() is first
    queue.finish()
    assert queue.first() is not first


def test_too_many_items_names_the_limit(queue: InputQueue) -> None:
    for number in range(10):
        queue.put("x", 0.0, session="a", sequence=number + 2)
    with pytest.raises(LimitExceeded) as caught:
        queue.put("x", 0.0)
    assert (caught.value.name, caught.value.limit) == ("input_items_max", 10)
    assert queue.items == 10


def test_too_many_bytes_names_the_limit_and_takes_nothing(queue: InputQueue) -> None:
    queue.put("x", 0.0, size_bytes=60)
    with pytest.raises(LimitExceeded) as caught:
        queue.put("y", 0.0, size_bytes=41)
    assert (caught.value.name, caught.value.value) == ("input_bytes_max", 101)
    assert queue.queued_bytes == 60
    queue.finish()
    queue.put("y", 0.0, size_bytes=100)
    assert queue.queued_bytes == 100


def test_clear_gives_back_all_in_the_order_they_came(queue: InputQueue) -> None:
    queue.put("held", 0.0, session="a", sequence=9, size_bytes=5)
    queue.put("ready", 0.0, size_bytes=5)
    assert [item.action for item in queue.clear()] == ["held", "ready"]
    assert (queue.items, queue.queued_bytes, queue.next_deadline()) == (0, 0, None)


def test_a_million_sessions_are_not_all_remembered(queue: InputQueue) -> None:
    queue.put("held", 0.0, session="patient", sequence=2)
    for number in range(SESSIONS_MAX * 2):
        queue.put("x", 0.0, session=f"s{number}", sequence=1)
        queue.finish()
    assert len(queue._sessions) <= SESSIONS_MAX
    queue.put("first", 0.0, session="patient", sequence=1)
    assert drain(queue) == ["first", "held"]


PUTS = st.lists(
    st.tuples(st.sampled_from(["", "a", "b"]), st.integers(0, 8), st.floats(0, 0.2), st.integers(0, 2)), max_size=60
)


@given(PUTS)
def test_nothing_is_lost_doubled_or_kept_for_ever(puts: list[tuple[str, int, float, int]]) -> None:
    queue = InputQueue(items_max=1000, bytes_max=1000, hold_s=HOLD_S)
    now, numbers, done = 0.0, [], []
    for session, sequence, pause_s, finish in puts:
        now += pause_s
        queue.handle_timer(now)
        numbers.append(queue.put("x", now, size_bytes=1, session=session, sequence=sequence))
        done += [queue.finish().number for _ in range(finish) if queue.first() is not None]
        deadline = queue.next_deadline()
        assert deadline is None or now < deadline <= now + HOLD_S
    queue.handle_timer(now + HOLD_S)
    assert queue.next_deadline() is None
    while queue.first() is not None:
        done.append(queue.finish().number)
    assert sorted(done) == numbers
    assert queue.queued_bytes == 0


@given(st.permutations(range(1, 9)), st.permutations(range(1, 9)), st.data())
def test_each_session_comes_out_sorted_however_it_went_in(a: list[int], b: list[int], data: st.DataObject) -> None:
    queue = InputQueue(items_max=1000, bytes_max=1000, hold_s=HOLD_S)
    waiting = {"a": list(a), "b": list(b)}
    found: dict[str, list[int]] = {"a": [], "b": []}
    while any(waiting.values()):
        session = data.draw(st.sampled_from([name for name, numbers in waiting.items() if numbers]))
        queue.put("x", 0.0, session=session, sequence=waiting[session].pop(0))
    while (item := queue.first()) is not None:
        found[item.session].append(item.sequence)
        queue.finish()
    assert found == {"a": list(range(1, 9)), "b": list(range(1, 9))}
