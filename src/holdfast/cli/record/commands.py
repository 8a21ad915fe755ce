"""``holdfast record``: JSON documents named by their content."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from ...errors import EXIT_LINK_LOST, DisconnectedError, NotFound, Unavailable, UsageError
from ..common import (
    DURATION,
    JsonArray,
    age_text,
    format_option,
    print_json,
    print_json_lines,
    print_table,
    reach_node,
)
from . import artifacts, items
from .common import PATIENCE_S, RECORD, is_cid, resolve, split_tag
from .push import push

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...records.model import FeedEntry, RecordMeta, Tag

_HEAD = ("CID", "NAME", "VERSION", "SIZE", "AGE")
_TAG_HEAD = ("TAG", "CID", "AGE")
_ROWS = 500


@click.group()
def record() -> None:
    """Store and read records: JSON objects named by their content.

    A record's name is its CID. Where a command takes a CID, a tag does too, as NAME (what was tagged last) or
    NAME:VERSION.
    """


for _command in (push, *items.COMMANDS, *artifacts.COMMANDS):
    record.add_command(_command)


def _as_dict(model: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(model)


@record.command()
@click.option("--name", default="", help="Only records of this name.")
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Only with this; repeatable.")
@click.option("--after", default="", metavar="CID", help="Only those after this one.")
@click.option("--limit", default=0, type=click.IntRange(min=0), metavar="N", help="At most so many.  [default: all]")
@format_option("table", "json", "jsonl", "name")
def ls(name: str, annotations: tuple[str, ...], after: str, limit: int, form: str) -> None:
    """List records by CID; read page by page, printed as they come."""
    wanted = dict(_pair(text) for text in annotations)
    with reach_node() as node:
        metas = node.records.list(name=name, annotations=wanted, after=after, limit=limit)
        if form == "json":
            print_json([_as_dict(meta) for meta in metas])
        elif form == "jsonl":
            print_json_lines(map(_as_dict, metas))
        elif form == "name":
            for meta in metas:
                click.echo(meta.cid)
        else:
            _print_rows(metas)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"annotation: {text!r} is not KEY=VALUE", field="annotation")
    return key, value


def _print_rows(metas: Iterator[RecordMeta]) -> None:
    """Some hundred at a time, so that the first are there at once."""
    head = _HEAD
    rows = [_row(meta) for meta in islice(metas, _ROWS)]
    print_table(head, rows, right=frozenset({3, 4}))
    while rows := [_row(meta) for meta in islice(metas, _ROWS)]:
        print_table(rows[0], rows[1:], right=frozenset({3, 4}))


def _row(meta: RecordMeta) -> tuple[str, ...]:
    return (meta.cid, _shown(meta.name), _shown(meta.version), str(meta.size_bytes), age_text(meta.pushed_at))


def _shown(text: str) -> str:
    """What a record says must not steer our terminal."""
    text = text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= 40 else f"{text[:39]}…"


@record.command()
@click.argument("tag_", metavar="[NAME[:VERSION]]", default="")
@click.argument("cid", metavar="[CID]", default="", type=RECORD)
@click.option("-d", "--delete", is_flag=True, help="Remove the tag.")
@format_option("table", "json", "jsonl", "name")
def tag(tag_: str, cid: str, delete: bool, form: str) -> None:
    """Name a record, show names, or remove one.

    With a CID the tag stands for that record from now on; its version is latest unless one is given. Without one the
    tags of that name are shown, without a name all.
    """
    with reach_node() as node:
        if delete:
            name, version = split_tag(tag_, "latest")
            if cid:
                raise UsageError("cid: --delete removes a tag, and takes none", field="cid")
            if not node.records.untag(name, version):
                raise NotFound(kind="tag", name=f"{name}:{version}")
            return
        if cid:
            name, version = split_tag(tag_, "latest")
            found = [node.records.tag(name, version, resolve(node, cid))]
        elif tag_:
            found = [*_tags_of(node, tag_)]
        else:
            found = [*node.records.tags()]
    _print_tags(found, form)


def _tags_of(node: Any, text: str) -> Iterable[Tag]:
    if is_cid(text):
        return list(node.records.tags(ref=text))
    name, version = split_tag(text)
    return [node.records.resolve(name, version)] if version else list(node.records.tags(name=name))


def _print_tags(tags: list[Tag], form: str) -> None:
    if form == "json":
        print_json([_as_dict(tag) for tag in tags])
    elif form == "jsonl":
        print_json_lines(map(_as_dict, tags))
    elif form == "name":
        for each in tags:
            click.echo(f"{each.name}:{each.version}")
    else:
        rows: list[tuple[str, ...]] = [(f"{e.name}:{e.version}", e.cid, age_text(e.tagged_at)) for e in tags]
        print_table(_TAG_HEAD, rows, right=frozenset({2}))


@record.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--grace", type=DURATION, metavar="DURATION", help="Spare what came less than this ago.  [default: 1d]")
@format_option("text", "json")
def gc(dry_run: bool, grace: float | None, form: str) -> None:
    """Remove records that nothing keeps.

    A tag keeps a record, and so do what is attached to it, the job it seals, and a newer record that names it as its
    previous one.
    """
    with reach_node() as node:
        report = node.records.gc(dry_run=dry_run, grace_s=grace)
    if form == "json":
        print_json(_as_dict(report))
        return
    for cid in report.removed_cids:
        click.echo(cid)
    verb = "would be removed" if dry_run else "removed"
    words = f"{report.removed:,} of {report.examined:,} {verb} ({report.removed_bytes:,} bytes), {report.kept:,} kept"
    click.echo(f"holdfast: {words}", err=True)


@record.command()
@click.argument("records", metavar="CID...", nargs=-1, required=True, type=RECORD)
@click.option("--grace", type=DURATION, metavar="DURATION", help="As for gc.  [default: 1d]")
@format_option("text", "json", "jsonl")
def why(records: tuple[str, ...], grace: float | None, form: str) -> None:
    """Say what keeps records from being collected."""
    with reach_node() as node:
        found = [node.records.why(resolve(node, text), grace_s=grace) for text in records]
    if form == "json":
        print_json([_as_dict(each) for each in found])
    elif form == "jsonl":
        print_json_lines(map(_as_dict, found))
    else:
        for each in found:
            reasons = [f"{reason} {detail}".strip() for reason, detail in zip(each.reasons, each.details, strict=False)]
            click.echo(f"{each.cid}  {'; '.join(reasons) or 'nothing: the next collection takes it'}")


@record.command()
@click.option("--from", "from_", type=click.IntRange(min=0), metavar="CURSOR", help="Begin here; 0: the oldest kept.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@format_option("jsonl", "json", "table")
def feed(from_: int | None, follow: bool, form: str) -> int:
    """Print changes of records: pushed, deleted, tagged and so on.

    Each line has its position; the next one is the cursor to go on from, also after restarts. Without --from it begins
    with the oldest change kept, or with -f with what comes from now on. Exits with 6 if changes from there on are gone,
    75 if no node was to be had for a minute.
    """
    if follow and form == "json":
        raise click.UsageError("-o json is one document, which --follow never ends; give -o jsonl")
    array = JsonArray(click.echo) if form == "json" else None
    with reach_node(reconnect_s=PATIENCE_S) as node:
        changes = node.records.feed(from_ if from_ is not None or follow else 0, follow=follow)
        try:
            for entry in changes:
                _print_change(entry, form, array)
        except (DisconnectedError, Unavailable) as error:
            click.echo(f"holdfast: {error}", err=True)
            click.echo(f"holdfast: the link is lost; holdfast record feed -f --from {changes.position}", err=True)
            return EXIT_LINK_LOST
    if array is not None:
        array.end()
    return 0


def _print_change(entry: FeedEntry, form: str, array: JsonArray | None) -> None:
    if array is not None:
        array.add(json.dumps(_as_dict(entry), ensure_ascii=False))
    elif form == "jsonl":
        print_json_lines([_as_dict(entry)])
    else:
        click.echo(f"{entry.position:>8}  {entry.kind:<16}  {entry.cid}  {_shown(entry.name)}".rstrip())
