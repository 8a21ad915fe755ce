"""``holdfast wait``."""

from __future__ import annotations

import time

import click

from ...errors import EXIT_LINK_LOST, DeadlineExceeded, DisconnectedError
from ..common import DURATION, JOB, reach_node
from .screen import leave_as, say


@click.command()
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, type=JOB)
@click.option("-t", "--timeout", type=DURATION, help="Give up after this long, with exit code 124.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
def wait(jobs: tuple[str, ...], timeout: float | None, quiet: bool) -> int:
    """Wait for jobs to end; exit as the job did.

    Prints each job's exit code. With several jobs, exits as the last one named did. 124: timed out, the jobs
    run on. 75: the link to the node was lost, the jobs run on.
    """
    until = None if timeout is None else time.monotonic() + timeout
    code = 0
    with reach_node() as node:
        connection = node.connection()
        for name in jobs:
            left = None if until is None else max(0.0, until - time.monotonic())
            try:
                connection.check_usable()  # never silently over to a node that was started since
                job = node.jobs.get(name)
                connection.check_usable()
                code = leave_as(job.wait(left))
            except DeadlineExceeded as error:
                if timeout is None or error.phase != "wait":
                    raise
                raise _timed_out(name, timeout) from None
            except DisconnectedError as error:
                say(f"{error}")
                say(f"the link is lost, job {name} runs on; holdfast wait {name}")
                return EXIT_LINK_LOST
            if not quiet:
                click.echo(str(code))
    return code


def _timed_out(name: str, timeout_s: float) -> DeadlineExceeded:
    """In the words of who asked: their name, their time, whatever of it was left for this job."""
    return DeadlineExceeded(
        f"job {name} has not ended within {timeout_s:g} s; it runs on", phase="wait", after_s=timeout_s
    )
