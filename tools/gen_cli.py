"""docs/reference/cli.md: the help of every command, from the click commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

from holdfast.cli.main import cli

WIDTH = 100
HEAD = """\
# Commands

What `holdfast COMMAND --help` prints, for every command. A job is given by its name, its id, or the beginning of its
id. Data goes to standard output, everything else to standard error. Exit codes are listed in
[errors](errors.md#exit-codes).
"""


class CommandDoc(NamedTuple):
    """One command, as typed and as defined."""

    path: str
    command: click.Command
    context: click.Context


def commands() -> Iterator[CommandDoc]:
    """The group itself and every command below it, in the order of the help, hidden ones left out."""
    yield from _walk(cli, _context(cli, "holdfast", None))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH, **command.context_settings}
    return click.Context(command, parent=parent, info_name=name, **settings)


def _walk(command: click.Command, context: click.Context) -> Iterator[CommandDoc]:
    yield CommandDoc(context.command_path, command, context)
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None, f"{context.command_path} lists {name!r} and does not have it"
        if not child.hidden:
            yield from _walk(child, _context(child, name, context))


def page() -> str:
    """The page's text."""
    found = list(commands())
    contents = "\n".join(f"* [`{doc.path}`](#{doc.path.replace(' ', '-')})" for doc in found)
    return "\n".join([HEAD, contents, "", *(_section(doc) for doc in found)])


def _section(doc: CommandDoc) -> str:
    text = "\n".join(line.rstrip() for line in doc.command.get_help(doc.context).splitlines())
    return f"## {doc.path}\n\n```text\n{text}\n```\n"
