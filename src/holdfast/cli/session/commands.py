"""``holdfast session``: durable sessions over jobs, channels, the bus and feeds."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from ...errors import EXIT_LINK_LOST, DisconnectedError, HoldfastError, Unavailable
from ..common import DURATION, age_text, format_option, print_json, print_json_lines, print_table, reach_node
from .common import (
    RECONNECT_S,
    SESSION,
    Interruption,
    MessagePrinter,
    SessionId,
    pattern_options,
    resolve_session,
    specs_from,
)

if TYPE_CHECKING:
    from ...client.sessions.sync import SyncSession
    from ...sessions.model import Change, SessionInfo

_LEAVE_S = 5.0
"""How long an interrupted command may take to say what it has printed."""
_HEAD = ("SESSION", "CLIENT", "PATTERNS", "WAITING", "LOST", "EXPIRES", "AGE")


@click.group()
def session() -> None:
    """Follow jobs, channels, the bus and feeds, and lose nothing while you are away.

    A session stays in the node when its client leaves. It keeps a cursor for each durable source (jobs.ID.output,
    channels.PROCESS.NAME) and a buffer for feeds (bus.ANYTHING, jobs.ID.events), and goes on where it was.

    A PATTERN is a subject in which * stands for one word and > for all the rest: jobs.*.output, channels.deploy.>.
    SESSION is an id, or the beginning of one.
    """


@session.command()
@pattern_options
@click.option("--idle-after", default=3_600.0, metavar="DURATION", type=DURATION,
              help="Close it after so long without a client; 0: never.  [default: 1h]")  # fmt: skip
@format_option("id", "json")
def new(
    patterns: tuple[str, ...],
    from_now: bool,
    policy: str,
    buffer: int,
    no_snapshot: bool,
    file: str | None,
    idle_after: float,
    form: str,
) -> None:
    """Make a session and print its id."""
    specs = specs_from(patterns, from_now, policy, buffer, no_snapshot, file)
    with reach_node() as node:
        made = node.sessions.new(specs, idle_after=idle_after)
    if form == "json":
        print_json(as_dict(made))
    else:
        click.echo(made.id)


@session.command()
@SESSION
@click.option("--steal", is_flag=True, help="Take it from the client it has.")
@click.option("--no-ack", is_flag=True, help="Acknowledge nothing: it all comes again.")
@click.option("-n", "--count", default=0, metavar="N", type=click.IntRange(min=0), help="Leave after so many messages.")
@click.option("--name", default="", help="What others are told has it.")
@format_option("text", "raw", "jsonl")
def attach(session: str, steal: bool, no_ack: bool, count: int, name: str, form: str) -> int:
    """Print a session's messages until interrupted.

    What was printed is acknowledged, and does not come again. Goes on where it was when the node restarts; without a
    node for a minute it is 75. Reports (dropped messages, gaps, ends) go to standard error, with jsonl among the rest.
    """
    printer = MessagePrinter(form)
    with reach_node(reconnect_s=RECONNECT_S) as node:
        found = resolve_session(node, session)
        try:
            with node.session(id=found, steal=steal, ack="never" if no_ack else "auto", client=name) as attached:
                if not attached.recovered:
                    click.echo(f"holdfast: {attached.recovered_why}", err=True)
                _print_all(attached, printer, count, acks=not no_ack)
        except (DisconnectedError, Unavailable) as error:
            click.echo(f"holdfast: {error}\nholdfast: the link is lost; holdfast session attach {found}", err=True)
            return EXIT_LINK_LOST
    return 0


def _print_all(attached: SyncSession, printer: MessagePrinter, count: int, *, acks: bool) -> None:
    """Print until the end; an interruption falls between two messages, and what was printed is acknowledged."""
    printed = done = 0
    try:
        with Interruption() as interruption:
            while (message := attached.read()) is not None:
                with interruption.put_off():
                    printer.print(message)
                    printed, done = printed + (message.kind == "message"), attached.taken
                if count and printed >= count:
                    break
    except KeyboardInterrupt:
        if acks:
            with suppress(HoldfastError):
                attached.ack(done, timeout_s=_LEAVE_S)
        raise


@session.command()
@SESSION
def detach(session: str) -> None:
    """Let a session's client go, whoever it is; the session stays."""
    with reach_node() as node:
        node.sessions.detach(resolve_session(node, session))


