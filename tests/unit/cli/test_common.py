"""Durations, sizes, ages and states as people write and read them."""

from __future__ import annotations

import time

import click
import pytest

from holdfast.cli.common import DURATION, age_text, exit_code_of_job, print_table, state_text
from holdfast.jobs.model import DoneReason, JobInfo


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10.0), ("1.5s", 1.5), ("200ms", 0.2), ("5m", 300.0), ("2h", 7200.0), ("0", 0.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1", "inf", "nan", "5 parsecs"])
def test_bad_durations_say_what_would_be_good(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not a time"):
        DURATION.convert(text, None, None)


def test_ages_grow_coarser() -> None:
    now = time.time()
    assert age_text(now + 100) == "0s"
    assert [age_text(now - s) for s in (600, 10_800, 864_000)] == ["10m", "3h", "10d"]


def job(reason: DoneReason, code: int | None = None, number: int | None = None) -> JobInfo:
    return JobInfo(id="0" * 12, name="", state="done", done_reason=reason, exit_code=code, exit_signal=number)


@pytest.mark.parametrize(
    ("info", "text", "code"),
    [
        (job("exited", 0), "exited 0", 0),
        (job("exited", 7), "exited 7", 7),
        (job("terminated", None, 9), "killed 9", 137),
        (job("gone"), "gone", 125),
    ],
)
def test_ended_jobs(info: JobInfo, text: str, code: int) -> None:
    assert state_text(info) == text
    assert exit_code_of_job(info) == code


def test_a_running_job_shows_when_its_keeper_is_away() -> None:
    assert state_text(JobInfo(id="x", name="", state="running", link="connected")) == "running"
    assert state_text(JobInfo(id="x", name="", state="running")) == "running (disconnected)"


def test_tables_align(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "B", "C"), [("x", "100", "y"), ("long", "1", "z")], right=frozenset({1}))
    assert capsys.readouterr().out.splitlines() == ["A       B  C", "x     100  y", "long    1  z"]
