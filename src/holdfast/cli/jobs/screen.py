"""Where a job's output goes: its bytes to standard output and error, our words to standard error."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ..common import exit_code_of_job

if TYPE_CHECKING:
    from ...client.jobs.output import OutputChunk
    from ...jobs.model import JobInfo


class Screen:
    """Writes chunks as they are, unbuffered; remembers where the next one begins."""

    def __init__(self) -> None:
        self.offset = 0

    def show(self, chunk: OutputChunk) -> None:
        """Write one chunk; a gap becomes a line on standard error.  Blocks while the reader is slow."""
        if chunk.gap_bytes:
            say(f"gap: {chunk.gap_bytes} bytes of output at offset {chunk.offset} are lost")
        elif chunk.data:
            write_all(2 if chunk.source == "stderr" else 1, chunk.data)
        self.offset = chunk.end


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``; BrokenPipeError if nobody reads."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            _wait_writable(fd)


def leave_with_reader() -> None:
    """From now on end, with 141, as soon as the pipe printed into has no reader: it may stay quiet for hours."""
    from stat import S_ISFIFO

    try:
        piped = S_ISFIFO(os.fstat(1).st_mode)
    except OSError:  # there is no standard output
        return
    if piped:
        from threading import Thread

        Thread(target=_await_no_reader, daemon=True).start()


def _await_no_reader() -> None:
    import select

    poller = select.poll()
    poller.register(1, 0)  # an end without its other end is always told
    while not poller.poll():
        pass
    os._exit(141)


def _wait_writable(fd: int) -> None:
    import select

    select.select([], [fd], [])


def say(words: str, *, end: str = "\n") -> None:
    """A line of ours, on standard error; the carriage return serves a terminal in raw mode."""
    lead = "\r" if sys.stderr.isatty() else ""
    write_all(2, f"{lead}holdfast: {words}{lead}{end}".encode())


def leave_as(info: JobInfo) -> int:
    """The exit code of a command that stands for the job; why, if the job has none of its own."""
    if info.exit_code is None and info.exit_signal is None:
        say(f"job {info.name or info.id} has no exit code, it is {info.done_reason}: {info.error}")
    return exit_code_of_job(info)
