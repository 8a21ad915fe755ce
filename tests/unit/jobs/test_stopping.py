"""Killing by pid, and only ever the process that was meant."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from holdfast.jobs.model import JobInfo
from holdfast.jobs.stopping import kill_processes
from holdfast.procinfo import process_start_time


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two that would wait for ever, each in a group of its own."""
    made = [
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, process_group=0) for _ in range(2)
    ]
    yield made
    for process in made:
        process.kill()
        process.communicate()


def info_of(command: subprocess.Popen[bytes], keeper: subprocess.Popen[bytes], *, late_s: float | None) -> JobInfo:
    """A job with these two; ``late_s`` is by how much its record of their starts is wrong, None: it has none."""
    starts = [None if late_s is None else process_start_time(process.pid) + late_s for process in (command, keeper)]
    return JobInfo(
        id="x",
        name="",
        state="running",
        pid=command.pid,
        pid_started=starts[0],
        keeper_pid=keeper.pid,
        keeper_started=starts[1],
    )


def test_what_was_started_for_the_job_is_killed(processes: list[subprocess.Popen[bytes]]) -> None:
    asyncio.run(kill_processes(info_of(*processes, late_s=0.0)))
    assert [process.wait() for process in processes] == [-9, -9]


@pytest.mark.parametrize("late_s", [1.0, -1.0, None])
def test_a_pid_that_may_be_somebody_elses_is_left_alone(
    processes: list[subprocess.Popen[bytes]], late_s: float | None
) -> None:
    asyncio.run(kill_processes(info_of(*processes, late_s=late_s)))
    assert [process.poll() for process in processes] == [None, None]


def test_a_job_that_never_had_processes_is_no_trouble() -> None:
    asyncio.run(kill_processes(JobInfo(id="x", name="", state="starting")))
