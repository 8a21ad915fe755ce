"""``holdfast serve``."""

from __future__ import annotations

import os

import click

from ..paths import places


@click.command()
@click.option("--background", is_flag=True, help="Return at once and go on in the background.")
@click.option("--ready-fd", type=int, hidden=True)
def serve(background: bool, ready_fd: int | None) -> None:
    """Run a node.

    It serves until SIGTERM or Ctrl-C; jobs run on without it and are adopted again by the next one. Its log
    goes to standard error. HOLDFAST_STATE_DIR, HOLDFAST_RUNTIME_DIR and HOLDFAST_URL say where it lives.
    """
    where = places()
    if background and ready_fd is None:
        from ..client.autostart import start_node

        start_node(where)
        click.echo(where.url)
        return
    if background:
        _leave_parent()
    from ..node.serve import serve as serve_node

    serve_node(where, ready_fd=ready_fd)


def _leave_parent() -> None:
    """Become nobody's child, in a session of our own."""
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
