"""A pid and a start time are one process; a pid alone is not."""

from __future__ import annotations

import os
import subprocess
import sys

from holdfast.procinfo import process_alive, process_start_time


def test_we_are_alive_and_started_once() -> None:
    started = process_start_time(os.getpid())
    assert started > 0
    assert process_start_time(os.getpid()) == started
    assert process_alive(os.getpid(), started)


def test_another_start_time_is_another_process() -> None:
    assert not process_alive(os.getpid(), process_start_time(os.getpid()) + 1)


def test_an_unknown_start_time_matches_any() -> None:
    assert process_alive(os.getpid(), 0.0)


def test_no_process_is_not_alive() -> None:
    for pid in (0, -1, 1 << 22):
        assert not process_alive(pid, 0.0)
        assert process_start_time(pid) == 0.0


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", ""], stdout=subprocess.PIPE) as process:
        started = process_start_time(process.pid)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not process_alive(process.pid, started)
