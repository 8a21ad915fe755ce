"""Jobs, as the async SDK shows them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Unpack

from ...channels.model import channel_id
from ...errors import DisconnectedError
from ...ids import new_token
from ...jobs.api import JobsApi
from ...jobs.model import InputReceipt, JobInfo
from ...limits import LIMITS
from ...rpc.aio.connection import AsyncConnection
from ...rpc.aio.streams import AsyncReader
from ...rpc.commands import invoke
from ..channels.aio import Channel, Channels
from ..link import Link
from .output import READ_BYTES, OutputChunk, chunk_of
from .spec import JobOptions, make_spec, signal_text


class Jobs:
    """The jobs of a node."""

    def __init__(self, link: Link, channels: Channels) -> None:
        self._link = link
        self._channels = channels

    async def start(self, command: Sequence[str], **options: Unpack[JobOptions]) -> Job:
        """Start ``command`` (a list; no shell) as a job; running and durable on return.

        ``options``: see :class:`JobOptions`.  Raises AlreadyExists for a name in use, CommandNotFound,
        CommandNotExecutable, UsageError, LimitExceeded, StorageError.  DisconnectedError: the link broke
        meanwhile and the job may have been started; with a ``name`` :meth:`get` tells.  Cancelling does not
        undo a start under way.
        """
        spec = make_spec(command, **options)
        return self._job(await self._link.do(JobsApi.start, spec))

    async def get(self, job: str) -> Job:
        """The job of that name, id or unique beginning of an id.  NotFound if there is none."""
        return self._job(await self._link.ask(JobsApi.get, job))

    async def list(self) -> list[Job]:
        """All jobs the node knows, oldest first."""
        found: list[JobInfo] = []
        while page := await self._page(found[-1].id if found else ""):
            found += page
        return [self._job(info) for info in sorted(found, key=lambda info: info.created_at)]

    async def _page(self, after: str) -> Sequence[JobInfo]:
        return await self._link.ask(JobsApi.list, after)

    def _job(self, info: JobInfo) -> Job:
        return Job(self._link, self._channels, info)


class Job:
    """One job.  ``info`` is what was last heard of it; :meth:`refresh` asks again."""

    def __init__(self, link: Link, channels: Channels, info: JobInfo) -> None:
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

    async def refresh(self) -> JobInfo:
        """The job as it stands now."""
        self.info = await self._link.ask(JobsApi.get, self.id)
        return self.info

    def channel(self, name: str) -> Channel:
        """The job's channel ``name``, without asking whether it is there."""
        return self._channels.channel(channel_id(self.id, name))

    def output(self, from_offset: int = 0, *, follow: bool = True) -> JobOutput:
        """The output from an offset on, as an async iterator of :class:`OutputChunk`.

        A negative ``from_offset`` counts back from what there is now.  With ``follow`` it ends when the job's
        output has ended and every byte was given; without, at what is there now.  A cut link is dialled again
        and the iteration goes on at the next byte: none is missed or given twice.
        """
        return JobOutput(self._link, self.id, from_offset, follow=follow)

    async def send(self, data: bytes | str, *, eof: bool = False) -> InputReceipt:
        """Give input to the command, in order with this object's other sends; then end-of-file if ``eof``.

        The receipt tells whether it was applied or still waits because the command does not read.
        Raises LimitExceeded when the keeper's queue is full (nothing was taken) and Conflict when the job has
        ended.  DisconnectedError: the link broke meanwhile; it may or may not have been applied.
        """
        body = data.encode() if isinstance(data, str) else data
        self._sequence += 1
        sequence = self._sequence
        return await self._link.do(JobsApi.send, self.id, body, self._session, sequence, eof)

    async def signal(self, signal: str | int) -> None:
        """Send a signal, by name or number (``signal.SIGHUP``), to the command's process group."""
        self.info = await self._link.do(JobsApi.signal, self.id, signal_text(signal))

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of the command's terminal.  UsageError if it has none."""
        await self._link.do(JobsApi.resize, self.id, rows, columns)

    async def wait(self, timeout_s: float | None = None) -> JobInfo:
        """Wait until the job has ended and its output is complete; DeadlineExceeded after ``timeout_s``.

        Goes on over cut links; cancel-safe.
        """
        loop = asyncio.get_running_loop()
        until = None if timeout_s is None else loop.time() + timeout_s

        async def ask(connection: AsyncConnection) -> JobInfo:
            left_s = None if until is None else max(0.0, until - loop.time())
            return await invoke(connection, JobsApi.wait, self.id, left_s)

        self.info = await self._link.again(ask)
        return self.info

    async def stop(self, grace_s: float = 10.0) -> JobInfo:
        """TERM, ``grace_s`` seconds, KILL; the job as it stands when it has ended.  Idempotent."""
        self.info = await self._link.ask(JobsApi.stop, self.id, grace_s)
        return self.info

    async def remove(self, *, force: bool = False) -> None:
        """Forget the job and its output.  BusyError while it runs, unless ``force``, which kills it first."""
        await self._link.do(JobsApi.remove, self.id, force)


class JobOutput:
    """A job's output from an offset on; an async iterator that outlives cut links.

    ``offset`` is where the next chunk begins: keep it, and another iterator can go on from there.  Cancelling
    a step loses nothing: the next step gives what that one would have.  One that is dropped stops watching.
    """

    def __init__(self, link: Link, job_id: str, from_offset: int, *, follow: bool) -> None:
        self._link = link
        self._job_id = job_id
        self._follow = follow
        self._reader: AsyncReader | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.offset = from_offset

    def __aiter__(self) -> AsyncIterator[OutputChunk]:
        return self

    async def __anext__(self) -> OutputChunk:
        chunk = await self._link.again(self._read_once)
        if chunk is None:
            await self.aclose()
            raise StopAsyncIteration
        self.offset = chunk.end
        return chunk

    async def aclose(self) -> None:
        """Stop watching; the job runs on.  Idempotent."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __del__(self) -> None:
        """A loop that was left by ``break`` or cancelled must not stay a viewer until the link is closed."""
        if self._reader is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the link with it
                self._loop.call_soon_threadsafe(self._reader.close)

    async def _read_once(self, connection: AsyncConnection) -> OutputChunk | None:
        reader = self._reader or await self._open(connection)
        try:
            return chunk_of(await reader.read(READ_BYTES))
        except DisconnectedError:
            self._reader = None
            raise

    async def _open(self, connection: AsyncConnection) -> AsyncReader:
        reader = connection.open_reader(window_bytes=LIMITS.viewer_window_bytes)
        try:
            start = await invoke(connection, JobsApi.output, self._job_id, reader.stream_id, self.offset, self._follow)
        except BaseException:
            reader.close()
            raise
        reader.start(start.start_offset)
        self.offset = start.start_offset
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        return reader
