"""Counts in buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.histogram import COMMIT_S, Histogram


@given(st.lists(st.floats(0, 20)))
def test_each_value_is_counted_in_the_first_bucket_that_holds_it(values: list[float]) -> None:
    histogram = Histogram(COMMIT_S)
    for value in values:
        histogram.observe(value)
    found = histogram.cumulated()
    assert [bound for bound, _ in found] == [*COMMIT_S, float("inf")]
    assert [count for _, count in found] == [sum(value <= bound for value in values) for bound, _ in found]
    assert histogram.sum == sum(values)
