"""``holdfast stream``: durable streams, which nobody's process owns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..common import DURATION, age_text, format_option, print_json, print_json_lines, print_table, reach_node
from . import append, read
from .common import MOMENT, OFFSET, PATH, PATHS, RECONNECT_S, StreamPath, left_text

if TYPE_CHECKING:
    from ...client.streams.pieces import StreamOptions
    from ...client.streams.sync import SyncStream
    from ...durable.model import StreamInfo

_HEAD = ("PATH", "STATE", "TAIL", "TYPE", "ENDS", "AGE")
_JSON_TYPE = "application/json"


@click.group()
def stream() -> None:
    """Make, write and read durable streams.

    A stream is an append-only sequence of bytes or, with the content type application/json, of messages, under a path
    such as builds/42/log. Positions count its bytes or messages from 0 and mean the same for ever, here and over HTTP,
    where the stream is /v1/stream/PATH. What reads a stream also reads the output of a job, jobs/JOB/output, and a
    channel, channels/PROCESS/NAME.
    """


stream.add_command(append.append)
stream.add_command(read.read)
stream.add_command(read.tail)

_TYPE = click.option("--content-type", default="", metavar="TYPE", help="What it holds, for ever.")
_TTL = click.option("--ttl", type=DURATION, metavar="DURATION", help="End it so long after its last use, such as 1h.")
_EXPIRES = click.option("--expires-at", type=MOMENT, metavar="TIME", help="End it then, such as 2030-01-31T12:00:00Z.")
_CREATED = format_option("name", "json")


@stream.command()
@PATH
@_TYPE
@click.option("--json", "is_json", is_flag=True, help="The same as --content-type application/json.")
@_TTL
@_EXPIRES
@click.option("--fork-of", type=StreamPath(), metavar="PATH", help="Begin with what that stream holds.")
@click.option("--at", type=OFFSET, metavar="OFFSET", help="Up to there; a negative one counts back.  [default: all]")
@click.option("--closed", is_flag=True, help="Nothing can be appended, ever.")
@_CREATED
def create(
    path: str,
    content_type: str,
    is_json: bool,
    ttl: float | None,
    expires_at: float | None,
    fork_of: str | None,
    at: int | None,
    closed: bool,
    form: str,
) -> None:
    """Make a stream.

    One that is there and was made alike is left as it is. Without --content-type it holds application/octet-stream, or
    what the stream it is forked from holds.
    """
    if is_json and content_type:
        raise click.UsageError("--json and --content-type exclude each other")
    if at is not None and fork_of is None:
        raise click.UsageError("--at goes with --fork-of")
    options = _options(_JSON_TYPE if is_json else content_type, ttl, expires_at)
    if closed:
        options["closed"] = True
    with reach_node(reconnect_s=RECONNECT_S) as node:
        if fork_of is None:
            _print_created(node.streams.create(path, **options), form)
        else:
            _print_created(node.streams.fork(fork_of, path, at=at, **options), form)


def _options(content_type: str, ttl: float | None, expires_at: float | None) -> StreamOptions:
    if ttl is not None and expires_at is not None:
        raise click.UsageError("--ttl and --expires-at exclude each other")
    if ttl is not None and ttl != int(ttl):
        raise click.BadParameter(f"{ttl:g} s is not a whole number of seconds", param_hint="--ttl")
    return {"content_type": content_type, "ttl_s": None if ttl is None else int(ttl), "expires_at_s": expires_at}


def _print_created(made: SyncStream, form: str) -> None:
    if form == "json":
        assert made.last_info is not None, "create gives it"
        print_json({**as_dict(made.last_info), "created": made.created})
    else:
        click.echo(made.path)


@stream.command()
@click.argument("source", type=StreamPath())
@PATH
@click.option("--at", type=OFFSET, metavar="OFFSET", help="Up to there; a negative one counts back.  [default: all]")
@_TTL
@_EXPIRES
@_CREATED
def fork(source: str, path: str, at: int | None, ttl: float | None, expires_at: float | None, form: str) -> None:
    """Make a stream that begins with what SOURCE holds; the two go on apart.

    It takes no room of its own for what they share, and ends when SOURCE does unless told otherwise.
    """
    with reach_node(reconnect_s=RECONNECT_S) as node:
        _print_created(node.streams.fork(source, path, at=at, **_options("", ttl, expires_at)), form)


@stream.command()
@PATHS
def close(paths: tuple[str, ...]) -> None:
    """Say that a stream is complete: nothing can be appended, and who follows it has reached the end."""
    with reach_node(reconnect_s=RECONNECT_S) as node:
        for path in paths:
            node.streams.stream(path).close()


@stream.command()
@PATHS
def rm(paths: tuple[str, ...]) -> None:
    """Remove streams with all they hold.

    Forks keep what they share with it; as long as there are any, its path stays taken.
    """
    with reach_node() as node:
        for path in paths:
            node.streams.stream(path).remove()
            click.echo(path)


@stream.command()
@click.argument("prefix", default="", type=StreamPath())
@format_option("table", "json", "jsonl", "name")
def ls(prefix: str, form: str) -> None:
    """List the streams whose path begins with PREFIX, or all."""
    with reach_node() as node:
        infos = node.streams.list(prefix)
    if form == "json":
        print_json([as_dict(info) for info in infos])
    elif form == "jsonl":
        print_json_lines(map(as_dict, infos))
    elif form == "name":
        for info in infos:
            click.echo(info.path)
    else:
        print_table(_HEAD, [_row(info) for info in infos], right=frozenset({2, 4, 5}))


def _row(info: StreamInfo) -> tuple[str, ...]:
    ends = "-"
    if info.ttl_s is not None:
        ends = f"idle {info.ttl_s}s"
    elif info.expires_at_s is not None:
        ends = left_text(info.expires_at_s)
    return (
        info.path,
        "closed" if info.closed else "open",
        str(info.tail),
        info.content_type,
        ends,
        age_text(info.created_at),
    )


@stream.command()
@PATH
@format_option("json", "jsonl")
def info(path: str, form: str) -> None:
    """Show all that is known of a stream."""
    with reach_node() as node:
        value = as_dict(node.streams.stream(path).info())
    if form == "jsonl":
        print_json_lines([value])
    else:
        print_json(value)


def as_dict(info: StreamInfo) -> dict[str, Any]:
    """All of it, ready for JSON."""
    from dataclasses import asdict

    return asdict(info)
