"""What of a job's description is refused."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from holdfast.errors import LimitExceeded, UsageError
from holdfast.jobs.model import JobSpec
from holdfast.jobs.validate import check_spec, check_window_size, signal_number
from holdfast.limits import LIMITS

GOOD = JobSpec(command=["true"], cwd="/")


def test_a_good_one_is_given_back() -> None:
    assert check_spec(GOOD, LIMITS) is GOOD


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (replace(GOOD, command=[]), "spec.command"),
        (replace(GOOD, command=[""]), "spec.command"),
        (replace(GOOD, command=["a\0b"]), "spec.command"),
        (replace(GOOD, name="-x"), "spec.name"),
        (replace(GOOD, name="a/b"), "spec.name"),
        (replace(GOOD, name="x" * 200), "spec.name"),
        (replace(GOOD, cwd="relative"), "spec.cwd"),
        (replace(GOOD, cwd="/a\0"), "spec.cwd"),
        (replace(GOOD, env={"A=B": "c"}), "spec.env"),
        (replace(GOOD, env={"": "c"}), "spec.env"),
        (replace(GOOD, env={"A": "\0"}), "spec.env"),
        (replace(GOOD, rows=0), "spec.rows"),
        (replace(GOOD, columns=65_536), "spec.columns"),
        (replace(GOOD, umask=0o1000), "spec.umask"),
        (replace(GOOD, umask=-1), "spec.umask"),
        (replace(GOOD, command=["x" * 4096]), "spec.command"),
        (replace(GOOD, cwd="/" * 4096), "spec.cwd"),
        (replace(GOOD, spill_bytes_max=-1), "spec.spill_bytes_max"),
        (replace(GOOD, ulimits={"colour": 1}), "spec.ulimits"),
        (replace(GOOD, ulimits={"nofile": -2}), "spec.ulimits"),
    ],
)
def test_a_bad_field_is_named(bad: JobSpec, field: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_spec(bad, LIMITS)
    assert caught.value.field == field
    assert str(caught.value).startswith(field)


@pytest.mark.parametrize(
    ("bad", "limit"),
    [
        (replace(GOOD, command=["true", "x" * LIMITS.command_bytes_max]), "command_bytes_max"),
        (replace(GOOD, spill_bytes_max=LIMITS.spill_bytes_max + 1), "spill_bytes_max"),
    ],
)
def test_a_limit_is_named_with_its_value(bad: JobSpec, limit: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        check_spec(bad, LIMITS)
    assert caught.value.name == limit
    assert caught.value.limit == getattr(LIMITS, limit)


@pytest.mark.parametrize("text", ["INT", "SIGINT", "sigint", "int", "2"])
def test_signals_by_name_and_number(text: str) -> None:
    assert signal_number(text) == signal.SIGINT


@pytest.mark.parametrize("text", ["", "NOSUCH", "0", "999", "-9", "SIG", "\N{ARABIC-INDIC DIGIT NINE}"])
def test_no_signal(text: str) -> None:
    with pytest.raises(UsageError, match="not a signal"):
        signal_number(text)


def test_window_sizes() -> None:
    check_window_size(1, 65_535)
    with pytest.raises(UsageError, match="columns: 0"):
        check_window_size(5, 0)
