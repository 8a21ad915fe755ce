"""``holdfast logs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...errors import EXIT_LINK_LOST, DisconnectedError, Unavailable
from ..common import JOB, check_not_removed, reach_node
from .screen import Screen, leave_with_reader, say

if TYPE_CHECKING:
    from ...client.jobs.sync import SyncJob

_BACK_BYTES = 64 * 1024
"""How much is read at a time, from the end backwards, to find where the last N lines begin."""


@click.command()
@click.argument("job", type=JOB)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job's output ends.")
@click.option(
    "--from", "from_offset", type=int, help="Begin at this byte offset; a negative one counts back from the end."
)
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Begin with the last N lines.")
def logs(job: str, follow: bool, from_offset: int | None, tail: int | None) -> int:
    """Print a job's output.

    Bytes come exactly as the job wrote them, its standard error on standard error. Gaps are named on standard
    error with their offset and length. A link lost while following is 75, never 0.
    """
    if from_offset is not None and tail is not None:
        raise click.UsageError("--from and --tail exclude each other")
    if follow:
        leave_with_reader()
    with reach_node() as node:
        found = node.jobs.get(job)
        start = from_offset or 0
        if tail is not None:
            start = offset_of_last_lines(found, tail)
        # The last lines are those of this moment: what a busy job adds meanwhile would be more than N.
        until = None if follow or tail is None else found.info.output_bytes
        screen = Screen()
        screen.offset = start
        connection = node.connection()
        try:
            for chunk in found.output(start, follow=follow):
                screen.show(chunk if until is None else chunk.before(until))
                if screen.offset == until:
                    break
        except (DisconnectedError, Unavailable) as error:
            check_not_removed(connection, found)
            say(f"{error}")
            rest = f"holdfast logs {'-f ' if follow else ''}--from {screen.offset} {found.name or found.id}"
            say(f"the link is lost, what the job prints is kept; {rest}")
            return EXIT_LINK_LOST
    return 0


def offset_of_last_lines(job: SyncJob, count: int) -> int:
    """Where the last ``count`` lines of the output begin; an unfinished last line counts as one."""
    info = job.refresh()
    end = info.output_bytes
    if count == 0:
        return end
    wanted = count
    position = end
    while position > info.oldest_offset:
        begin = max(position - _BACK_BYTES, info.oldest_offset)
        data = _read(job, begin, position)
        scan_end = len(data) - 1 if position == end and data.endswith(b"\n") else len(data)
        for _ in range(wanted):
            found = data.rfind(b"\n", 0, scan_end)
            if found < 0:
                break
            wanted -= 1
            scan_end = found
        if wanted == 0:
            return begin + scan_end + 1
        position = begin
    return info.oldest_offset


def _read(job: SyncJob, begin: int, end: int) -> bytes:
    """The bytes from ``begin`` to ``end``; gaps as NUL bytes, so that offsets stay true."""
    parts = bytearray()
    output = job.output(begin, follow=False)
    for chunk in output:
        parts += chunk.data or bytes(min(chunk.gap_bytes, end - begin))
        if begin + len(parts) >= end:
            break
    output.close()
    return bytes(parts[: end - begin])
