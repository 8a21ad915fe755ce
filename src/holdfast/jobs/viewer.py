"""One viewer: reads a job's log at its own cursor and writes it to its own stream, at its own pace."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from ..engine.base import Hole
from ..errors import ClosedError, DisconnectedError, HoldfastError, UsageError
from .model import OutputStart
from .record import log_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..engine.base import Log, Piece
    from ..rpc.aio.streams import AsyncWriter
    from .job import Job

_logger = structlog.get_logger("holdfast.jobs")
_STORED_S = 1.0
"""So long a viewer that does not follow waits for output that is being stored; then it ends with what there is."""


async def open_output(job: Job, log: Log, from_offset: int) -> OutputStart:
    """Where a viewer that asks for ``from_offset`` begins; a negative one counts back from the tail.

    UsageError beyond the tail.
    """
    stat = await log.stat(log_name(job.id))
    wanted = from_offset if from_offset >= 0 else max(stat.tail + from_offset, 0)
    if wanted > stat.tail:
        raise UsageError(f"from_offset: {wanted} is beyond the tail, {stat.tail}", field="from_offset")
    return OutputStart(start_offset=wanted, oldest_offset=stat.oldest, tail_offset=stat.tail)


class Viewer:
    """Feeds one output stream until the output's end, or ``until`` (an offset), or the viewer's leave."""

    def __init__(self, job: Job, log: Log, writer: AsyncWriter, start: OutputStart, *, follow: bool) -> None:
        self._job = job
        self._log = log
        self._writer = writer
        self._position = start.start_offset
        self._oldest = start.oldest_offset
        self._until = None if follow else start.tail_offset

    def on_leave(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called when the viewer asks for no more, which a quiet job would not show."""
        self._writer.on_cancel(callback)

    @property
    def job_id(self) -> str:
        """The job it reads."""
        return self._job.id

    @property
    def lag_bytes(self) -> int:
        """How far its reader is behind the end of the output, or of what it asked for."""
        tail = self._job.tail if self._until is None else self._until
        return max(0, tail - self._writer.acknowledged)

    async def run(self) -> None:
        """Ends by itself in each case; a log trimmed past the viewer comes to it as a gap."""
        try:
            if self._position < self._oldest:
                await self._skip(self._oldest - self._position)
            await self._feed()
            await self._writer.close()
        except (ClosedError, DisconnectedError):
            return  # the viewer left
        except HoldfastError as error:
            _logger.warning("job.viewer_failed", job=self._job.id, error=str(error))
            with suppress(ClosedError, DisconnectedError):  # the viewer leaves at the same moment
                await self._writer.fail(str(error))

    async def _feed(self) -> None:
        name = log_name(self._job.id)
        if self._until is None:
            async for pieces in self._log.follow(name, self._position):
                await self._write(pieces)
            return
        while self._position < self._until:
            pieces = await self._log.read_when_stored(name, self._position, within_s=_STORED_S)
            if not pieces:
                return
            await self._write(pieces)

    async def _write(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            if isinstance(piece, Hole):
                await self._skip(piece.length)
                continue
            data = piece.data
            if self._until is not None and piece.end > self._until:
                data = data[: self._until - piece.position]
            await self._writer.write(data, tag=piece.tag)
            self._position += len(data)

    async def _skip(self, length: int) -> None:
        await self._writer.skip(length)
        self._position += length
