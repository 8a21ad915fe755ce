"""The user's terminal: its size, raw mode, and the signals that matter while a job is watched."""

from __future__ import annotations

import os
import signal
import socket
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Self

_SIZE_IF_UNKNOWN = (24, 80)
_LFLAG = 3
"""Place of the local modes in what tcgetattr gives."""


def stdin_is_tty() -> bool:
    """Whether standard input is a terminal."""
    return _isatty(0)


def stdout_is_tty() -> bool:
    """Whether standard output is a terminal."""
    return _isatty(1)


def stderr_is_tty() -> bool:
    """Whether standard error is a terminal."""
    return _isatty(2)


def _isatty(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def size() -> tuple[int, int]:
    """Rows and columns of the terminal we run in; 24 x 80 if there is none."""
    for fd in (1, 0, 2):
        try:
            columns, rows = os.get_terminal_size(fd)
        except OSError:
            continue
        if rows and columns:
            return rows, columns
    return _SIZE_IF_UNKNOWN


@contextmanager
def raw_mode(*, signals: bool = False) -> Iterator[None]:
    """The terminal passes bytes both ways as they are: no echo, no line editing; as it was before on leaving.

    ``signals``: keys such as Ctrl-C still make signals here, for who only watches.
    """
    saved = termios.tcgetattr(0)
    try:
        tty.setraw(0, termios.TCSANOW)
        if signals:
            changed = termios.tcgetattr(0)
            changed[_LFLAG] |= termios.ISIG
            termios.tcsetattr(0, termios.TCSANOW, changed)
        yield
    finally:
        with suppress(termios.error):  # its window was closed: there is none to put right
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


class SignalPipe:
    """Turns signals into bytes on a socket, so that a select loop sees them like any other input.

    A signal that we were started to ignore, by ``nohup`` or by a shell for its background, stays ignored.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._numbers = numbers
        self._saved: dict[signal.Signals, object] = {}
        self._saved_fd = -1

    def __enter__(self) -> Self:
        self._saved_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._saved[number] = signal.signal(number, _noted)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._saved_fd)
        for number, handler in self._saved.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._read.close()
        self._write.close()

    def fileno(self) -> int:
        """Readable when a signal came."""
        return self._read.fileno()

    def take(self) -> list[int]:
        """The signals since the last call, in order."""
        try:
            return list(self._read.recv(64))
        except BlockingIOError:
            return []


def _noted(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor has it."""


class HeldInterrupts:
    """Ctrl-C waits while a job is started, for then there is a job that it is for; a second one does not wait."""

    def __init__(self) -> None:
        self._came = self._free = False
        self._saved: object = signal.SIG_IGN

    def __enter__(self) -> Self:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            self._saved = signal.signal(signal.SIGINT, self._hold)
        return self

    def __exit__(self, *_: object) -> None:
        if self._saved is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._saved)  # type: ignore[arg-type]

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self._came or self._free:
            raise KeyboardInterrupt
        self._came = True

    def take(self) -> bool:
        """Whether one came; from now on none is held."""
        self._free = True
        return self._came
