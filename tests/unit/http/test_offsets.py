"""Offsets and cursors: what is given out, and what is taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.http.offsets import cursor_at, offset_of, position_of, where_of

positions = st.integers(0, 10**16 - 1)
WALL = 1_795_000_000.0
NOW = int((WALL - 1_728_432_000) // 20)


@given(positions)
def test_an_offset_comes_back_as_its_position(position: int) -> None:
    assert position_of(offset_of(position)) == position
    assert position_of(str(position)) == position


@given(positions, positions)
def test_offsets_sort_as_their_positions(one: int, other: int) -> None:
    assert (offset_of(one) < offset_of(other)) == (one < other)


@given(positions)
def test_an_offset_is_one_harmless_token_and_no_sentinel(position: int) -> None:
    offset = offset_of(position)
    assert offset not in ("-1", "now")
    assert not set(offset) & set(",&=?/ ") and len(offset) < 256


@pytest.mark.parametrize(
    "text",
    ["", "_", "-2", "NOW", "1,2", "1 2", "../1", "1/2", "0_1", "12345678901234567", "\u0661", "1\n", "0" * 16 + "_x",
     "0" * 15 + "1_" + "0" * 16, "9" * 16 + "_" + "9" * 16, "1_" * 3],
)  # fmt: skip
def test_what_was_never_given_out_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        where_of(text)
    assert caught.value.field == "offset"


@given(st.text())
def test_any_text_is_a_place_or_a_usage_error(text: str) -> None:
    try:
        assert where_of(text) in ("start", "now") or isinstance(where_of(text), int)
    except UsageError:
        pass


def test_sentinels() -> None:
    assert where_of(None) == where_of("-1") == "start"
    assert where_of("now") == "now"
    assert where_of(offset_of(7)) == 7


def test_a_cursor_is_the_number_of_the_interval() -> None:
    assert cursor_at(WALL, None, 0.5) == str(NOW)
    assert cursor_at(WALL, str(NOW - 1), 0.5) == str(NOW)


@given(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_a_cursor_never_stays_where_it_was(ahead: int, jitter: float) -> None:
    echoed = NOW + ahead
    assert echoed < int(cursor_at(WALL, str(echoed), jitter)) <= echoed + 180


@pytest.mark.parametrize("echoed", ["", "abc", "-5", "1.5", "\u0661", "9" * 40])
def test_a_cursor_that_is_none_of_ours_counts_as_none(echoed: str) -> None:
    assert cursor_at(WALL, echoed, 0.0) == str(NOW)
