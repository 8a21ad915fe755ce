"""What the commands under ``holdfast record`` share: CIDs and tags as arguments, running a stream, its exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ...errors import HoldfastError, UsageError, exit_code_of, to_wire
from ..common import reach_node

if TYPE_CHECKING:
    from ...client.records.kinds import Kind
    from ...client.records.options import RecordStreamOptions
    from ...client.sync import SyncNode
    from .bar import Bar
    from .input import Item, Source
    from .run import Indexed, Outcome

R = TypeVar("R", bound="Indexed")
PATIENCE_S = 60.0
"""How long a command goes on without a node that answers."""
_CANDIDATES = 50
_LOWEST = "baeareia" + 51 * "a"
"""The CID that sorts before all others of records; the first seven characters of all are the same."""


class RecordName(click.ParamType[str]):
    """A record by CID, or by tag as NAME or NAME:VERSION; completes to tags, and to CIDs once one was begun."""

    name = "record"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Candidates from the running node, one page at most; none if none runs."""
        try:
            with reach_node(autostart=False) as node:
                found = [(f"{tag.name}:{tag.version}", tag.cid) for tag in node.records.tags()]
                if incomplete.startswith(_LOWEST[:7]):
                    metas = node.records.list(after=incomplete + _LOWEST[len(incomplete) :], limit=_CANDIDATES)
                    found += [(meta.cid, f"{meta.name} {meta.version}".strip()) for meta in metas]
        except HoldfastError:
            return []
        return [CompletionItem(name, help=about) for name, about in found if name.startswith(incomplete)][:_CANDIDATES]


RECORD = RecordName()


def is_cid(text: str) -> bool:
    """Whether it looks as CIDs do; a tag cannot."""
    return len(text) == 59 and text.startswith("b") and ":" not in text


def split_tag(text: str, default: str = "") -> tuple[str, str]:
    """Name and version of ``NAME[:VERSION]``; of several colons the last one counts, as versions hold none."""
    name, colon, version = text.rpartition(":") if ":" in text else (text, "", "")
    if not name or (colon and not version):
        raise UsageError(f"tag: {text!r} is not NAME or NAME:VERSION", field="tag")
    return name, version or default


def resolve(node: SyncNode, text: str) -> str:
    """The CID of a record given by CID or tag.  NotFound(kind="tag")."""
    return text if is_cid(text) else node.records.resolve(*split_tag(text)).cid


def source_of(node: SyncNode, names: tuple[str, ...]) -> Source:
    """CIDs from the arguments, tags among them resolved, or from standard input with ``-`` or without any.

    A tag that is not there fails by itself, unless it is all that was asked for: NotFound(kind="tag").
    """
    from .input import Arguments, Files, argument_item, cid_item
    from .splitter import Format

    if names == ("-",) or (not names and not sys.stdin.isatty()):
        return Files(("-",), Format.LINES, cid_item)
    if not names:
        raise UsageError("cid: none given; give CIDs or tags, or pipe them in", field="cid")
    if len(names) == 1:
        resolve(node, names[0])
    return Arguments(iter([argument_item(name, lambda text: resolve(node, text)) for name in names]))


def run_stream(
    node: SyncNode,
    kind: Kind[R],
    source: Source,
    report: Callable[[Item, R], bool],
    bar: Bar,
    options: RecordStreamOptions | None = None,
) -> Outcome:
    """Run a stream over ``source``; it goes on when the node restarts."""
    from ...client.records.sync_stream import SyncRecordStream
    from ...records.streaming.policy import Retry
    from .run import RecordRun

    chosen: Any = {"retry": Retry(patience_s=PATIENCE_S), **(options or {})}
    return RecordRun(SyncRecordStream(node, kind, chosen), source, report, bar).run()


def error_as_dict(error: HoldfastError) -> dict[str, Any]:
    """An error as results carry it."""
    return to_wire(error)


def exit_code(outcome: Outcome, words: str, *, always: bool = False) -> int:
    """What the command exits with, after saying ``words``: what was done, and what was not and why."""
    failure = outcome.failure
    parts = [f"interrupted: {words}" if outcome.interrupted else words]
    if outcome.failed:
        parts.append(f"{outcome.failed:,} failed")
    if outcome.interrupted or failure is not None:
        parts.append(f"{outcome.unanswered:,} not answered" if outcome.unanswered else "all that was read is answered")
    troubled = outcome.failed or outcome.interrupted or failure is not None
    if failure is not None and failure.__cause__ is not None:
        click.echo(f"holdfast: {failure.__cause__}", err=True)
    if troubled or always:
        click.echo(f"holdfast: {', '.join(parts)}", err=True)
    if outcome.interrupted:
        return 128 + outcome.interrupted
    if failure is not None:
        return exit_code_of(failure.__cause__ or failure)
    return 1 if outcome.failed else 0
