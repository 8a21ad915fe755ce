"""Limits from the environment."""

from __future__ import annotations

import pytest

from holdfast.errors import UsageError
from holdfast.limits import LIMITS
from holdfast.settings import limits_from


def test_nothing_set_changes_nothing() -> None:
    assert limits_from({"HOME": "/"}) is LIMITS


def test_sizes_counts_and_durations() -> None:
    env = {
        "HOLDFAST_LIMIT_SPILL_BYTES_MAX": "256MiB",
        "HOLDFAST_LIMIT_JOBS_MAX": "3",
        "HOLDFAST_LIMIT_JOB_RETENTION_S": "2h",
    }
    found = limits_from(env)
    assert (found.spill_bytes_max, found.jobs_max, found.job_retention_s) == (256 * 1024**2, 3, 7200.0)


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("HOLDFAST_LIMIT_SPILL_BYTES", "1", "did you mean HOLDFAST_LIMIT_SPILL_BYTES_MAX"),
        ("HOLDFAST_LIMIT_COUNT", "1", "there is no limit"),
        ("HOLDFAST_LIMIT_JOBS_MAX", "many", "HOLDFAST_LIMIT_JOBS_MAX: 'many' is not a size"),
        ("HOLDFAST_LIMIT_STALL_S", "soon", "HOLDFAST_LIMIT_STALL_S: 'soon' is not a time"),
        ("HOLDFAST_LIMIT_STALL_S", "1ms", "stall_s contradict"),
    ],
)
def test_a_bad_one_is_named(variable: str, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        limits_from({variable: text})
