"""``holdfast stop``, ``kill`` and ``rm``."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from ...errors import DisconnectedError, HoldfastError, exit_code_of
from ...jobs.api import JobsApi
from ...quantities import format_size
from ...rpc.commands import command_of
from ..common import DURATION, JOB, SIGNAL, ending_text, reach_node
from .screen import say

if TYPE_CHECKING:
    from ...client.sync import SyncNode
    from ...jobs.model import JobInfo

_AT_ONCE = 100
"""Jobs that are asked to stop at the same time."""


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
                failed = _failed(error)
                code = code or failed
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

    All are asked at once. Returns when each has ended. Its output stays until `holdfast rm`; what of it cannot be
    stored now is told on standard error, and waits.
    """
    with reach_node() as node:
        return max(_stop_all(node, jobs[at : at + _AT_ONCE], grace) for at in range(0, len(jobs), _AT_ONCE))


def _stop_all(node: SyncNode, jobs: tuple[str, ...], grace: float) -> int:
    """The exit code of the first failure, or 0.  One that takes all its grace does not keep the others waiting."""
    connection = node.connection()
    codes: list[int] = []
    calls: dict[int, str] = {}
    for job in jobs:
        asked = command_of(JobsApi.stop).arguments((job, grace), {})
        calls[connection.begin_call(asked.name, asked.params, asked.attachment)] = job
    while calls:
        for number, job in list(calls.items()):
            try:
                reply = connection.take_reply(number)
                if reply is not None:
                    _tell(job, command_of(JobsApi.stop).decode(reply.result, reply.attachment))
                    del calls[number]
            except DisconnectedError:
                del calls[number]
                codes.append(_again(node, job, grace))
            except HoldfastError as error:
                del calls[number]
                codes.append(_failed(error))
        if calls and connection.closed_by is None:
            connection.pump()
    return next(filter(None, codes), 0)


def _again(node: SyncNode, job: str, grace: float) -> int:
    """The link was cut under the call; stopping twice is stopping once."""
    try:
        _tell(job, node.jobs.get(job).stop(grace))
    except HoldfastError as error:
        return _failed(error)
    return 0


def _failed(error: HoldfastError) -> int:
    click.echo(f"holdfast: {error}", err=True)
    return exit_code_of(error)


def _tell(job: str, info: JobInfo) -> None:
    if info.state != "done":
        words = f"job {job} has ended ({ending_text(info)}); {format_size(info.pending_bytes)} of its output wait"
        say(f"{words} to be stored: {info.trouble or 'they are on their way'}")
    click.echo(job)


class _Kill(click.Command):
    """Takes a signal also as kill(1) does: ``-9``, ``-TERM``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = args[: args.index("--")] if "--" in args else args
        spelled = [word for arg in options for word in _spelled(arg)]
        return super().parse_args(ctx, spelled + args[len(options) :])


def _spelled(arg: str) -> list[str]:
    name = arg.removeprefix("-")
    is_signal = arg != name and (name.isdecimal() or "SIG" + name.removeprefix("SIG") in signal.Signals.__members__)
    return ["--signal", name] if is_signal else [arg]


@click.command(cls=_Kill)
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, type=JOB)
@click.option(
    "-s", "--signal", "name", type=SIGNAL, default="KILL", show_default=True, help="Signal, by name or number."
)
def kill(jobs: tuple[str, ...], name: str) -> int:
    """Send a signal to a job's processes.

    The signal may be given as to kill(1), too: -9, -TERM.

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
