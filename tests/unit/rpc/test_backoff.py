"""Reconnecting: full jitter, a ceiling, and what does and does not start it over."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from holdfast.clock import VirtualClock
from holdfast.limits import LIMITS
from holdfast.rpc.backoff import Backoff


def ceilings(backoff: Backoff, count: int) -> list[float]:
    found = []
    for _ in range(count):
        found.append(backoff.ceiling_s)
        backoff.next_delay_s(0.0)
    return found


def test_the_ceiling_doubles_to_its_limit() -> None:
    backoff = Backoff(lambda: 0.5)
    assert ceilings(backoff, 9) == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.attempts == 9
    assert backoff.next_delay_s(0.0) == 15.0


@given(st.integers(0, 2000), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_within_its_ceiling(attempts: int, drawn: float) -> None:
    backoff = Backoff(lambda: drawn)
    for _ in range(attempts):
        backoff.next_delay_s(0.0)
    assert 0 <= backoff.next_delay_s(0.0) <= LIMITS.reconnect_last_s


def test_data_or_ten_seconds_of_health_start_it_over_a_clean_close_does_not() -> None:
    backoff = Backoff(lambda: 0.0)
    ceilings(backoff, 5)
    backoff.opened(100.0)
    backoff.next_delay_s(109.9)
    assert backoff.attempts == 6, "opened and closed: nothing is proven"
    backoff.opened(100.0)
    backoff.next_delay_s(110.0)
    assert backoff.attempts == 1, "ten seconds of health"
    ceilings(backoff, 5)
    backoff.opened(200.0)
    backoff.data_flowed()
    backoff.next_delay_s(200.1)
    assert backoff.attempts == 1, "data flowed"


def test_health_of_one_connection_does_not_count_for_the_next() -> None:
    backoff = Backoff(lambda: 0.0)
    backoff.opened(0.0)
    backoff.data_flowed()
    backoff.next_delay_s(1.0)
    backoff.next_delay_s(1000.0)
    backoff.next_delay_s(2000.0)
    assert backoff.attempts == 3


def test_data_without_an_open_connection_is_no_health() -> None:
    backoff = Backoff(lambda: 0.0)
    ceilings(backoff, 3)
    backoff.data_flowed()
    backoff.next_delay_s(0.0)
    assert backoff.attempts == 4


def test_the_peers_wish_is_kept_and_jitter_comes_on_top() -> None:
    backoff = Backoff(lambda: 0.5)
    assert backoff.next_delay_s(0.0, retry_after_s=5.0) == 5.125


def test_regression_9_a_server_that_closes_cleanly_100_times() -> None:
    """The rate of dialing falls to one in 15 s on average, and two clients do not dial in step."""
    dialed: list[list[float]] = []
    for seed in (1, 2):
        clock, backoff, moments = VirtualClock(), Backoff(random.Random(seed).random), []
        for _ in range(100):
            moments.append(clock.now())
            backoff.opened(clock.now())
            clock.advance(0.001)
            clock.advance(backoff.next_delay_s(clock.now()))
        dialed.append(moments)
        assert 90 * 15 * 0.8 < clock.now() < 100 * 15 * 1.2
        first_minute = sum(moment < 60 for moment in moments)
        assert first_minute <= 20
        delays = [after - before for before, after in itertools.pairwise(moments[20:])]
        assert len({round(delay, 3) for delay in delays}) > 70, "jittered, not a beat"
    assert not set(dialed[0][1:]) & set(dialed[1][1:])
