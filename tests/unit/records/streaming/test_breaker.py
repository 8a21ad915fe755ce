from __future__ import annotations

import pytest

from holdfast.errors import UsageError
from holdfast.records.streaming.breaker import BreakerState, CircuitBreaker


def state(breaker: CircuitBreaker) -> BreakerState:
    return breaker.state


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker, who = CircuitBreaker(failures=3, open_s=5.0), object()
    for now in (1.0, 2.0):
        breaker.failed(who, now)
    breaker.succeeded(who)
    for now in (3.0, 4.0):
        breaker.failed(who, now)
        assert breaker.try_pass(who, now)
    breaker.failed(who, 5.0)
    assert state(breaker) is BreakerState.OPEN
    assert breaker.closes_at() == 10.0
    assert not breaker.try_pass(who, 9.9)


def opened() -> tuple[CircuitBreaker, object, object]:
    breaker, one, other = CircuitBreaker(failures=1, open_s=5.0), object(), object()
    breaker.failed(one, 0.0)
    return breaker, one, other


def test_half_open_lets_one_item_of_all_through() -> None:
    breaker, one, other = opened()
    assert breaker.try_pass(one, 5.0)
    assert state(breaker) is BreakerState.HALF_OPEN
    assert breaker.closes_at() is None
    assert not breaker.try_pass(one, 5.0)
    assert not breaker.try_pass(other, 100.0)
    breaker.succeeded(other)  # an old item of another stream tells nothing
    assert not breaker.try_pass(other, 100.0)
    breaker.succeeded(one)
    assert state(breaker) is BreakerState.CLOSED
    assert breaker.try_pass(other, 100.0)


def test_a_probe_that_fails_opens_it_again() -> None:
    breaker, one, other = opened()
    assert breaker.try_pass(one, 5.0)
    breaker.failed(other, 6.0)
    assert state(breaker) is BreakerState.HALF_OPEN
    breaker.failed(one, 7.0)
    assert breaker.closes_at() == 12.0
    assert breaker.opened == 2
    breaker.failed(one, 8.0)
    assert breaker.closes_at() == 12.0


def test_whoever_leaves_gives_the_probe_back() -> None:
    breaker, one, other = opened()
    assert breaker.try_pass(one, 5.0)
    breaker.give_back(other)
    assert not breaker.try_pass(other, 5.0)
    breaker.give_back(one)
    assert breaker.try_pass(other, 5.0)


@pytest.mark.parametrize("options", [{"failures": 0}, {"open_s": 0.0}])
def test_a_breaker_that_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        CircuitBreaker(**options)  # type: ignore[arg-type]
