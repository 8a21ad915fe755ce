"""Lifetimes under a clock that tests set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.clock import VirtualClock
from holdfast.durable.expiry import RECHECK_S, Agenda, Lifetime

gaps = st.lists(st.floats(0, 20, allow_nan=False), max_size=20)


def test_a_stream_without_either_never_ends() -> None:
    life = Lifetime(None, None, 0.0)
    assert life.endless and not life.over(1e12, 1e12)


def test_a_sliding_life_ends_so_long_after_the_last_use() -> None:
    life = Lifetime(10, None, 100.0)
    assert not life.over(109.9, 0.0)
    life.use(109.0)
    assert not life.over(118.9, 0.0)
    assert life.over(119.0, 0.0)


def test_a_life_of_nothing_is_over_at_once() -> None:
    assert Lifetime(0, None, 5.0).over(5.0, 0.0)


def test_an_absolute_end_does_not_move_by_use() -> None:
    life = Lifetime(None, 1000.0, 0.0)
    life.use(5.0)
    life.users = 1
    assert not life.over(5.0, 999.9)
    assert life.over(5.0, 1000.0)


def test_readers_keep_a_sliding_life_up() -> None:
    life = Lifetime(10, None, 0.0)
    life.users = 1
    assert not life.over(500.0, 0.0)
    life.users = 0
    life.use(500.0)
    assert not life.over(509.0, 0.0) and life.over(510.0, 0.0)


@given(st.floats(0.1, 10), gaps)
def test_whoever_looks_when_told_to_finds_the_end_no_later_than_it_is_there(ttl_s: float, uses: list[float]) -> None:
    clock = VirtualClock()
    life = Lifetime(ttl_s, None, clock.now())
    for gap in uses:
        clock.advance(gap)
        if not life.over(clock.now(), clock.wall()):
            life.use(clock.now())
    while not life.over(clock.now(), clock.wall()):
        moment = life.look_at(clock.now(), clock.wall())
        assert clock.now() < moment <= clock.now() + RECHECK_S
        clock.advance_to(moment)
    assert life.look_at(clock.now(), clock.wall()) == clock.now()


def test_an_end_far_away_is_looked_at_again_in_between_because_the_wall_clock_may_be_set() -> None:
    clock = VirtualClock(wall_s=1000.0)
    life = Lifetime(None, 100_000.0, clock.now())
    assert life.look_at(clock.now(), clock.wall()) == clock.now() + RECHECK_S
    clock.step_wall(100_000.0)
    assert life.over(clock.now(), clock.wall())


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 20) | st.none())), st.integers(0, 20))
def test_an_agenda_is_a_map_from_names_to_moments(steps: list[tuple[str, int | None]], now: int) -> None:
    agenda, model = Agenda(), dict[str, float]()
    for name, moment in steps:
        if moment is None:
            agenda.remove(name)
            model.pop(name, None)
        else:
            agenda.set(name, float(moment))
            model[name] = float(moment)
    assert agenda.next_deadline() == min(model.values(), default=None)
    due = agenda.due(float(now))
    assert sorted(due) == sorted(name for name, moment in model.items() if moment <= now)
    assert [model[name] for name in due] == sorted(model[name] for name in due)
    assert len(agenda) == len(model) - len(due)
