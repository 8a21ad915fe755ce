"""The real clock and the virtual one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.clock import Clock, RealClock, VirtualClock


def test_the_real_clock_does_not_go_back() -> None:
    clock: Clock = RealClock()
    readings = [clock.now() for _ in range(100)]
    assert readings == sorted(readings)


def test_the_real_wall_clock_counts_from_the_epoch() -> None:
    assert RealClock().wall() > 1_700_000_000


def test_a_virtual_clock_stands_still() -> None:
    clock: Clock = VirtualClock(start_s=5.0, wall_s=100.0)
    assert [clock.now(), clock.now()] == [5.0, 5.0]
    assert [clock.wall(), clock.wall()] == [100.0, 100.0]


def test_advancing_moves_both_scales() -> None:
    clock = VirtualClock(start_s=5.0, wall_s=100.0)
    clock.advance(2.5)
    assert (clock.now(), clock.wall()) == (7.5, 102.5)
    clock.advance_to(10.0)
    assert (clock.now(), clock.wall()) == (10.0, 105.0)


def test_a_virtual_clock_does_not_go_back() -> None:
    clock = VirtualClock(start_s=5.0)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-0.001)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance_to(4.0)
    assert clock.now() == 5.0


def test_the_wall_clock_may_jump_and_time_goes_on() -> None:
    clock = VirtualClock(start_s=5.0, wall_s=100.0)
    clock.step_wall(-50.0)
    assert (clock.now(), clock.wall()) == (5.0, 50.0)


@given(st.lists(st.floats(0, 1e6), max_size=20))
def test_time_never_goes_back_however_it_is_moved(steps_s: list[float]) -> None:
    clock = VirtualClock()
    seen = [clock.now()]
    for step_s in steps_s:
        clock.advance(step_s)
        seen.append(clock.now())
    assert seen == sorted(seen)
