"""Durations, sizes, ages and states as people write and read them."""

from __future__ import annotations

import time
from pathlib import Path

import click
import pytest

from holdfast.cli.common import (
    COMMAND,
    DURATION,
    KEY,
    SIGNAL,
    Whole,
    age_text,
    exit_code_of_job,
    print_table,
    state_text,
)
from holdfast.cli.jobs.keys import KEY_NAMES, key_bytes
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


def test_whole_numbers_of_what_they_are() -> None:
    apples = Whole("a number of apples", 2)
    assert [apples.convert(value, None, None) for value in ("2", "17", 5)] == [2, 17, 5]
    for text in ("1", "-3", "x", "", "2.5"):
        with pytest.raises(click.BadParameter, match=f"'{text}' is not a number of apples: a whole number from 2 on"):
            apples.convert(text, None, None)


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


def completed(kind: click.ParamType[str], typed: str, before: tuple[str, ...] = ()) -> list[str]:
    context = click.Context(click.Command("x"))
    context.params["word"] = before
    return [item.value for item in kind.shell_complete(context, click.Argument(["word"], nargs=-1), typed)]


def test_keys_and_signals_complete_by_name() -> None:
    assert completed(KEY, "c-c") == ["C-c"]
    assert completed(KEY, "page") == ["PageUp", "PageDown"]
    assert completed(SIGNAL, "us") == ["USR1", "USR2"]
    assert completed(SIGNAL, "SIGUS") == ["SIGUSR1", "SIGUSR2"]


def test_the_command_completes_to_programs_then_to_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "walker").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/nosuch")
    assert completed(COMMAND, "wal") == ["walker"]
    assert completed(COMMAND, "./wal") == ["./wal"]
    item = COMMAND.shell_complete(click.Context(click.Command("x")), click.Argument(["word"]), "a/b")[0]
    assert item.type == "file"
    assert completed(COMMAND, "wal", before=("python3",)) == ["wal"]


def test_each_key_offered_is_known() -> None:
    for name in KEY_NAMES:
        assert key_bytes(name)
