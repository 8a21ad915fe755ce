"""``holdfast record upload`` and ``download``: artifacts, bytes of any kind named by their content."""

from __future__ import annotations

import sys

import click

from ...errors import UsageError
from ..common import format_option, info_as_dict, print_json, reach_node
from .common import PATIENCE_S


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
@click.argument("cid", metavar="CID")
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


def _checked(name: str) -> str:
    import os

    try:
        os.close(os.open(name, os.O_RDONLY))
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}", field="file") from None
    if os.path.isdir(name):
        raise UsageError(f"{name}: is a directory", field="file")
    return name


COMMANDS = (upload, download)
