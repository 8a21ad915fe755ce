"""Output: from the command's terminal or pipes into the stream's buffer, as fast as it comes.

Read in turns of bounded size, after everything else the loop has to do, so that a flood never delays a
signal.  Nothing is read while the buffer would refuse it; that is what blocks a command.
"""

from __future__ import annotations

import os

from ...streams.sender import OutputSender
from .command import STDOUT, Command, grow_pipe
from .spill import SpillBuffer
from .watch import READ, Watch

TERMINAL_READ_BYTES = 16 * 1024
"""The kernel mostly hands out 4 KiB of a terminal at once, and rarely twice that."""
PIPE_READ_BYTES = 64 * 1024
TURN_BYTES = 256 * 1024
"""Read in one turn of the loop: 3 ms of a terminal's flood, and a signal waits no longer."""
PATIENCE_S = 0.25
"""How long a full ring waits for a node that is taking output before it spills: its pace is the command's then,
as any terminal's is, and the disk is spared.  A command that must not wait (drop-oldest) is not made to."""
DRAIN_IDLE_S = 0.5
"""After the command's end, output is over when it ends, or when nothing came for this long: a background
process that holds the terminal or pipe open does not keep a job from being done."""
DRAIN_S = 5.0
"""And after this long in any case, time during which the buffer was full not counted."""
RETRY_S = 1.0
"""A disk that refused is tried again this often."""


