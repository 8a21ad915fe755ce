"""``holdfast channel``: messages between whoever submits work and whoever does it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from ...errors import UsageError
from ...quantities import parse_size
from ..common import Whole, age_text, format_option, print_json, print_json_lines, print_table, reach_node
from . import entries, words
from .common import CHANNEL, CHANNELS, ProcessName, as_dict, opened, resolve

if TYPE_CHECKING:
    from ...channels.model import ChannelInfo
    from ...client.sync import SyncNode

_HEAD = ("CHANNEL", "STATE", "ENTRIES", "LAST", "SUBS", "SUBMITTER", "EXECUTOR", "AGE")


@click.group()
def channel() -> None:
    """Send and read messages of a job or another process.

    CHANNEL is PROCESS/NAME, where PROCESS is a job's name, id or the beginning of its id, or whatever a process of
    someone else's was registered as. Inside of a job, NAME alone is that job's channel, and what is appended there is
    appended by the job, as the channel's executor.
    """


for _command in (*entries.COMMANDS, *words.COMMANDS):
    channel.add_command(_command)


@channel.command()
@click.argument("channels", metavar="CHANNEL...", nargs=-1, required=True)
@click.option("--submitter", default="", metavar="NAME", help="Whose it is.  [default: you]")
@click.option("--executor", default="", metavar="NAME", help="Who works for the submitter.")
@click.option("--retain", is_flag=True, help="When it is full, let the oldest entries go.")
@click.option("--entries", default=0, metavar="N", type=Whole("a number of entries"), help="Most entries it holds.")
@click.option("--payload", metavar="SIZE", help="Largest payload, such as 64KiB.")
@click.option("--rate", default=0.0, metavar="N", type=click.FloatRange(min=0), help="Entries a second.")
@click.option(
    "--burst", default=0, metavar="N", type=Whole("a number of entries"), help="Entries at once after a pause."
)
@click.option("--if-missing", is_flag=True, help="Take one that is there already, as it is.")
@format_option("name", "json")
def create(
    channels: tuple[str, ...],
    submitter: str,
    executor: str,
    retain: bool,
    entries: int,
    payload: str | None,
    rate: float,
    burst: int,
    if_missing: bool,
    form: str,
) -> None:
    """Make channels of a process, which need not be a job of this node."""
    if not math.isfinite(rate):
        raise UsageError(f"rate: {rate} is not a number of entries a second", field="rate")
    with reach_node() as node:
        for text in channels:
            process, slash, name = resolve(node, text, existing=False).partition("/") if "/" in text else (text, "", "")
            if not slash:
                raise UsageError(f"channel: {text!r} is not of the form PROCESS/NAME", field="channel")
            made = node.channels.create(
                process,
                name,
                submitter=submitter,
                executor=executor,
                retain=retain,
                entries_max=entries,
                payload_bytes_max=0 if payload is None else parse_size(payload, "payload"),
                rate_per_s=rate,
                burst=burst,
                missing_ok=if_missing,
            )
            if form == "json":
                print_json(as_dict(made.info()))
            else:
                click.echo(made.id)


@channel.command()
@click.argument("process", default="", type=ProcessName())
@format_option("table", "json", "jsonl", "name")
def ls(process: str, form: str) -> None:
    """List channels, of one process or all."""
    with reach_node() as node:
        infos = node.channels.list(_process(node, process) if process else "")
    if form == "json":
        print_json([as_dict(info) for info in infos])
    elif form == "jsonl":
        print_json_lines(map(as_dict, infos))
    elif form == "name":
        for info in infos:
            click.echo(info.id)
    else:
        print_table(_HEAD, [_row(info) for info in infos], right=frozenset({2, 3, 4, 7}))


def _process(node: SyncNode, process: str) -> str:
    return resolve(node, f"{process}/", existing=False).rstrip("/")


def _row(info: ChannelInfo) -> tuple[str, ...]:
    counts = (str(info.entries), str(info.last_index), str(info.subscribers))
    return (info.id, info.state, *counts, info.submitter, info.executor or "-", age_text(info.created_at))


@channel.command()
@CHANNEL
@format_option("json", "jsonl")
def info(channel: str, form: str) -> None:
    """Show all that is known of a channel, and who has appended to it."""
    with opened(channel) as found:
        value = {**as_dict(found.info()), "senders": [as_dict(each) for each in found.senders()]}
    if form == "jsonl":
        print_json_lines([value])
    else:
        print_json(value)


@channel.command()
@CHANNELS
@click.option("--reason", default="", help="What subscribers are told.")
def rm(channels: tuple[str, ...], reason: str) -> None:
    """Remove channels with all their entries."""
    for text in channels:
        with opened(text) as found:
            found.remove(reason)
            click.echo(text)


@channel.command()
@CHANNEL
def close(channel: str) -> None:
    """Make a channel read-only for good."""
    with opened(channel) as found:
        found.close()


@channel.command()
@CHANNEL
@click.argument("name")
def executor(channel: str, name: str) -> None:
    """Assign a channel's executor; an empty NAME takes it away."""
    with opened(channel) as found:
        found.set_executor(name)
