"""The job commands: one definition from which the node's dispatch, the clients' stubs and the docs are made.

Each method's name, parameters and result type are the wire: ``jobs.start`` carries ``{"spec": {...}}`` and
answers with a JobInfo object.  A ``bytes`` parameter travels as the frame's attachment.  ``job`` is a name,
an id, or an id's unique prefix everywhere.
"""

from __future__ import annotations

from typing import Protocol

from ..rpc.commands import Commands
from .model import InputReceipt, JobInfo, JobSpec, OutputStart


class JobsApi(Protocol):
    """What can be done with jobs."""

    async def start(self, spec: JobSpec) -> JobInfo:
        """Start a job; durable and running on return.

        Raises AlreadyExists for a name in use, CommandNotFound, CommandNotExecutable, UsageError for a bad
        field, LimitExceeded, StorageError.  No job is left behind by an error.
        """
        ...

    async def list(self, after: str = "") -> list[JobInfo]:
        """The jobs the caller may know of, by id: the first so many after the id ``after``.

        An empty answer says that there are no more; about ``jobs_page_bytes`` come at once.
        """
        ...

    async def get(self, job: str) -> JobInfo:
        """One job.  NotFound if there is none; UsageError for a prefix that fits several."""
        ...

    async def output(self, job: str, stream: int, from_offset: int = 0, follow: bool = True) -> OutputStart:
        """Open the job's output as stream number ``stream`` of this connection, which the caller chose.

        The stream is corked until the caller's first acknowledgement opens its window.  It ends with EOF when
        the output has ended, or, without ``follow``, at what is there now.  A negative ``from_offset`` counts
        back from the tail.  What was trimmed away comes as a gap.  UsageError beyond the tail.
        """
        ...

    async def send(
        self,
        job: str,
        data: bytes,
        session: str = "",
        sequence: int = 0,
        eof: bool = False,
        rows: int = 0,
        columns: int = 0,
    ) -> InputReceipt:
        """Give ``data``, then optionally end-of-file, to the command's input, in order within ``session``.

        ``sequence`` counts from 1 within a session; 0 or no session bypasses the ordering.  ``rows`` and
        ``columns``: the sender's own terminal, whose size the job's terminal has from then on, as that of whoever
        was active last; 0: it has none.  Returns when the
        keeper has applied it or, if the command does not read, has queued it.  LimitExceeded when the queue
        is full (nothing of ``data`` was taken); Conflict when the job has ended.
        """
        ...

    async def signal(self, job: str, signal: str) -> JobInfo:
        """Send a signal, by name (``INT`` or ``SIGINT``) or number, to the command's process group."""
        ...

    async def resize(self, job: str, rows: int, columns: int) -> None:
        """Set the terminal's size.  UsageError for a job without a terminal."""
        ...

    async def wait(self, job: str, timeout_s: float | None = None) -> JobInfo:
        """The job once it is done and its output complete.  DeadlineExceeded(phase="wait") after ``timeout_s``."""
        ...

    async def stop(self, job: str, grace_s: float = 10.0) -> JobInfo:
        """Ask the command to end: TERM, ``grace_s`` seconds, KILL; the job as it stands when it is done.

        Not reachable now: it is ended when its keeper is.  Stopping a done job changes nothing.
        """
        ...

    async def remove(self, job: str, force: bool = False) -> None:
        """Forget a done job and its output.  BusyError while it runs, unless ``force``, which kills it first."""
        ...


COMMANDS = Commands("jobs", JobsApi)
