"""``holdfast version``."""

from __future__ import annotations

import platform

import click

from .._version import __version__
from ..errors import Unavailable
from .common import format_option, info_as_dict, print_json, reach_node


@click.command()
@format_option("table", "json")
def version(form: str) -> None:
    """Print the versions of this command and of the node."""
    try:
        with reach_node(autostart=False) as node:
            info = info_as_dict(node.info())
    except Unavailable:
        info = None
    if form == "json":
        print_json({"version": __version__, "python": platform.python_version(), "node": info})
        return
    click.echo(f"holdfast  {__version__}  (Python {platform.python_version()})")
    click.echo(f"node      {info['version']}  pid {info['pid']}  {info['url']}" if info else "node      not running")
