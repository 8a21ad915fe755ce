"""The commands under ``holdfast record`` that take CIDs: pull, lookup, rm, verify."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ...errors import HoldfastError
from ..common import JsonArray, format_option, reach_node
from .common import RECORD, error_as_dict, exit_code, run_stream, source_of

if TYPE_CHECKING:
    from ...client.records.kinds import Kind
    from ...records.model import DeleteResult, LookupResult, PullResult
    from .run import Indexed

R = TypeVar("R", bound="Indexed")
Shown = tuple[str, HoldfastError | None]
"""A line of the results, and why it failed."""

_RECORDS = click.argument("records", metavar="[CID|TAG]...", nargs=-1, type=RECORD)


def _run(
    what: str, names: tuple[str, ...], kind: Kind[R], show: Callable[[str, R], Shown], words: str, form: str = "jsonl"
) -> int:
    """Run a stream over records that are named; print each result as ``show`` has it, with ``json`` as one array."""
    from .bar import Bar

    with reach_node() as node:
        source = source_of(node, names)
        bar = Bar(what, 0, wanted=not names or names == ("-",))
        array = JsonArray(bar.print) if form == "json" else None

        def report(item: Any, result: R) -> bool:
            name = str(item.value) or str(item.place)
            line, error = show(name, result)
            if error is not None:
                bar.complain(f"{name}: {error}")
            if array is not None:
                array.add(line)
            elif line and not (error is not None and bar.on_terminal):
                bar.print(line)
            return error is not None

        outcome = run_stream(node, kind, source, report, bar)
    if array is not None:
        array.end()
        bar.flush()
    return exit_code(outcome, f"{outcome.done - outcome.failed:,} {words}")


def _line(cid: str, error: HoldfastError | None, **more: Any) -> str:
    found = {"cid": cid, **more}
    if error is not None:
        found["error"] = error_as_dict(error)
    return json.dumps(found, ensure_ascii=False)


@click.command()
@_RECORDS
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["record", "jsonl", "json"]),
    default="record",
    show_default=True,
    help="The records alone, one a line; with their CIDs and errors; or indented.",
)
def pull(records: tuple[str, ...], form: str) -> int:
    """Print records, one a line, as they can be pushed again.

    CIDs, or lines that push printed, may also come on standard input. What comes is compared with its CID. Exits with 1
    if a record was not there or not whole.
    """
    from ...client.records.kinds import pull_kind

    def show(cid: str, result: PullResult) -> Shown:
        if form == "jsonl":
            more = {} if result.record is None else {"record": result.record}
            return _line(cid, result.error, **more), result.error
        if result.record is None:
            return "", result.error
        return json.dumps(result.record, ensure_ascii=False, indent=2 if form == "json" else None), None

    return _run("pulling", records, pull_kind(), show, "pulled")


@click.command()
@_RECORDS
@format_option("jsonl", "json")
def lookup(records: tuple[str, ...], form: str) -> int:
    """Print what is known of records without reading them, as JSON.

    CIDs may also come on standard input. Exits with 1 if a record was not there.
    """
    from dataclasses import asdict

    from ...client.records.kinds import lookup_kind

    def show(cid: str, result: LookupResult) -> Shown:
        if result.meta is None:
            return _line(cid, result.error), result.error
        return json.dumps(asdict(result.meta), ensure_ascii=False), None

    return _run("looking up", records, lookup_kind(), show, "found", form)


@click.command()
@_RECORDS
@click.option("-f", "--force", is_flag=True, help="A record that is not there is no failure.")
@format_option("jsonl", "json")
def rm(records: tuple[str, ...], force: bool, form: str) -> int:
    """Remove records, with their tags and what is attached to them.

    CIDs may also come on standard input. Exits with 1 if a record was not there.
    """
    from ...client.records.kinds import delete_kind

    def show(cid: str, result: DeleteResult) -> Shown:
        error = None if force and result.not_found else result.error
        return _line(cid, error, deleted=result.error is None), error

    return _run("removing", records, delete_kind(), show, "removed", form)


@click.command()
@_RECORDS
@format_option("jsonl", "json")
def verify(records: tuple[str, ...], form: str) -> int:
    """Read records and prove that they are what their CIDs say, at the node and here.

    Exits with 1 if one is not there or not whole.
    """
    from ...client.records.kinds import pull_kind

    def show(cid: str, result: PullResult) -> Shown:
        return _line(cid, result.error, verified=result.error is None), result.error

    return _run("verifying", records, pull_kind(), show, "verified", form)


COMMANDS = (pull, lookup, rm, verify)
