"""Deadlines that move cost nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.sessions.core.timers import Timers


class Item:
    deadline: float | None = None


def test_a_deadline_that_moved_is_asked_for_when_the_first_one_comes() -> None:
    timers: Timers[Item] = Timers(lambda item: item.deadline)
    assert timers.next_deadline() is None
    one, two, three = Item(), Item(), Item()
    for item in (one, two, three):
        item.deadline = 10.0
        timers.add(10.0, item)
    two.deadline, three.deadline = 15.0, None
    assert timers.next_deadline() == 10.0
    assert timers.due(9.9) == []
    assert timers.due(10.0) == [(one, True), (two, False), (three, False)]
    assert len(timers) == 0


@given(st.lists(st.floats(0, 100)), st.floats(0, 100))
def test_in_order(deadlines: list[float], now: float) -> None:
    timers: Timers[float] = Timers(lambda item: item)
    for deadline in deadlines:
        timers.add(deadline, deadline)
    assert timers.due(now) == [(one, True) for one in sorted(deadlines) if one <= now]
    timers.discard(lambda item: item < 50)
    assert timers.next_deadline() == min((one for one in deadlines if one > now and one >= 50), default=None)
