from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import (
    BusyError,
    CorruptionError,
    DeadlineExceeded,
    DisconnectedError,
    HoldfastError,
    InternalError,
    NotFound,
    PermissionDenied,
    RateLimited,
    StorageError,
    Unavailable,
    UsageError,
)
from holdfast.records.streaming.policy import Retry, retry_after_s, transient, unwell


@given(st.integers(1, 2_000), st.floats(0.001, 10), st.floats(0.001, 100), st.floats(0, 1, exclude_max=True))
def test_delays_are_drawn_under_a_doubling_ceiling(attempt: int, first_s: float, last_s: float, drawn: float) -> None:
    delay_s = Retry(first_s=first_s, last_s=last_s).delay_s(attempt, lambda: drawn)
    assert 0 <= delay_s <= last_s
    if attempt < 20:
        assert delay_s == pytest.approx(drawn * min(last_s, first_s * 2 ** (attempt - 1)))


def test_the_wish_of_who_refused_is_kept_and_the_jitter_comes_on_top() -> None:
    retry = Retry(first_s=1.0)
    assert retry.delay_s(1, lambda: 0.5, RateLimited(retry_after_s=3.0)) == 3.5
    assert retry.delay_s(1, lambda: 0.0, Unavailable(retry_after_s=2.0)) == 2.0
    assert retry_after_s(NotFound()) == retry_after_s(None) == 0.0


@pytest.mark.parametrize("name", ["attempts", "first_s", "last_s", "patience_s"])
def test_a_policy_that_makes_no_sense_names_its_field(name: str) -> None:
    with pytest.raises(UsageError, match=f"retry.{name}"):
        Retry(**{name: 0})


@pytest.mark.parametrize(
    ("error", "again", "server"),
    [
        (DisconnectedError(), True, True),
        (Unavailable(), True, True),
        (RateLimited(), True, False),
        (BusyError(), True, False),
        (DeadlineExceeded(safe_to_retry=True), True, True),
        (DeadlineExceeded(), False, True),
        (StorageError(), False, True),
        (CorruptionError(), False, True),
        (InternalError(), False, True),
        (NotFound(), False, False),
        (UsageError(), False, False),
        (PermissionDenied(), False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, HoldfastError) else str(value),
)
def test_what_is_worth_trying_again_and_what_tells_of_the_server(
    error: HoldfastError, again: bool, server: bool
) -> None:
    assert (transient(error), unwell(error)) == (again, server)
