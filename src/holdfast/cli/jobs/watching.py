"""Watching a job from a terminal: its output to the screen, what is typed to the job, until one of them ends."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple

from ...client.jobs.output import READ_BYTES, chunk_of
from ...errors import EXIT_LINK_LOST, Conflict, DeadlineExceeded, DisconnectedError, LimitExceeded, Unavailable
from ...jobs.api import JobsApi
from ...limits import LIMITS
from ...rpc.commands import command_of, invoke_blocking
from ..common import check_not_removed
from . import terminal
from .keys import DetachWatch, spell_keys
from .modes import ModeWatch
from .screen import Screen, leave_as, say, write_all
from .trouble import LOOK_S, TroubleNotice

if TYPE_CHECKING:
    from ...client.jobs.sync import SyncJob
    from ...client.sync import SyncNode
    from ...rpc.blocking.connection import BlockingConnection
    from ...streams import Item

REPLAY_BYTES = 64 * 1024
"""How much of the past an attach shows unless told otherwise: some screens full."""

_TYPED_BYTES_MAX = 64 * 1024
_INPUT_RETRY_S = 0.05
_ENDING = (signal.SIGTERM, signal.SIGHUP)
"""End the viewer, not the job, and leave the terminal as it was."""


class WatchOptions(NamedTuple):
    """How to watch."""

    from_offset: int
    read_only: bool = False
    detach_keys: bytes = b""
    announce: bool = False
    forward_eof: bool = True
    """The end of our input is the end of the job's: true for who started it, not for who looks in."""
    interrupts: terminal.HeldInterrupts | None = None
    """A Ctrl-C of while the job was started, which is for the job."""


def watch(node: SyncNode, job: SyncJob, options: WatchOptions) -> int:
    """Watch until the job ends, the user detaches or the link is lost; the exit code for each.  Blocks."""
    screen = Screen()
    name = job.name or job.id
    connection = node.connection()
    try:
        detached = _Watch(connection, job, options, screen).run()
        if not detached:
            return leave_as(job.wait())
    except SystemExit:
        with suppress(OSError):  # the terminal may be gone
            say(f"told to end; job {name} runs on; holdfast attach --from {screen.offset} {name}")
        raise
    except (DisconnectedError, Unavailable) as error:
        check_not_removed(connection, job)
        say(f"{error}")
        say(f"the link is lost, job {name} runs on; holdfast attach --from {screen.offset} {name}")
        return EXIT_LINK_LOST
    say(f"detached; job {name} runs on; holdfast attach --from {screen.offset} {name}")
    return 0


