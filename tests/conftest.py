"""What tests of every tier share: short socket directories, and event loops that notice what was left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, Any]], Any]

os.environ["TERM"] = "xterm"  # bars are drawn or not whoever runs the tests, and wherever

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored, as all we start would
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # so has nohup

HANG_S = 100.0
"""A test that waits this long waits for nothing; generous, for a loaded machine."""


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """A fresh 0700 directory with a path short enough for unix sockets (107 bytes with their names)."""
    path = Path(tempfile.mkdtemp(prefix="hf", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def _warm_loops() -> None:
    """Let the loops open what they keep for the process's life, so that it does not look like a leak."""
    for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.sleep(0))


@pytest.fixture
def run(_warm_loops: None) -> Run:
    """``run(coroutine)`` on a fresh uvloop, as the node does; fails if a task or a file descriptor is left."""
    return lambda main: _run_leaving_nothing(main, uvloop.new_event_loop)


@pytest.fixture(params=["asyncio", "uvloop"])
def run_on_both(request: pytest.FixtureRequest, _warm_loops: None) -> Run:
    """``run`` once on the standard library's loop and once on uvloop."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    return lambda main: _run_leaving_nothing(main, factory)


def _run_leaving_nothing(main: Coroutine[Any, Any, T], loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> T:
    before = _open_fds()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        result = runner.run(_leaving_no_task(main))
    left = {fd: target for fd, target in _open_fds().items() if before.get(fd) != target}
    assert not left, f"file descriptors left open: {left}"
    return result


async def _leaving_no_task(main: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(HANG_S):
        result = await main
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left running: {left}"
    return result


def _open_fds() -> dict[int, str]:
    """Open descriptors of this process and what they are; empty where the system does not tell."""
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd").exists() else ():
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the descriptor the listing itself used
            continue
    return found
