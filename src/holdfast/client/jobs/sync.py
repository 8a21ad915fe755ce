"""Jobs, as the blocking SDK shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Unpack

from ...ids import new_token
from ...jobs.api import JobsApi
from ...jobs.model import InputReceipt, JobInfo
from ...rpc.commands import invoke_blocking
from .spec import JobOptions, make_spec, signal_text

if TYPE_CHECKING:
    from ..channels.sync import SyncChannel, SyncChannels
    from ..sync_link import SyncLink
    from .sync_output import SyncOutput


class SyncJobs:
    """The jobs of a node."""

    def __init__(self, link: SyncLink, channels: Callable[[], SyncChannels]) -> None:
        self._link = link
        self._channels = channels

    def start(self, command: Sequence[str], **options: Unpack[JobOptions]) -> SyncJob:
        """As :meth:`holdfast.Jobs.start`; blocks until the command runs."""
        spec = make_spec(command, **options)
        info = self._link.do(JobsApi.start, spec)
        return self._job(info)

    def get(self, job: str) -> SyncJob:
        """The job of that name, id or unique beginning of an id.  NotFound if there is none."""
        return self._job(self._link.ask(JobsApi.get, job))

    def list(self) -> list[SyncJob]:
        """All jobs the node knows, oldest first."""
        found: list[JobInfo] = []
        while page := self._page(found[-1].id if found else ""):
            found += page
        return [self._job(info) for info in sorted(found, key=lambda info: info.created_at)]

    def _page(self, after: str) -> Sequence[JobInfo]:
        return self._link.ask(JobsApi.list, after)

    def _job(self, info: JobInfo) -> SyncJob:
        return SyncJob(self._link, self._channels, info)


class SyncJob:
    """One job.  ``info`` is what was last heard of it; :meth:`refresh` asks again."""

    def __init__(self, link: SyncLink, channels: Callable[[], SyncChannels], info: JobInfo) -> None:
        self._link = link
        self._channels = channels
        self.info = info
        self._session = new_token(8)
        self._sequence = 0

    @property
    def id(self) -> str:
        """The job's id; never changes."""
        return self.info.id

    @property
    def name(self) -> str:
        """The job's name, or an empty string."""
        return self.info.name

    def refresh(self) -> JobInfo:
        """The job as it stands now."""
        self.info = self._link.ask(JobsApi.get, self.id)
        return self.info

    def channel(self, name: str) -> SyncChannel:
        """The job's channel ``name``, without asking whether it is there."""
        return self._channels().channel(f"{self.id}/{name}")

    def output(self, from_offset: int = 0, *, follow: bool = True) -> SyncOutput:
        """The output from an offset on; as :meth:`holdfast.Job.output`, each step blocking."""
        from .sync_output import SyncOutput  # and streams with it, which most commands do without

        return SyncOutput(self._link, self.id, from_offset, follow=follow)

    def send(self, data: bytes | str, *, eof: bool = False) -> InputReceipt:
        """Give input to the command, in order with this object's other sends; then end-of-file if ``eof``.

        DisconnectedError if the link broke meanwhile: it may or may not have been applied.
        """
        body = data.encode() if isinstance(data, str) else data
        self._sequence += 1
        given = (self.id, body, self._session, self._sequence, eof)
        return self._link.do(JobsApi.send, *given)

    def signal(self, signal: str | int) -> None:
        """Send a signal, by name or number (``signal.SIGHUP``), to the command's process group."""
        self.info = self._link.do(JobsApi.signal, self.id, signal_text(signal))

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the command's terminal."""
        self._link.do(JobsApi.resize, self.id, rows, columns)

    def wait(self, timeout_s: float | None = None) -> JobInfo:
        """Block until the job has ended and its output is complete; DeadlineExceeded after ``timeout_s``."""
        until = None if timeout_s is None else time.monotonic() + timeout_s

        def ask() -> JobInfo:
            left_s = None if until is None else max(0.0, until - time.monotonic())
            return invoke_blocking(self._link.connection(), JobsApi.wait, self.id, left_s)

        self.info = self._link.again(ask)
        return self.info

    def stop(self, grace_s: float = 10.0) -> JobInfo:
        """TERM, ``grace_s`` seconds, KILL; blocks until the job has ended.  Idempotent."""
        self.info = self._link.ask(JobsApi.stop, self.id, grace_s)
        return self.info

    def remove(self, *, force: bool = False) -> None:
        """Forget the job and its output.  BusyError while it runs, unless ``force``."""
        self._link.do(JobsApi.remove, self.id, force)
