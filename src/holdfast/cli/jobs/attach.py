"""``holdfast attach``."""

from __future__ import annotations

import click

from ..common import JOB, reach_node
from .detach import detach_keys_option
from .watching import REPLAY_BYTES, WatchOptions, watch


@click.command()
@click.argument("job", type=JOB)
@click.option("-r", "--read-only", is_flag=True, help="Watch only: type nothing, resize nothing.")
@click.option(
    "--from",
    "from_offset",
    type=int,
    help="Begin at this byte offset; a negative one counts back from the end.  [default: the last 64 KiB]",
)
@detach_keys_option
def attach(job: str, read_only: bool, from_offset: int | None, detach_keys: bytes) -> int:
    """Watch a job and type into it.

    Exits as the job did when it ends; 0 when you detach; 75 when the link is lost, the job running on. What was
    left at the detach is told as an offset: --from continues there.
    """
    with reach_node() as node:
        found = node.jobs.get(job)
        return watch(
            node,
            found,
            WatchOptions(
                from_offset=-REPLAY_BYTES if from_offset is None else from_offset,
                read_only=read_only,
                detach_keys=detach_keys,
                announce=True,
                forward_eof=False,
            ),
        )
