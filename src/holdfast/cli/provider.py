"""``holdfast provider`` and ``holdfast pub``: where sessions' subjects come from, and sending to them."""

from __future__ import annotations

import sys

import click
from click.shell_completion import CompletionItem

from ..errors import HoldfastError
from .common import format_option, payload_of, print_json, print_table, reach_node
from .session.commands import as_dict
from .session.common import pairs_of

_HEAD = ("PROVIDER", "KIND", "STATE", "FEEDS", "SESSIONS", "OPTIONS")


class ProviderName(click.ParamType[str]):
    """A provider that somebody added, by name; completes to those the node knows."""

    name = "provider"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Candidates from the running node; none if none runs."""
        try:
            with reach_node(autostart=False) as node:
                infos = list(node.sessions.providers())
        except HoldfastError:
            return []
        return [
            CompletionItem(info.name, help=info.kind)
            for info in infos
            if info.name.startswith(incomplete) and not info.built_in
        ]


@click.group()
def provider() -> None:
    """Add, list and remove the sources that sessions bind to.

    A provider's name is the first word of its subjects. jobs, channels and bus are always there.
    """


@provider.command()
@click.argument("name")
@click.argument("kind")
@click.option("-s", "--set", "options", multiple=True, metavar="NAME=VALUE", help="An option of the kind.")
@format_option("name", "json")
def add(name: str, kind: str, options: tuple[str, ...], form: str) -> None:
    """Make and start a provider; it comes back with the node."""
    with reach_node() as node:
        made = node.sessions.add_provider(name, kind, pairs_of(options, "set"))
    if form == "json":
        print_json(as_dict(made))
    else:
        click.echo(made.name)


@provider.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=ProviderName())
@click.option("--reason", default="", help="What the sessions bound to it are told.")
def rm(names: tuple[str, ...], reason: str) -> None:
    """Stop providers; sessions bound to one lose its patterns and are told."""
    with reach_node() as node:
        for name in names:
            removal = node.sessions.remove_provider(name, reason)
            click.echo(f"{removal.name}: {removal.sessions} sessions were bound to it")


@provider.command()
@format_option("table", "json", "name")
def ls(form: str) -> None:
    """List providers."""
    with reach_node() as node:
        infos = list(node.sessions.providers())
    if form == "json":
        print_json([as_dict(info) for info in infos])
    elif form == "name":
        for info in infos:
            click.echo(info.name)
    else:
        rows: list[tuple[str, ...]] = [
            (
                info.name,
                "-" if info.built_in else info.kind,
                info.error or info.state,
                str(info.feeds),
                str(info.sessions),
                " ".join(f"{name}={value}" for name, value in info.options.items()) or "-",
            )
            for info in infos
        ]
        print_table(_HEAD, rows, right=frozenset({3, 4}))


@click.command()
@click.argument("subject")
@click.argument("text", required=False)
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header of the message.")
@click.option("--lines", is_flag=True, help="Each line of standard input is a message.")
@click.option("--sequence", default=0, metavar="N", type=click.IntRange(min=0),
              help="For a channel: your own count, so that repeating is safe.")  # fmt: skip
def pub(subject: str, text: str | None, headers: tuple[str, ...], lines: bool, sequence: int) -> None:
    """Send a message to a subject: bus.ANYTHING, channels.PROCESS.NAME, jobs.JOB.input.

    TEXT is the message; without it, standard input is. Prints the position where the subject keeps its messages.
    """
    if lines and (text is not None or sequence):
        raise click.UsageError("--lines takes its messages from standard input, and no --sequence")
    given = pairs_of(headers, "header")
    with reach_node() as node:
        if lines:
            for line in sys.stdin.buffer:
                _show(node.publish(subject, line.removesuffix(b"\n"), headers=given))
        else:
            payload = sys.stdin.buffer.read() if text is None else payload_of((text,))
            _show(node.publish(subject, payload, headers=given, sequence=sequence))


def _show(position: int) -> None:
    if position >= 0:
        click.echo(position)