class Output:
    """Reads what the command prints and writes it to ``sender``, whose buffer is ``buffer``."""

    def __init__(self, command: Command, sender: OutputSender, buffer: SpillBuffer, watch: Watch) -> None:
        self._command = command
        self._sender = sender
        self._buffer = buffer
        self._watch = watch
        self._needed_bytes = min(TURN_BYTES, buffer.ring_bytes // 4)
        self._ready: dict[int, None] = {}
        self._grown: set[int] = set()
        self._left: tuple[bytes, int] | None = None
        """What was read and had no room, and its tag."""
        self._resume_at: float | None = None
        """While nothing is read for want of room: when to look again at the latest."""
        self._acknowledged = -1
        self._progress_at = 0.0
        self._idle_until: float | None = None
        self._drain_until: float | None = None
        self._hung_up_until: float | None = None
        self._watch_all()

    @property
    def ended(self) -> bool:
        """Whether no more will be written to the stream."""
        return not self._command.outputs and self._left is None

    @property
    def held(self) -> bool:
        """Whether somebody still has the other side open."""
        return bool(self._command.outputs) and not self._command.hung_up

    @property
    def paused(self) -> bool:
        """Whether nothing is read because there is no room."""
        return self._resume_at is not None

    def turn(self, now: float) -> int:
        """Read what is ready, within bounds; how many bytes.  To be called at the end of each turn of the loop."""
        if not self._ready or self.paused:
            return 0
        if self._patient(now):
            self._pause(now)
            return 0
        size = self._read_ready()
        self._ready.clear()
        if self._left is not None:
            self._pause(now)
        if self._command.hung_up:
            self._hung_up_until = now + RETRY_S
        if size and self._drain_until is not None:
            self._idle_until = now + DRAIN_IDLE_S
        return size

    def resume(self, now: float) -> None:
        """Room may have come: read on if so."""
        if not self.paused:
            return
        if self._left is not None:
            data, tag = self._left
            taken = self._sender.write(data, tag)
            self._left = (data[taken:], tag) if taken < len(data) else None
        if self._left is not None or self._buffer.full or self._patient(now):
            self._resume_at = self._look_again_at(now)
            return
        self._resume_at = None
        self._watch_all()
        if self._drain_until is not None:
            self.drain(now)

    def drain(self, now: float) -> None:
        """The command has ended: its output ends soon, by itself or by our patience."""
        self._idle_until = now + DRAIN_IDLE_S
        self._drain_until = now + DRAIN_S
        self._pick_up()

    def stop(self) -> None:
        """Read no more."""
        for fd in list(self._command.outputs):
            self._close(fd)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` has something to do."""
        if self.paused:
            return self._resume_at
        if self.ended or self._idle_until is None or self._drain_until is None:
            return self._hung_up_until
        return min(self._idle_until, self._drain_until)

    def handle_timer(self, now: float) -> None:
        """Time has passed: look for room again, or give up waiting for the end."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return
        if self.paused:
            self._buffer.retry()
            self.resume(now)
        elif self._command.hung_up:
            self._pick_up()
        else:
            self.stop()

    # reading

    def _read_ready(self) -> int:
        """One terminal until it is empty or the turn is over; pipes in turns of one read, for their order's sake."""
        room = TURN_BYTES
        if self._command.tty:
            for fd in tuple(self._ready):
                room -= self._read_terminal(fd, room)
            return TURN_BYTES - room
        while room > 0 and self._ready and self._left is None:
            for fd in tuple(self._ready):
                room -= self._read_pipe(fd)
                if self._left is not None:
                    break
        return TURN_BYTES - room

    def _read_terminal(self, fd: int, room: int) -> int:
        """The hot path of every job with a terminal: many small reads, then one write."""
        read = os.read
        parts: list[bytes] = []
        size = 0
        try:
            while size < room:
                data = read(fd, TERMINAL_READ_BYTES)
                if not data:
                    self._hang_up(fd)
                    break
                parts.append(data)
                size += len(data)
        except BlockingIOError:
            pass
        except OSError:
            # EIO: nobody holds the other side any more.  It comes after the last byte.
            self._hang_up(fd)
        if size:
            self._write(parts[0] if len(parts) == 1 else b"".join(parts), STDOUT)
        return size

    def _read_pipe(self, fd: int) -> int:
        tag = self._command.outputs[fd]
        try:
            data = os.read(fd, PIPE_READ_BYTES)
        except BlockingIOError:
            del self._ready[fd]
            return 0
        if not data:
            self._close(fd)
            return 0
        if len(data) == PIPE_READ_BYTES and fd not in self._grown:
            self._grown.add(fd)
            grow_pipe(fd)
        self._write(data, tag)
        return len(data)

    def _write(self, data: bytes, tag: int) -> None:
        taken = self._sender.write(data, tag)
        if taken < len(data):
            self._left = (data[taken:], tag)

    def _hang_up(self, fd: int) -> None:
        """Leave the terminal alone, open: closing it would send SIGHUP, and kill a command that is about to exit.

        One that lives on without it may open it again, or have it opened by a child; so look again now and then.
        """
        if self._drain_until is not None:
            self._close(fd)
            return
        self._command.hung_up = True
        self._ready.pop(fd, None)
        self._watch.forget(fd)

    def _pick_up(self) -> None:
        """See whether somebody has the terminal open again, or left something there."""
        self._command.hung_up = False
        self._hung_up_until = None
        if not self.paused:
            self._watch_all()

    def _watch_all(self) -> None:
        if self._command.hung_up:
            return
        for fd in self._command.outputs:
            self._watch.set(fd, READ, lambda fd=fd: self._ready.setdefault(fd))  # type: ignore[misc]

    def _close(self, fd: int) -> None:
        self._ready.pop(fd, None)
        self._watch.forget(fd)
        self._command.close_output(fd)

    # waiting for room

    def _pause(self, now: float) -> None:
        self._resume_at = self._look_again_at(now)
        for fd in self._command.outputs:
            self._watch.set(fd, READ, None)

    def _look_again_at(self, now: float) -> float:
        return self._progress_at + PATIENCE_S if self._patient(now) else now + RETRY_S

    def _patient(self, now: float) -> bool:
        """Whether the ring is full of what a node is taking right now, so that waiting beats spilling."""
        buffer, sender = self._buffer, self._sender
        if buffer.drop_oldest or buffer.spilled_bytes or buffer.ring_room >= self._needed_bytes:
            return False
        if not sender.connected or sender.corked:
            return False
        if sender.acknowledged != self._acknowledged:
            self._acknowledged = sender.acknowledged
            self._progress_at = now
        return now - self._progress_at < PATIENCE_S
