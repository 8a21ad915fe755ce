"""``holdfast wait``."""

from __future__ import annotations

import time

import click

from .common import DURATION, JOB, exit_code_of_job, reach_node


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
        for name in jobs:
            left = None if until is None else max(0.0, until - time.monotonic())
            code = exit_code_of_job(node.jobs.get(name).wait(left))
            if not quiet:
                click.echo(str(code))
    return code