class _Watch:
    """One attachment.  At most one input call is under way, so that what is typed stays in order."""

    def __init__(self, connection: BlockingConnection, job: SyncJob, options: WatchOptions, screen: Screen) -> None:
        self._connection = connection
        self._job = job
        self._options = options
        self._screen = screen
        self._modes = ModeWatch()
        self._notice = TroubleNotice(connection, job)
        self._keys = DetachWatch(options.detach_keys)
        self._raw = terminal.stdin_is_tty() and job.info.tty
        self._input_open = self._raw or not options.read_only
        self._typed = b""
        self._eof_due = False
        self._call: int | None = None
        self._sent = (b"", False)
        self._session = os.urandom(8).hex()
        self._sequence = 0
        self._retry_at = 0.0

    def run(self) -> bool:
        """Whether the user detached; False: the output ended.  DisconnectedError if the link is lost."""
        reader = self._connection.open_reader(window_bytes=LIMITS.viewer_window_bytes)
        offset = self._options.from_offset
        start = invoke_blocking(self._connection, JobsApi.output, self._job.id, reader.stream_id, offset, True)
        self._screen.offset = start.start_offset
        with ExitStack() as stack:
            signals = stack.enter_context(terminal.SignalPipe(signal.SIGWINCH, signal.SIGINT, *_ENDING))
            if self._options.interrupts is not None and self._options.interrupts.take():
                self._interrupt()
            self._announce()
            if self._raw:
                stack.enter_context(terminal.raw_mode(signals=self._options.read_only))
                self._resize()
                if terminal.stdout_is_tty():
                    stack.callback(self._leave_screen)
            reader.start(start.start_offset)
            while True:
                while reader.readable:
                    if not self._show(reader.read(0.0, READ_BYTES)):
                        return False
                self._connection.check_usable()
                if self._turn(signals):
                    return True

    def _show(self, item: Item | None) -> bool:
        """Show one piece; False for the end."""
        if item is None:
            return True
        chunk = chunk_of(item)
        if chunk is not None:
            self._screen.show(chunk)
            if self._raw:
                self._modes.feed(chunk.data)
        return chunk is not None

    def _leave_screen(self) -> None:
        """The job may have asked for the mouse or another screen; who types here next has not."""
        undo = self._modes.undo()
        if undo:
            with suppress(OSError):  # the terminal is gone, and all that was done to it
                write_all(1, undo)

    def _announce(self) -> None:
        if not (self._options.announce and terminal.stderr_is_tty()):
            return
        name = self._job.name or self._job.id
        keys = f"; {spell_keys(self._options.detach_keys)} detaches" if self._raw and self._options.detach_keys else ""
        say(f"attached to {name} at offset {self._screen.offset}{keys}")

    def _turn(self, signals: terminal.SignalPipe) -> bool:
        """Wait for anything and act on it; whether the user detached."""
        wanted = [signals.fileno()]
        if self._input_open and len(self._typed) < _TYPED_BYTES_MAX:
            wanted.append(0)
        ready = self._connection.pump(self._patience_s(), also=wanted)
        if signals.fileno() in ready:
            self._handle(signals.take())
        if 0 in ready and self._read_input():
            return True
        self._notice.turn()
        self._finish_call()
        self._begin_call()
        return False

    def _patience_s(self) -> float:
        waiting = self._call is None and (self._typed or self._eof_due)
        return min(_INPUT_RETRY_S if waiting else LOOK_S, self._notice.due_in_s())

    def _handle(self, numbers: list[int]) -> None:
        if signal.SIGWINCH in numbers and self._raw:
            self._resize()
        for number in _ENDING:
            if number in numbers:
                raise SystemExit(128 + number)  # by way of whoever has to put the terminal right
        if signal.SIGINT in numbers:
            if self._options.read_only or not self._options.forward_eof:
                raise KeyboardInterrupt
            self._interrupt()

    def _interrupt(self) -> None:
        try:
            invoke_blocking(self._connection, JobsApi.signal, self._job.id, "INT")
        except Conflict:
            return  # it has ended; its last output is on the way

    def _resize(self) -> None:
        if self._options.read_only:
            return
        rows, columns = terminal.size()
        try:
            invoke_blocking(self._connection, JobsApi.resize, self._job.id, rows, columns)
        except Conflict:
            return  # it has ended; its last output is on the way
        except (DeadlineExceeded, Unavailable) as error:
            self._no_answer(error)

    # input

    def _read_input(self) -> bool:
        data = os.read(0, _TYPED_BYTES_MAX)
        if not data:
            self._input_open = False
            self._eof_due = self._options.forward_eof
            return False
        detach = False
        if self._raw:
            data, detach = self._keys.feed(data)
        if not self._options.read_only:
            self._typed += data
        return detach

    def _begin_call(self) -> None:
        if self._call is not None or self._connection.now() < self._retry_at:
            return
        if not self._typed and not self._eof_due:
            return
        data, self._typed = self._typed[:_TYPED_BYTES_MAX], self._typed[_TYPED_BYTES_MAX:]
        eof = self._eof_due and not self._typed
        self._sequence += 1
        size = terminal.size() if self._raw else (0, 0)  # whoever types last decides it
        given = (self._job.id, data, self._session, self._sequence, eof, *size)
        arguments = command_of(JobsApi.send).arguments(given, {})
        self._sent = (data, eof)
        self._eof_due = self._eof_due and not eof
        self._call = self._connection.begin_call(arguments.name, arguments.params, arguments.attachment)

    def _finish_call(self) -> None:
        if self._call is None:
            return
        try:
            if self._connection.take_reply(self._call) is None:
                return
        except LimitExceeded:
            self._take_back()
        except Conflict:
            self._input_open, self._typed, self._eof_due = False, b"", False  # it has ended
        except (DeadlineExceeded, Unavailable) as error:
            self._no_answer(error)
        self._call = None

    def _no_answer(self, error: DeadlineExceeded | Unavailable) -> None:
        """The job's keeper is not to be had, which says nothing about the link to the node: it is told, once."""
        self._connection.check_usable()
        say(f"{error}; what was typed may be lost")

    def _take_back(self) -> None:
        """The job does not read: try the same again a little later."""
        data, eof = self._sent
        self._typed = data + self._typed
        self._eof_due = self._eof_due or eof
        self._sequence -= 1
        self._retry_at = self._connection.now() + _INPUT_RETRY_S
