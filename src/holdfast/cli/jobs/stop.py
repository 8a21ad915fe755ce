"""``holdfast stop``, ``kill`` and ``rm``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from ...errors import HoldfastError, exit_code_of
from ...quantities import format_size
from ..common import DURATION, JOB, SIGNAL, ending_text, reach_node
from .screen import say

if TYPE_CHECKING:
    from ...client.sync import SyncNode


def each(jobs: Iterable[str], act: Callable[[SyncNode, str], None]) -> int:
    """``act`` on every job, printing its name when it is done; the exit code of the first failure, or 0.

    One job's failure does not keep the others from being acted on.
    """
    code = 0
    with reach_node() as node:
        for job in jobs:
            try:
                act(node, job)
            except HoldfastError as error:
                click.echo(f"holdfast: {error}", err=True)
                code = code or exit_code_of(error)
            else:
                click.echo(job)
    return code


@click.command()
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, type=JOB)
@click.option(
    "-g", "--grace", type=DURATION, default="10s", show_default=True, help="How long after TERM the job is killed."
)
def stop(jobs: tuple[str, ...], grace: float) -> int:
    """Stop jobs: TERM, a grace period, KILL.

    Returns when each has ended. Its output stays until `holdfast rm`; what of it cannot be stored now is told on
    standard error, and waits.
    """
    return each(jobs, lambda node, job: _stop(node, job, grace))


def _stop(node: SyncNode, job: str, grace: float) -> None:
    info = node.jobs.get(job).stop(grace)
    if info.state != "done":
        words = f"job {job} has ended ({ending_text(info)}); {format_size(info.pending_bytes)} of its output wait"
        say(f"{words} to be stored: {info.trouble or 'they are on their way'}")


@click.command()
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, type=JOB)
@click.option(
    "-s", "--signal", "name", type=SIGNAL, default="KILL", show_default=True, help="Signal, by name or number."
)
def kill(jobs: tuple[str, ...], name: str) -> int:
    """Send a signal to a job's processes.

    INT, QUIT, TSTP and WINCH go to the terminal's foreground processes, the others to the job's process group.
    """
    return each(jobs, lambda node, job: node.jobs.get(job).signal(name))


@click.command()
@click.argument("jobs", metavar="JOB...", nargs=-1, type=JOB)
@click.option("-f", "--force", is_flag=True, help="Kill what still runs, whether it answers or not.")
@click.option("--ended", is_flag=True, help="All that have ended and whose output is stored.")
def rm(jobs: tuple[str, ...], force: bool, ended: bool) -> int:
    """Forget ended jobs and their output.

    With --force also those that run, or whose output is not stored yet: what is left of them is killed.
    """
    if bool(jobs) is ended or (ended and force):
        raise click.UsageError("either JOB... or --ended, and --force with JOB... only")
    if ended:
        with reach_node() as node:
            jobs = tuple(job.name or job.id for job in node.jobs.list() if job.info.state == "done")
    return each(jobs, lambda node, job: node.jobs.get(job).remove(force=force))
