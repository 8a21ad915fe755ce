"""The token bucket, by a clock that stands still."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.channels.appending.rates import TokenBucket
from holdfast.clock import VirtualClock


def test_a_burst_goes_at_once_and_then_the_rate_holds() -> None:
    clock = VirtualClock()
    bucket = TokenBucket(10.0, 5, clock.now())
    assert [bucket.take(1, clock.now()) for _ in range(5)] == [0.0] * 5
    assert bucket.take(1, clock.now()) == pytest.approx(0.1)
    clock.advance(0.1)
    assert bucket.take(1, clock.now()) == 0.0
    assert bucket.take(2, clock.now()) == pytest.approx(0.2)


def test_what_is_refused_costs_nothing() -> None:
    bucket = TokenBucket(1.0, 3, 0.0)
    bucket.take(2, 0.0)
    for _ in range(5):
        assert bucket.take(2, 0.0) == pytest.approx(1.0)
    assert bucket.take(1, 0.0) == 0.0


def test_more_than_the_burst_goes_when_the_bucket_is_full_and_leaves_a_debt() -> None:
    bucket = TokenBucket(10.0, 5, 0.0)
    assert bucket.take(20, 0.0) == 0.0
    assert bucket.tokens(0.0) == -15
    assert bucket.take(1, 0.0) == pytest.approx(1.6)
    assert not bucket.full(1.9)
    assert bucket.full(2.0)


def test_it_never_holds_more_than_the_burst() -> None:
    bucket = TokenBucket(10.0, 5, 0.0)
    assert bucket.tokens(1e9) == 5


def test_a_clock_that_goes_back_gives_and_takes_nothing() -> None:
    bucket = TokenBucket(10.0, 5, 100.0)
    assert bucket.take(5, 100.0) == 0.0
    assert bucket.take(1, 50.0) > 0
    assert bucket.tokens(100.1) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0, 3)), max_size=30))
def test_over_any_time_no_more_goes_than_rate_and_burst_allow(steps: list[tuple[int, float]]) -> None:
    rate, burst = 7.0, 10
    bucket, now, taken = TokenBucket(rate, burst, 0.0), 0.0, 0
    for count, pause in steps:
        now += pause
        wait = bucket.take(count, now)
        if wait:
            now += wait + 1e-9
            assert bucket.take(count, now) == 0.0
        assert taken + min(count, burst) <= rate * now + burst + 1e-6
        taken += count
