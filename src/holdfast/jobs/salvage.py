"""What a keeper that is gone left on disk: undelivered output in its spill, and perhaps its last words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .keeper.segments import read_segments
from .record import log_name

if TYPE_CHECKING:
    from ..engine.base import Log
    from .job import Job


async def salvage(job: Job, log: Log, spill_dir: str, total: int) -> None:
    """Bring what is on disk of the job's output into its log; ``total`` is where the keeper said that it ends.

    Offsets stay what they were: what is missing in between, or before that end, becomes a gap.
    May be repeated after a crash in the middle: it goes on at the log's tail.  Raises StorageError, and
    OSError for a spill file that cannot be read.
    """
    name = log_name(job.id)
    tail = (await log.stat(name)).tail
    for piece in read_segments(spill_dir):
        end = piece.offset + len(piece.data)
        if end <= tail:
            continue
        if piece.offset > tail:
            await log.skip(name, piece.offset - tail, expected_tail=tail)
            tail = piece.offset
        await log.append(name, piece.data[tail - piece.offset :], tag=piece.tag, expected_tail=tail)
        tail = end
    if total > tail:
        await log.skip(name, total - tail, expected_tail=tail)
