"""Leaving the parent: what makes a process a keeper that outlives the node which asked for it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

LOG_BYTES_MAX = 1 << 20
"""A keeper says little; one that says more than this has nothing new to say."""


_IGNORED = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ})
"""What a keeper does not die of; its command is given the default back, see :func:`reset_signals`."""


def default_signals() -> None:
    """Undo what the node may have set, once for all processes to come: nothing blocked, all default but a few."""
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN if number in _IGNORED else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def reset_signals() -> None:
    """For a command about to be executed: as a program expects to find them."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)


def detach(child: Callable[[], None]) -> int:
    """Run ``child`` in a process that is no child of this one; the pid of the process between, to be waited for.

    Twice forked, with a session in between: init owns the keeper, and it can never get a controlling terminal.
    """
    between = os.fork()
    if between:
        return between
    try:
        os.setsid()
        if os.fork() == 0:
            _run(child)
    finally:
        os._exit(0)


def _run(child: Callable[[], None]) -> NoReturn:
    """Call ``child`` in a process that must not return into its parent's code."""
    status = 1
    try:
        child()
        status = 0
    except BaseException as error:  # noqa: BLE001 - the last resort: say it and go
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(status)


def settle_in(log_path: str) -> None:
    """Let go of the parent's world: working directory, standard streams.

    Standard input becomes empty, output and errors go to ``log_path`` (mode 0600).
    """
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDONLY)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, fd in ((0, null), (1, log), (2, log)):
        os.dup2(fd, target)
    for fd in {null, log} - {0, 1, 2}:
        os.close(fd)
    _name_process(b"holdfast-keeper")


def _name_process(name: bytes) -> None:
    """What ``ps`` and ``top`` show, where the system has a file for it."""
    try:
        fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(fd, name[:15])
    finally:
        os.close(fd)


class Log:
    """Lines on standard error, which is the keeper's log file; bounded."""

    __slots__ = ("_left_bytes",)

    def __init__(self) -> None:
        self._left_bytes = LOG_BYTES_MAX

    def __call__(self, text: str) -> None:
        """Write ``text`` with the time before it."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f"{moment} {text}\n".encode(errors="replace")
        if len(line) > self._left_bytes:
            return
        self._left_bytes -= len(line)
        try:
            os.write(2, line)
        except OSError:
            pass
