"""``holdfast run``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from ...client.jobs.spec import is_utf8
from ...errors import UsageError
from ...quantities import parse_size
from ..common import COMMAND, format_option, info_as_dict, print_json, reach_node
from . import terminal
from .detach import detach_keys_option
from .screen import say

if TYPE_CHECKING:
    from ...client.jobs.sync import SyncJob
    from ...client.sync import SyncNode

_EXIT_INTERRUPTED = 130


@click.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.argument("command", metavar="[--] CMD [ARG]...", nargs=-1, required=True, type=COMMAND)
@click.option("-d", "--detach", is_flag=True, help="Start the job, print its id, and leave it.")
@click.option("-n", "--name", default="", help="A name for the job; unique until `holdfast rm`.")
@click.option("-t", "--tty", "tty", flag_value=True, type=bool, default=None, help="Give the job a terminal.")
@click.option("-T", "--no-tty", "tty", flag_value=False, type=bool, help="Use pipes; standard error stays apart.")
@click.option("-e", "--env", "env", multiple=True, metavar="KEY[=VALUE]", help="Set or pass on a variable.")
@click.option("-w", "--cwd", type=click.Path(), help="Run in this directory.  [default: this one]")
@click.option(
    "--on-full",
    type=click.Choice(["block", "drop-oldest"]),
    default="block",
    show_default=True,
    help="When undelivered output fills ring and spill: let the job wait, or lose the oldest as a counted gap.",
)
@click.option(
    "--channel", "channels", multiple=True, metavar="NAME", help="Make a channel with the job; may be repeated."
)
@click.option("--spill", metavar="SIZE", help="Undelivered output kept on disk at most, such as 256MiB.")
@detach_keys_option
@format_option("name", "json")
def run(
    command: tuple[str, ...],
    detach: bool,
    name: str,
    tty: bool | None,
    env: tuple[str, ...],
    cwd: str | None,
    on_full: Any,
    channels: tuple[str, ...],
    spill: str | None,
    detach_keys: bytes,
    form: str,
) -> int:
    """Run a command as a job.

    The job goes on whatever happens to this terminal, this connection or the node; come back with `holdfast
    attach`. Without -d this watches it and exits as the job did; a link lost is 75, never 0.

    Without -t or -T the job gets a terminal if there is one here: with -d if standard input or error is one,
    otherwise if both standard input and output are. A node is started in the background if none runs.
    """
    if form != "name" and not detach:
        raise click.UsageError("--output is for --detach: a job that is watched prints what it prints")
    rows, columns = terminal.size()
    with reach_node() as node, terminal.HeldInterrupts() as interrupts:
        job = node.jobs.start(
            list(command),
            name=name,
            cwd=cwd or "",
            env=environment(env),
            tty=_wants_tty(detach=detach) if tty is None else tty,
            rows=rows,
            columns=columns,
            on_full=on_full,
            channels=list(channels),
            spill_bytes_max=0 if spill is None else parse_size(spill, "spill"),
        )
        if detach:
            _print(job, form)
            return _EXIT_INTERRUPTED if interrupts.take() else 0
        return _watch(node, job, detach_keys, interrupts)


def _watch(node: SyncNode, job: SyncJob, detach_keys: bytes, interrupts: terminal.HeldInterrupts) -> int:
    from .watching import WatchOptions, watch

    return watch(node, job, WatchOptions(from_offset=0, detach_keys=detach_keys, interrupts=interrupts))


def _print(job: SyncJob, form: str) -> None:
    if form == "json":
        print_json(info_as_dict(job.info))
    else:
        click.echo(job.id)


def _wants_tty(*, detach: bool) -> bool:
    if detach:
        return terminal.stdin_is_tty() or terminal.stderr_is_tty()
    return terminal.stdin_is_tty() and terminal.stdout_is_tty()


def environment(settings: tuple[str, ...]) -> dict[str, str]:
    """This process's environment with each ``KEY=VALUE`` set; a bare ``KEY`` must be there already.

    A variable of this process that is not UTF-8 is left out, and named: one odd value must not stop every job.
    """
    env = {key: value for key, value in os.environ.items() if is_utf8(key + value)}
    left_out = os.environ.keys() - env.keys() - {setting.partition("=")[0] for setting in settings}
    if left_out:
        say(f"env: {', '.join(sorted(ascii(key) for key in left_out))}: not UTF-8, left out")
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not key:
            raise UsageError(f"env: {setting!r} has no name", field="env")
        if equals:
            env[key] = value
        elif key not in env:
            raise UsageError(f"env: {key!r} is not set here; write {key}=VALUE", field="env")
    return env
