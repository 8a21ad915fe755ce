"""What ``holdfast session``, ``provider`` and ``pub`` share: which session is meant, patterns, messages as lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click
from click.shell_completion import CompletionItem

from ...errors import HoldfastError, SessionNotFound, UsageError
from ..common import reach_node

if TYPE_CHECKING:
    from ...client.sync import SyncNode
    from ...sessions.model import Message, PatternSpec

F = TypeVar("F", bound=Callable[..., Any])

RECONNECT_S = 60.0
"""How long who is attached waits for a node that restarts."""
_ID_LENGTH = 36


class SessionId(click.ParamType[str]):
    """A session by its id or the beginning of it; completes to those the node knows."""

    name = "session"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Candidates from the running node; none if none runs."""
        try:
            with reach_node(autostart=False) as node:
                infos = node.sessions.list()
        except HoldfastError:
            return []
        return [
            CompletionItem(info.id, help=" ".join(spec.pattern for spec in info.patterns))
            for info in infos
            if info.id.startswith(incomplete)
        ]


SESSION = click.argument("session", metavar="SESSION", type=SessionId())


def resolve_session(node: SyncNode, text: str) -> str:
    """The id that ``text`` is, or begins.  SessionNotFound; UsageError if several begin so."""
    if len(text) == _ID_LENGTH:
        return text
    found = [info.id for info in node.sessions.list() if info.id.startswith(text)] if text else []
    if not found:
        raise SessionNotFound(name=text)
    if len(found) > 1:
        raise UsageError(f"session: {text!r} is the beginning of {len(found)} ids: {', '.join(found[:4])}")
    return found[0]


def pattern_options(command: F) -> F:
    """Options that say how patterns are bound."""
    for option in (
        click.option("-f", "--file", "file", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Patterns from a JSON file: strings, or objects with their own policy; - is stdin."),
        click.option("--no-snapshot", is_flag=True, help="Do not begin with what feeds are at now."),
        click.option("--buffer", default=0, metavar="N", type=click.IntRange(min=0),
                     help="Messages of feeds that may wait for each pattern.  [default: the node's limit]"),
        click.option("--policy", type=click.Choice(["drop-oldest", "conflate", "disconnect"]), default="drop-oldest",
                     show_default=True, help="What becomes of messages of feeds when more wait than may."),
        click.option("--from-now", is_flag=True, help="Of durable sources that are there, only what is new."),
        click.argument("patterns", metavar="PATTERN...", nargs=-1),
    ):  # fmt: skip
        command = option(command)
    return command


def specs_from(
    patterns: tuple[str, ...], from_now: bool, policy: Any, buffer: int, no_snapshot: bool, file: str | None
) -> list[PatternSpec]:
    """What the options and arguments of :func:`pattern_options` ask for."""
    from ...sessions.model import PatternSpec

    specs = [
        PatternSpec(
            pattern=pattern,
            policy=policy,
            start="now" if from_now else "oldest",
            snapshot=not no_snapshot,
            buffer_messages=buffer,
        )
        for pattern in patterns
    ]
    return specs + (_specs_in(file) if file is not None else [])


def _specs_in(file: str) -> list[PatternSpec]:
    import json

    from ...sessions.model import PatternSpec

    with click.open_file(file) as stream:
        try:
            values = json.load(stream)
            return [PatternSpec(**({"pattern": value} if isinstance(value, str) else value)) for value in values]
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"{file}: not a list of patterns: {error}", field="file") from None


def pairs_of(texts: tuple[str, ...], what: str) -> dict[str, str]:
    """``NAME=VALUE`` texts as a dictionary."""
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise UsageError(f"{what}: {text!r} is not of the form NAME=VALUE", field=what)
        pairs[name] = value
    return pairs


def report_text(message: Message) -> str:
    """A report, as a person reads it."""
    detail = message.detail
    reason = detail.get("reason", "")
    match message.kind:
        case "lost":
            return f"{message.subject}: {detail.get('count')} messages were dropped ({detail.get('policy')})"
        case "ended":
            return f"{message.subject}: ended"
        case "gap" if message.durable:
            return f"{message.subject}: a gap from {message.position} to {message.next_position}: {reason}"
        case "gap":
            return f"{message.subject or 'feeds'}: a gap: {reason}"
        case "unbound":
            return f"{message.subject}: unbound: {reason}"
        case _:
            return f"{message.subject}: {message.kind}: {reason}"


class MessagePrinter:
    """Prints messages as they come, and sees to it that they are out before they count as dealt with."""

    def __init__(self, form: str) -> None:
        self._form = form

    def print(self, message: Message) -> None:
        """One message or report."""
        if self._form == "jsonl":
            import json

            from ...sessions.showing import as_json

            click.echo(json.dumps(as_json(message), ensure_ascii=False))
        elif message.kind != "message":
            click.echo(f"holdfast: {report_text(message)}", err=True)
        elif self._form == "raw":
            sys.stdout.flush()
            _write_all(message.payload)
        else:
            text = message.payload.decode(errors="replace")
            for line in text.splitlines() or [""]:
                click.echo(f"{message.subject}  {line}")
        sys.stdout.flush()


class Interruption:
    """Ctrl-C, which can be put off while something is done that must be done whole."""

    def __init__(self) -> None:
        self._busy = False
        self._pending = False
        self._before: Any = None

    def __enter__(self) -> Self:
        import signal

        self._before = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, *exception: object) -> None:
        import signal

        signal.signal(signal.SIGINT, self._before)

    def _interrupted(self, _signal: int, _frame: object) -> None:
        if not self._busy:
            raise KeyboardInterrupt
        self._pending = True

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Within this nothing is interrupted; after it, what was put off is."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        if self._pending:
            raise KeyboardInterrupt


def _write_all(data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(1, left) :]