@session.command()
@SESSION
@pattern_options
@click.option("--plan", is_flag=True, help="Show what would change, and do nothing.")
@click.option("--version", "version", default=0, metavar="N", type=click.IntRange(min=0),
              help="Only if the patterns are at this version.")  # fmt: skip
@format_option("table", "json")
def apply(
    session: str,
    patterns: tuple[str, ...],
    from_now: bool,
    policy: str,
    buffer: int,
    no_snapshot: bool,
    file: str | None,
    plan: bool,
    version: int,
    form: str,
) -> None:
    """Make PATTERN... the session's whole set, all of it or nothing.

    Patterns that it has already go on without a gap or a repeat.
    """
    specs = specs_from(patterns, from_now, policy, buffer, no_snapshot, file)
    with reach_node() as node:
        change = node.sessions.configure(resolve_session(node, session), specs, dry_run=plan, expected_version=version)
    if form == "json":
        print_json(as_dict(change))
    else:
        _print_change(change, planned=plan)


def _print_change(change: Change, *, planned: bool) -> None:
    marks = (("+", change.added), ("~", change.changed), ("-", change.removed), ("=", change.kept))
    for mark, patterns in marks:
        for pattern in patterns:
            click.echo(f"{mark} {pattern}")
    for one in change.replay:
        click.echo(f"  {one.subject}: from {one.position} to {one.tail}, {one.replay_bytes} bytes")
    if planned:
        click.echo(f"nothing was changed; version {change.version}, {change.replay_bytes} bytes would be replayed")
    else:
        click.echo(f"version {change.version}")


@session.command()
@SESSION
@format_option("json")
def info(session: str, form: str) -> None:  # noqa: ARG001 - there is one form
    """Show all that is known of a session, with its cursors."""
    with reach_node() as node:
        print_json(as_dict(node.sessions.get(resolve_session(node, session))))


@session.command()
@format_option("table", "json", "jsonl", "id")
def ls(form: str) -> None:
    """List your sessions."""
    with reach_node() as node:
        infos = node.sessions.list()
    if form == "json":
        print_json([as_dict(info) for info in infos])
    elif form == "jsonl":
        print_json_lines(map(as_dict, infos))
    elif form == "id":
        for info in infos:
            click.echo(info.id)
    else:
        print_table(_HEAD, [_row(info) for info in infos], right=frozenset({3, 4, 6}))


def _row(info: SessionInfo) -> tuple[str, ...]:
    names = [spec.pattern for spec in info.patterns]
    shown = " ".join(names[:2]) + (f" +{len(names) - 2}" if len(names) > 2 else "")
    expires = f"in {-_ago(info.expires_at)}s" if info.expires_at else "-"
    waiting, lost = str(info.buffered_messages), str(info.lost)
    return (info.id, info.client or "-", shown or "-", waiting, lost, expires, age_text(info.created_at))


def _ago(moment: float) -> int:
    import time

    return int(time.time() - moment)


@session.command()
@click.argument("sessions", metavar="SESSION...", nargs=-1, required=True, type=SessionId())
@click.option("--reason", default="", help="What an attached client is told.")
def rm(sessions: tuple[str, ...], reason: str) -> None:
    """Close sessions: their clients are let go, their cursors forgotten."""
    with reach_node() as node:
        for text in sessions:
            found = resolve_session(node, text)
            node.sessions.close(found, reason)
            click.echo(found)


@session.command()
@click.argument("pattern")
@format_option("table", "json", "subject")
def subjects(pattern: str, form: str) -> None:
    """List the subjects there are now that match a pattern."""
    with reach_node() as node:
        found = list(node.sessions.subjects(pattern))
    if form == "json":
        print_json([as_dict(one) for one in found])
    elif form == "subject":
        for one in found:
            click.echo(one.subject)
    else:
        rows: list[tuple[str, ...]] = [
            (one.subject, "ended" if one.ended else "live", str(one.oldest), str(one.tail), str(one.stored_bytes))
            if one.durable
            else (one.subject, "feed", "-", "-", "-")
            for one in found
        ]
        print_table(("SUBJECT", "STATE", "OLDEST", "TAIL", "BYTES"), rows, right=frozenset({2, 3, 4}))


def as_dict(model: Any) -> dict[str, Any]:
    """A model with all its fields as plain builtins, ready for JSON."""
    from dataclasses import asdict

    return asdict(model)
