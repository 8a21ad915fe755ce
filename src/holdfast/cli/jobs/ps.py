"""``holdfast ps`` and ``holdfast inspect``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from ...quantities import format_size
from ..common import (
    JOB,
    RUNNING,
    age_text,
    format_option,
    info_as_dict,
    print_json,
    print_json_lines,
    print_table,
    reach_node,
    state_text,
)
from .screen import say

if TYPE_CHECKING:
    from ...jobs.model import JobInfo

_HEAD = ("ID", "NAME", "STATE", "AGE", "OUTPUT", "GAP", "COMMAND")
_COMMAND_WIDTH_MAX = 60
_NAMED_MAX = 3


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
@click.option("-a", "--all", "everything", is_flag=True, help="Also jobs that have ended, as without it.")
@click.option("-r", "--running", is_flag=True, help="Leave out jobs that have ended.")
@click.option("-e", "--ended", is_flag=True, help="Leave out jobs that have not ended.")
@format_option("table", "json", "jsonl", "name")
def ps(quiet: bool, everything: bool, running: bool, ended: bool, form: str) -> None:
    """List jobs."""
    if everything + running + ended > 1:
        raise click.UsageError("--all, --running and --ended exclude each other")
    with reach_node() as node:
        infos = [job.info for job in node.jobs.list()]
    if running or ended:
        infos = [info for info in infos if (info.state in RUNNING) is running]
    if quiet:
        for info in infos:
            click.echo(info.id)
    elif form == "json":
        print_json([info_as_dict(info) for info in infos])
    elif form == "jsonl":
        print_json_lines(info_as_dict(info) for info in infos)
    elif form == "name":
        for info in infos:
            click.echo(info.name or info.id)
    else:
        print_table(_HEAD, [_row(info) for info in infos], right=frozenset({3, 4}))
        _tell_troubles(infos)


def _tell_troubles(infos: list[JobInfo]) -> None:
    """One line a cause, on standard error: a full disk is the same for all."""
    troubled: dict[str, list[str]] = {}
    for info in infos:
        if info.trouble:
            troubled.setdefault(info.trouble, []).append(info.name or info.id)
    for trouble, names in troubled.items():
        more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
        say(f"{', '.join(names[:_NAMED_MAX])}{more}: {trouble}")


def _row(info: JobInfo) -> tuple[str, ...]:
    command = "".join(map(_printable, shlex.join(info.command)))
    if len(command) > _COMMAND_WIDTH_MAX:
        command = command[: _COMMAND_WIDTH_MAX - 1] + "…"
    gap = format_size(info.gap_bytes) if info.gap_bytes else "-"
    age = age_text(info.created_at)
    return (info.id, info.name or "-", state_text(info), age, format_size(info.output_bytes), gap, command)


def _printable(character: str) -> str:
    """One job is one line, and no job moves the cursor or paints: control characters are spelled."""
    return character if character.isprintable() else character.encode("unicode_escape").decode()


@click.command()
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, type=JOB)
@format_option("json", "jsonl", "name")
def inspect(jobs: tuple[str, ...], form: str) -> None:
    """Show all that is known of jobs.

    With one JOB the JSON is an object, with several a list.
    """
    with reach_node() as node:
        infos = [node.jobs.get(job).info for job in jobs]
    if form == "name":
        for info in infos:
            click.echo(info.name or info.id)
    elif form == "jsonl":
        print_json_lines(info_as_dict(info) for info in infos)
    else:
        values = [info_as_dict(info) for info in infos]
        print_json(values[0] if len(values) == 1 else values)
