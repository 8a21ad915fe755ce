"""Input: what the queue hands out, carried out on the command, without ever blocking the loop."""

from __future__ import annotations

import os
import termios
from collections.abc import Callable
from typing import NamedTuple

from ...errors import Conflict, HoldfastError
from .command import Command
from .input_queue import InputQueue, Item
from .watch import WRITE, Watch

WRITE_BYTES = 64 * 1024
_LOCAL_MODES = 3
_NEWLINES = b"\n\r"


class Bytes(NamedTuple):
    """Bytes to type or write, and then, perhaps, the end of input."""

    data: bytes
    eof: bool = False


class Signal(NamedTuple):
    """A signal, by number."""

    number: int


class Resize(NamedTuple):
    """The terminal's new size."""

    rows: int
    columns: int


Action = Bytes | Signal | Resize
OnDone = Callable[[Item, HoldfastError | None], None]


class Input:
    """Gives ``queue``'s items to ``command`` one after the other; ``on_done`` hears of each, once."""

    def __init__(self, command: Command, queue: InputQueue, watch: Watch, on_done: OnDone) -> None:
        self._command = command
        self._watch = watch
        self._on_done = on_done
        self._rest: memoryview | None = None
        """What is left of the first item's bytes, once it was begun."""
        self._at_line_start = True
        self.queue = queue
        self.closed = False
        """Whether the command can be given no more, and so nothing is queued."""

    def put(self, action: Action, now: float, session: str, sequence: int) -> int:
        """Queue ``action``; its number.  LimitExceeded if the queue is full, Conflict if input has ended."""
        if self.closed:
            raise _ended()
        size = len(action.data) if isinstance(action, Bytes) else 0
        return self.queue.put(action, now, size_bytes=size, session=session, sequence=sequence)

    def pump(self) -> None:
        """Carry out what can be without waiting."""
        while not self.closed and (item := self.queue.first()) is not None:
            if not self._perform(item.action):
                if not self.closed and not self._command.hung_up:  # which would be called ready without end
                    self._watch.set(self._command.input_fd, WRITE, self.pump)
                return
            self._on_done(self.queue.finish(), None)
        if not self.closed:
            self._watch.set(self._command.input_fd, WRITE, None)

    def close(self) -> None:
        """Input has ended, by the command's end or by its own: what waits will never be applied.  Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._rest = None
        if self._command.input_fd >= 0:
            self._watch.set(self._command.input_fd, WRITE, None)
            if not self._command.tty:
                self._command.close_input()
        for item in self.queue.clear():
            self._on_done(item, _ended())

    def _perform(self, action: Action) -> bool:
        """Carry out ``action``, or go on with it; whether it is done."""
        match action:
            case Signal(number):
                self._command.send_signal(number)
            case Resize(rows, columns):
                self._command.resize(rows, columns)
            case Bytes(data, eof):
                if self._rest is None:
                    self._rest = memoryview(self._keys(data, eof=eof))
                if not self._write():
                    return False
                self._rest = None
                if eof and not self._command.tty:
                    self._finish_and_close()
                    return False
        return True

    def _finish_and_close(self) -> None:
        self._on_done(self.queue.finish(), None)
        self.close()

    def _write(self) -> bool:
        assert self._rest is not None
        try:
            while self._rest:
                self._rest = self._rest[os.write(self._command.input_fd, self._rest[:WRITE_BYTES]) :]
        except BlockingIOError:
            return False
        except OSError:
            # EPIPE, EIO: the command will not read any more.
            self.close()
            return False
        return True

    def _keys(self, data: bytes, *, eof: bool) -> bytes:
        """``data`` as it is to be written; at a terminal with what a user would type to end input.

        There the key only ends input at the start of a line; within one it delivers the line, and a second
        ends.  A program that reads raw keys gets just the key.
        """
        if not self._command.tty:
            return data
        if data:
            self._at_line_start = data[-1] in _NEWLINES
        if not eof:
            return data
        key = self._command.end_of_file_byte()
        twice = not self._at_line_start and self._is_line_mode()
        self._at_line_start = True
        return data + key * (2 if twice else 1)

    def _is_line_mode(self) -> bool:
        modes: int = termios.tcgetattr(self._command.input_fd)[_LOCAL_MODES]
        return bool(modes & termios.ICANON)


def _ended() -> Conflict:
    return Conflict("the job's input has ended", expected="open", actual="ended")
