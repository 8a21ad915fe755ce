"""Output, one step: from the keeper's stream into the job's log, acknowledging only what is durable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..errors import DisconnectedError, StorageError
from ..streams import Chunk, End, Failed, Gap
from .record import log_name

if TYPE_CHECKING:
    from ..engine.base import Log
    from ..limits import Limits
    from ..rpc.aio.streams import AsyncReader
    from .job import Job

READ_BYTES = 1 << 20
"""Most bytes taken from the stream for one append: a few packets, one packed row."""


class OutputPump:
    """Moves one connection's output of one job.

    Appends are started in order and awaited together, so that the next packets travel while the last ones
    are being made durable; how many can be under way is bounded by the stream's window, because what is not
    acknowledged stays in it.
    """

    def __init__(self, job: Job, log: Log, reader: AsyncReader, limits: Limits) -> None:
        self._job = job
        self._log = log
        self._reader = reader
        self._name = log_name(job.id)
        self._bytes_max = limits.job_output_bytes_max
        self._pending: set[asyncio.Future[int]] = set()
        self._failure: BaseException | None = None
        self._next = job.tail
        self._trimming: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until the output's end is in the log.

        Raises DisconnectedError when the link is cut and StorageError when the engine cannot store; in both
        cases the keeper still has what was not acknowledged.
        """
        try:
            while await self._step():
                pass
            await self._settle()
        finally:
            await self._abandon()
        await self._log.close(self._name)
        self._job.output_ended = True

    async def _step(self) -> bool:
        item = await self._reader.read(READ_BYTES)
        if self._failure is not None:
            raise self._failure
        match item:
            case Chunk(_, data, tag):
                self._start(self._log.append(self._name, bytes(data), tag=tag, expected_tail=self._next), len(data))
            case Gap(_, length):
                self._start(self._log.skip(self._name, length, expected_tail=self._next), length)
            case End() | Failed():
                return False
        return True

    def _start(self, append: object, length: int) -> None:
        future = asyncio.ensure_future(append)  # type: ignore[call-overload]
        self._next += length
        self._pending.add(future)
        future.add_done_callback(self._appended)

    def _appended(self, future: asyncio.Future[int]) -> None:
        self._pending.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            if self._failure is None:  # what comes after it fails because of it
                self._failure = error
                self._job.keeper_total = max(self._job.keeper_total, self._next)
                self._reader.interrupt(error if isinstance(error, StorageError) else DisconnectedError(str(error)))
            return
        tail = future.result()
        self._job.tail = max(self._job.tail, tail)
        if self._job.tail >= self._job.keeper_total:
            self._job.trouble = ""  # all that waited is stored
        self._reader.acknowledge(tail)
        self._trim_if_over()
        self._job.notify()

    def _trim_if_over(self) -> None:
        kept = self._job.tail - self._job.oldest
        if kept > self._bytes_max + self._bytes_max // 8 and (self._trimming is None or self._trimming.done()):
            self._trimming = asyncio.create_task(self._trim(self._job.tail - self._bytes_max))

    async def _trim(self, position: int) -> None:
        await self._log.trim(self._name, position)
        self._job.oldest = (await self._log.stat(self._name)).oldest

    async def _settle(self) -> None:
        while self._pending:
            await asyncio.wait(self._pending)
        if self._failure is not None:
            raise self._failure

    async def _abandon(self) -> None:
        """Wait for appends under way: the next connection must start at the true tail."""
        while self._pending:
            await asyncio.wait(self._pending)
        if self._trimming is not None:
            await asyncio.wait([self._trimming])
