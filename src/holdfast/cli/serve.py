"""``holdfast serve``."""

from __future__ import annotations

import os

import click

from ..paths import places


@click.command()
@click.option("--background", is_flag=True, help="Return at once and go on in the background.")
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
@click.option("--ready-fd", type=int, hidden=True)
def serve(
    background: bool,
    listen: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    tls_self_signed: bool,
    insecure_listen: bool,
    ready_fd: int | None,
) -> None:
    """Run a node.

    It serves until SIGTERM or Ctrl-C; jobs run on without it and are adopted again by the next one. Its log
    goes to standard error. HOLDFAST_STATE_DIR, HOLDFAST_RUNTIME_DIR and HOLDFAST_URL say where it lives.

    Without --listen it is reached on its unix socket only, by you. Whoever comes over TCP needs a token of
    `holdfast token mint`.
    """
    where = places()
    if background and ready_fd is None:
        from ..client.autostart import start_node

        answer = start_node(where, _spelled(listen, tls_cert, tls_key, tls_self_signed, insecure_listen))
        for url in (where.url, *answer.get("listening", ())):
            click.echo(url)
        if "fingerprint" in answer:
            click.echo(f"certificate {answer['certificate']}\nsha256 {answer['fingerprint']}", err=True)
        return
    if background:
        _leave_parent()
    from ..node.listening import ListenOptions
    from ..node.serve import serve as serve_node

    options = ListenOptions(listen, tls_cert or "", tls_key or "", tls_self_signed, insecure_listen)
    serve_node(where, ready_fd=ready_fd, options=options)


def _spelled(
    listen: tuple[str, ...], tls_cert: str | None, tls_key: str | None, tls_self_signed: bool, insecure_listen: bool
) -> list[str]:
    """The options as another process is given them, which runs elsewhere."""
    spelled = [f"--listen={url}" for url in listen]
    files = (("--tls-cert", tls_cert), ("--tls-key", tls_key))
    spelled += [f"{option}={os.path.abspath(path)}" for option, path in files if path]
    flags = (("--tls-self-signed", tls_self_signed), ("--insecure-listen", insecure_listen))
    return [*spelled, *(option for option, given in flags if given)]


def _leave_parent() -> None:
    """Become nobody's child, in a session of our own."""
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
