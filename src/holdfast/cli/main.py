"""The ``holdfast`` command: a group whose commands are imported only when they are called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from .. import _version
from ..errors import EXIT_OUR_ERROR, HoldfastError, exit_code_of

_COMMANDS = {
    "attach": ("jobs.attach", "attach"),
    "channel": ("channel.commands", "channel"),
    "completion": ("completion", "completion"),
    "group": ("group", "group"),
    "inspect": ("jobs.ps", "inspect"),
    "kill": ("jobs.stop", "kill"),
    "logs": ("jobs.logs", "logs"),
    "ps": ("jobs.ps", "ps"),
    "provider": ("provider", "provider"),
    "pub": ("provider", "pub"),
    "record": ("record.commands", "record"),
    "rm": ("jobs.stop", "rm"),
    "run": ("jobs.run", "run"),
    "send": ("jobs.send", "send"),
    "serve": ("serve", "serve"),
    "session": ("session.commands", "session"),
    "sim": ("sim.commands", "sim"),
    "stop": ("jobs.stop", "stop"),
    "stream": ("stream.commands", "stream"),
    "token": ("token", "token"),
    "verify": ("jobs.verify", "verify"),
    "version": ("version", "version"),
    "wait": ("jobs.wait", "wait"),
}
"""Command → its module and function."""

_SUMMARIES = {
    "attach": "Watch a job and type into it.",
    "channel": "Send and read messages of a job or another process.",
    "completion": "Print a completion script for your shell.",
    "group": "Keep one causally ordered log with others, over a network that loses things.",
    "inspect": "Show all that is known of jobs.",
    "kill": "Send a signal to a job's processes.",
    "logs": "Print a job's output.",
    "ps": "List jobs.",
    "provider": "Add, list and remove the sources that sessions bind to.",
    "pub": "Send a message to a subject: bus.ANYTHING, channels.PROCESS.NAME, jobs.JOB.input.",
    "record": "Store and read records: JSON objects named by their content.",
    "rm": "Forget ended jobs and their output.",
    "run": "Run a command as a job.",
    "send": "Send text, keys or a file to a job.",
    "serve": "Run a node.",
    "session": "Follow jobs, channels, the bus and feeds, and lose nothing while you are away.",
    "sim": "Run simulated worlds.",
    "stop": "Stop jobs: TERM, a grace period, KILL.",
    "stream": "Make, write and read durable streams.",
    "token": "Make, list and revoke tokens for callers from elsewhere.",
    "verify": "Prove that the output of ended jobs is whole.",
    "version": "Print the versions of this command and of the node.",
    "wait": "Wait for jobs to end; exit as the job did.",
}
"""Kept here so that ``holdfast --help`` imports no command; a test compares them with the commands' own."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, function = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"holdfast.cli.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_SUMMARIES.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] == "help":  # as docker, kubectl and git have it
            if len(args) == 1:
                click.echo(ctx.get_help())
                ctx.exit()
            args = [*args[1:], "--help"]
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"  Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version.__version__, "--version", message="holdfast %(version)s")
@click.option("--url", metavar="URL", help="The node's address, as HOLDFAST_URL: unix:///PATH, tls://HOST:PORT.")
@click.option("--token-file", metavar="FILE", help="Show the token in this file, as HOLDFAST_TOKEN_FILE.")
@click.option("--ca-file", metavar="FILE", help="Trust the certificates in this file, as HOLDFAST_CA_FILE.")
def cli(url: str | None, token_file: str | None, ca_file: str | None) -> None:
    """Start it, walk away, come back: nothing was lost.

    Jobs run under a node that is started by itself when needed. HOLDFAST_STATE_DIR, HOLDFAST_RUNTIME_DIR and
    HOLDFAST_URL say where its state, its sockets and its address are. A node elsewhere wants a token, from
    HOLDFAST_TOKEN or a file; never on the command line, where others can read it.

    Exit codes: a job's own for run, wait and attach; 3 not found, 4 held or conflict, 5 denied, 6 cursor gone,
    75 link lost (the job runs on), 124 timed out, 125 our error, 126/127 cannot start, 128+n killed by signal n.
    """
    for variable, value in (("URL", url), ("TOKEN_FILE", token_file), ("CA_FILE", ca_file)):
        if value is not None:
            os.environ[f"HOLDFAST_{variable}"] = value
    if token_file is not None:
        os.environ.pop("HOLDFAST_TOKEN", None)


def main() -> NoReturn:
    """The entry point: runs the command, turns errors into a line on standard error and an exit code."""
    _stand_in_for_closed()
    try:
        result = _run()
    except click.exceptions.Exit as exit_:
        _leave(exit_.exit_code)
    except click.Abort:
        _leave(130)
    except click.ClickException as error:
        error.show()
        _leave(EXIT_OUR_ERROR)
    except KeyboardInterrupt:
        _leave(130)
    except BrokenPipeError:
        _leave_broken_pipe()
    except HoldfastError as error:
        click.echo(f"holdfast: {error}", err=True)
        _leave(exit_code_of(error))
    except UnicodeEncodeError:
        click.echo("holdfast: an argument is not UTF-8 text", err=True)
        _leave(EXIT_OUR_ERROR)
    except OSError as error:
        _leave_unwritten(error)
    _leave(result if isinstance(result, int) else 0)


def _stand_in_for_closed() -> None:
    """Whoever started us may have closed standard input, output or error: read nothing, write to nobody.

    Without it the next file or socket that is opened would have their number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - until the command ends


def _run() -> Any:
    """What ``cli.main`` does, but that would take a closed pipe for a failure, and exit with 1."""
    if "_HOLDFAST_COMPLETE" in os.environ:
        cli.main(prog_name="holdfast")
    with cli.make_context("holdfast", sys.argv[1:]) as context:
        return cli.invoke(context)


def _leave(code: int) -> NoReturn:
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # it was closed before we came
                stream.flush()
    except BrokenPipeError:
        _leave_broken_pipe()
    except OSError as error:
        _leave_unwritten(error)
    os._exit(code)  # all is closed and written; taking the interpreter apart took 7 ms of each command


def _leave_unwritten(error: OSError) -> NoReturn:
    """A file or the output failed under us: say which and why, not where in our code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered must not fail once more
    where = f"{error.filename}: " if error.filename else ""
    click.echo(f"holdfast: {where}{error.strerror or error}", err=True)
    sys.exit(EXIT_OUR_ERROR)


def _leave_broken_pipe() -> NoReturn:
    """Whoever read our output left; be as quiet about it as ``cat`` is."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(141)
