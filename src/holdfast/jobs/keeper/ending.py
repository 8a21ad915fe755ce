"""The command's end: seen, brought about, and written down."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from .command import Command
from .records import ExitRecord

_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


class Ending:
    """Watches for the command's end and, when asked, makes it come: TERM, a time of grace, KILL.

    A command that was asked to end takes its process group along: its process is collected only when nobody
    holds its output any more or the time of grace is over, because until then the group's number is sure to
    be its own and can be signalled.
    """

    def __init__(self, command: Command, wall: Callable[[], float]) -> None:
        self._command = command
        self._wall = wall
        self._kill_at: float | None = None
        self._killed = False
        self.terminating = False
        self.record: ExitRecord | None = None
        """How it ended; None while it runs."""

    def terminate(self, grace_s: float, now: float) -> None:
        """Ask the command to end; KILL follows ``grace_s`` seconds from now at the latest.  May be repeated."""
        if self.record is not None:
            return
        kill_at = now + grace_s
        self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)
        if not self.terminating:
            self.terminating = True
            # A stopped command could not act on TERM.
            self._command.send_signal_to_all(signal.SIGTERM)
            self._command.send_signal_to_all(signal.SIGCONT)

    def look(self, *, output_held: bool) -> bool:
        """Whether the command ended since the last look.  ``output_held``: somebody still has its output open."""
        if self.record is not None or (self.terminating and output_held and not self._killed):
            return False
        pid, status, usage = os.wait4(self._command.pid, os.WNOHANG)
        if not pid:
            return False
        self._kill_at = None
        code = os.waitstatus_to_exitcode(status)
        self.record = ExitRecord(
            exit_code=code if code >= 0 else None,
            exit_signal=-code if code < 0 else None,
            ended_at=self._wall(),
            reason="terminated" if self.terminating else "exited",
            user_s=usage.ru_utime,
            system_s=usage.ru_stime,
            rss_bytes_max=usage.ru_maxrss * _RSS_UNIT_BYTES,
        )
        return True

    def next_deadline(self) -> float | None:
        """When the time of grace is over."""
        return self._kill_at

    def handle_timer(self, now: float) -> None:
        """Kill what did not go when asked."""
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._killed = True
            self._command.send_signal_to_all(signal.SIGKILL)
