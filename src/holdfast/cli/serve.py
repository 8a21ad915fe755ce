"""``holdfast serve``."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from ..errors import BusyError, DeadlineExceeded, NotFound, Unavailable
from ..paths import places
from .common import reach_node

if TYPE_CHECKING:
    from ..node.node import EngineKind

STOP_S = 30.0
"""A node gives calls under way five seconds, then closes its engine."""
_LOOK_S = 0.02

_FILES = ("tls_cert", "tls_key", "http_root", "nats_creds")
_NATS = "nats_"


@click.command()
@click.option("--background", is_flag=True, help="Return at once and go on in the background.")
@click.option("--stop", is_flag=True, help="End the node that runs, wait until it is gone, and say its process id.")
@click.option(
    "--listen",
    multiple=True,
    metavar="URL",
    help="Let token bearers in at tls://HOST:PORT or tcp://127.0.0.1:PORT too; may be repeated.",
)
@click.option("--tls-cert", metavar="FILE", help="PEM file of the certificate chain for tls://.")
@click.option("--tls-key", metavar="FILE", help="PEM file of its key, which only you can read.")
@click.option("--tls-self-signed", is_flag=True, help="Make a certificate for tls://, and say its fingerprint.")
@click.option("--insecure-listen", is_flag=True, help="Allow tcp:// where others may read along.")
@click.option("--http", metavar="HOST:PORT", help="Serve durable streams, health and metrics over HTTP there.")
@click.option("--http-host", multiple=True, metavar="NAME", help="A name HTTP is reached by; may be repeated.")
@click.option("--http-origin", multiple=True, metavar="ORIGIN", help="A web page that may use HTTP; may be repeated.")
@click.option("--http-open", is_flag=True, help="Let everybody on this machine use HTTP without a token.")
@click.option("--http-root", metavar="DIRECTORY", help="Serve the web pages in there too, to everybody.")
@click.option("--grpc", metavar="HOST:PORT", help="Serve records over gRPC there, as the AGNTCY Directory does.")
@click.option("--grpc-open", is_flag=True, help="Let everybody on this machine use gRPC without a token.")
@click.option(
    "--engine",
    type=click.Choice(["sqlite", "memory", "nats"]),
    default="sqlite",
    show_default=True,
    envvar="HOLDFAST_ENGINE",
    help="Where state lives; memory forgets it with the node, nats keeps it on NATS servers.",
)
@click.option("--nats-url", metavar="URL", help="Where they are: nats://HOST:PORT or tls://HOST:PORT, with commas.")
@click.option("--nats-prefix", metavar="NAME", help="Names the deployment there; one node has it at a time.")
@click.option("--nats-creds", metavar="FILE", help="Credentials for them; HOLDFAST_NATS_TOKEN and such work too.")
@click.option("--ready-fd", type=int, hidden=True)
@click.pass_context
def serve(
    context: click.Context, /, background: bool, stop: bool, ready_fd: int | None, engine: EngineKind, **listening: Any
) -> None:
    """Run a node.

    It serves until SIGTERM or Ctrl-C; jobs run on without it and are adopted again by the next one. Its log
    goes to standard error. HOLDFAST_STATE_DIR, HOLDFAST_RUNTIME_DIR and HOLDFAST_URL say where it lives,
    HOLDFAST_ENGINE which engine it has if --engine does not, also when another command starts it.

    Without --listen it is reached on its unix socket only, by you. Whoever comes over TCP needs a token of
    `holdfast token mint`. The same holds for --http and --grpc, unless --http-open and --grpc-open let everybody
    in; web pages are let in from --http-origin only, and those of --http-root: what `holdfast token link` is for.

    A node in the background is ended with --stop, by its owner; jobs run on without it.
    """
    if stop:
        asked = context.get_parameter_source("engine") is click.core.ParameterSource.COMMANDLINE
        if background or asked or any(listening.values()):
            raise click.UsageError("--stop ends a node; the other options are for starting one")
        _stop_node()
        return
    nats = {name.removeprefix(_NATS): value for name, value in listening.items() if name.startswith(_NATS) and value}
    if nats and engine != "nats":
        raise click.UsageError("--nats-url, --nats-prefix and --nats-creds go with --engine nats")
    where = places()
    if background and ready_fd is None:
        from ..client.autostart import start_node

        options_given = _spelled(listening)
        answer = start_node(where, [f"--engine={engine}", *options_given])
        if not answer and (options_given or engine != "sqlite"):
            raise BusyError(
                f"a node runs already at {where.url}; end it with `holdfast serve --stop` to start one like this"
            )
        for url in (where.url, *answer.get("listening", ())):
            click.echo(url)
        if "fingerprint" in answer:
            click.echo(f"certificate {answer['certificate']}\nsha256 {answer['fingerprint']}", err=True)
        return
    if background:
        _leave_parent()
    from ..node.listening import ListenOptions
    from ..node.serve import serve as serve_node

    given = {name: value for name, value in listening.items() if value is not None and not name.startswith(_NATS)}
    serve_node(where, ready_fd=ready_fd, options=ListenOptions(**given), engine=engine, nats=nats)


def _stop_node() -> None:
    """Have the node end, and wait for its process: the next one can be started when this returns."""
    from ..procinfo import process_alive, process_start_time

    try:
        with reach_node(autostart=False) as node:
            started = process_start_time(node.info().pid)
            pid = node.stop().pid
    except Unavailable:
        raise NotFound(f"no node runs at {places().url}", kind="node", name=places().url) from None
    until = time.monotonic() + STOP_S
    while process_alive(pid, started):
        if time.monotonic() > until:
            raise DeadlineExceeded(
                f"the node, process {pid}, was told to end {STOP_S:g} s ago and has not", phase="stop", after_s=STOP_S
            )
        time.sleep(_LOOK_S)
    click.echo(f"stopped {pid}")


def _spelled(listening: dict[str, Any]) -> list[str]:
    """The options as another process is given them, which runs elsewhere."""
    spelled = []
    for name, value in listening.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            spelled.append(option)
        elif isinstance(value, tuple):
            spelled += [f"{option}={one}" for one in value]
        elif value:
            spelled.append(f"{option}={os.path.abspath(value) if name in _FILES else value}")
    return spelled


def _leave_parent() -> None:
    """Become nobody's child, in a session of our own."""
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
