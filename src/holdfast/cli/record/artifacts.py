"""``holdfast record upload``, ``download`` and ``artifacts``: bytes of any kind named by their content."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ...errors import HoldfastError, NotFound, UsageError
from ..common import age_text, format_option, info_as_dict, print_json, print_json_lines, print_table, reach_node
from .common import PATIENCE_S

if TYPE_CHECKING:
    from ...records.model import Artifact


_CANDIDATES = 50


class ArtifactName(click.ParamType[str]):
    """An artifact by CID; completes to those the node has."""

    name = "artifact"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Candidates from the running node, some of them; none if none runs."""
        try:
            with reach_node(autostart=False) as node:
                found = [one for one in node.records.artifacts.list() if one.cid.startswith(incomplete)]
        except HoldfastError:
            return []
        return [
            CompletionItem(one.cid, help=one.media_type or f"{one.size_bytes} bytes") for one in found[:_CANDIDATES]
        ]


ARTIFACT = ArtifactName()


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("--type", "media_type", default="", metavar="MEDIA/TYPE", help="What it is, for those who ask.")
@format_option("cid", "json")
def upload(files: tuple[str, ...], media_type: str, form: str) -> None:
    """Store files of any kind and size as artifacts; prints the CID of each.

    On disk when its CID is printed. One that is broken off goes on where it was when the command is run again, except
    from standard input (-); what is there already is not sent.
    """
    from .bar import Bar

    with reach_node(reconnect_s=PATIENCE_S) as node:
        for name in files:
            with Bar(f"uploading {name}", 1) as bar:
                source = sys.stdin.buffer if name == "-" else _checked(name)
                made = node.records.artifacts.upload(source, media_type=media_type, progress=bar.show_bytes)
            if form == "json":
                print_json(info_as_dict(made))  # type: ignore[arg-type]
            else:
                click.echo(made.cid)


@click.command()
@click.argument("cid", metavar="CID", type=ARTIFACT)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
def download(cid: str, file: str) -> None:
    """Write the artifact CID to FILE, or with - to standard output.

    FILE is there when all of it is, and proven; FILE.part is what came until then, and running the command again goes
    on with it. Standard output gets each part as it comes, verified by the node.
    """
    from .bar import Bar

    with reach_node(reconnect_s=PATIENCE_S) as node:
        if file == "-":
            for part in node.records.artifacts.read(cid):
                sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
            return
        with Bar(f"downloading {file}", 1) as bar:
            node.records.artifacts.download(cid, file, progress=bar.show_bytes)


@click.command()
@click.argument("cids", metavar="[CID]...", nargs=-1, type=ARTIFACT)
@click.option("-d", "--delete", is_flag=True, help="Remove those named.")
@format_option("table", "json", "jsonl", "name")
def artifacts(cids: tuple[str, ...], delete: bool, form: str) -> None:
    """List artifacts, all or those named, or remove those named.

    Nothing but this removes an artifact: a collection leaves them alone. Prints the CIDs of what was removed; exits
    with 3 at the first that is not there.
    """
    if delete and not cids:
        raise UsageError("cid: none given; name what is to be removed", field="cid")
    with reach_node() as node:
        if delete:
            for cid in cids:
                if not node.records.artifacts.delete(cid):
                    raise NotFound(kind="artifact", name=cid)
                click.echo(cid)
            return
        found = map(node.records.artifacts.stat, cids) if cids else node.records.artifacts.list()
        _print_artifacts(list(found), form)


def _print_artifacts(found: list[Artifact], form: str) -> None:
    from dataclasses import asdict

    if form == "json":
        print_json([asdict(one) for one in found])
    elif form == "jsonl":
        print_json_lines(map(asdict, found))
    elif form == "name":
        for one in found:
            click.echo(one.cid)
    else:
        rows: list[tuple[str, ...]] = [
            (one.cid, one.media_type or "-", str(one.size_bytes), age_text(one.pushed_at)) for one in found
        ]
        print_table(("CID", "TYPE", "SIZE", "AGE"), rows, right=frozenset({2, 3}))


def _checked(name: str) -> str:
    import os

    try:
        os.close(os.open(name, os.O_RDONLY))
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}", field="file") from None
    if os.path.isdir(name):
        raise UsageError(f"{name}: is a directory", field="file")
    return name


COMMANDS = (upload, download, artifacts)
