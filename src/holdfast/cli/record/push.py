"""``holdfast record push``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ..common import reach_node
from .common import error_as_dict, exit_code, run_stream

if TYPE_CHECKING:
    from ...records.model import PushResult
    from .bar import Bar
    from .input import Item


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", "lines", "json"]),
    default="auto",
    show_default=True,
    help="A record on each line, or one document: a record or an array of them.",
)
@click.option("--unique", is_flag=True, help="Count a record that was there already as failed.")
@click.option("--zstd", is_flag=True, help="Compress on the way, for a node far away.")
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="Records under way at once.")
@click.option("-q", "--quiet", is_flag=True, help="No bar, and of the results only the failures.")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["jsonl", "cid"]),
    default="jsonl",
    show_default=True,
    help="How to print the results.",
)
def push(
    files: tuple[str, ...], format_: str, unique: bool, zstd: bool, concurrency: int | None, quiet: bool, form: str
) -> int:
    """Store records from files, or from standard input with -.

    A file holds JSON lines, one JSON object, or an array of them, which shows by itself. Each record's result is a JSON
    line, in the order of the input; one that fails is named with file, line and reason, and the others are stored.
    What is printed with a CID is on disk. Pushing again what is there is free, so whatever ends this early, run it
    again: a first Ctrl-C stops reading and waits for the answers that are due.

    Exits with 1 if a record failed, 130 after Ctrl-C, 75 if no node was to be had for a minute.
    """
    from ...client.records.kinds import push_kind
    from .bar import Bar
    from .input import Files, record_item
    from .splitter import Format

    source = Files(files, Format(format_), record_item)
    bar = Bar("pushing", source.size_bytes, wanted=not quiet)
    report = _Report(bar, unique=unique, form="" if quiet else form)
    options: Any = {"compression": "zstd" if zstd else ""}
    if concurrency is not None:
        options["concurrency"] = concurrency
    with reach_node() as node:
        outcome = run_stream(node, push_kind(), source, report, bar, options)
    words = f"{report.stored:,} stored"
    if report.existed:
        words += f", {report.existed:,} there before"
    return exit_code(outcome, words, always=bar.on_terminal and not quiet)


class _Report:
    """Prints what became of each record."""

    def __init__(self, bar: Bar, *, unique: bool, form: str) -> None:
        self._bar = bar
        self._unique = unique
        self._form = form
        self.stored = 0
        self.existed = 0

    def __call__(self, item: Item, result: PushResult) -> bool:
        place, error = item.place, result.error
        found: dict[str, Any] = {"file": place.source, "line": place.line}
        if result.ref is not None:
            found["cid"] = result.ref.cid
        if result.existed:
            self.existed += 1
            found["existed"] = True
        failed = error is not None or (self._unique and result.existed)
        self.stored += error is None and not result.existed
        if failed:
            reason = str(error) if error is not None else "was there already"
            self._bar.complain(f"{place}: {reason}")
            found["error"] = {"code": "duplicate", "message": reason} if error is None else error_as_dict(error)
        if self._form == "jsonl" and not (failed and self._bar.on_terminal):
            self._bar.print(json.dumps(found, ensure_ascii=False))
        elif self._form == "cid" and not failed:
            self._bar.print(found["cid"])
        return failed
