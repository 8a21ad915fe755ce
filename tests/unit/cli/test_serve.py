"""What ``serve --background`` hands on to the process that serves."""

from __future__ import annotations

import os

import click

from holdfast.cli.main import cli
from holdfast.cli.serve import _spelled, serve


def test_options_come_back_as_they_were_given() -> None:
    given = [
        "--listen=tls://h:1",
        "--listen=tcp://127.0.0.1:2",
        "--http=127.0.0.1:0",
        "--http-origin=https://a",
        "--http-open",
    ]
    # As the group does it: click remembers the names of the help option from a command's first context.
    context = serve.make_context("serve", list(given), parent=click.Context(cli, **cli.context_settings))
    listening = {
        name: value for name, value in context.params.items() if name not in ("background", "ready_fd", "engine")
    }
    assert sorted(_spelled(listening)) == sorted(given)


def test_files_are_named_for_a_process_that_runs_elsewhere() -> None:
    assert _spelled({"tls_cert": "c.pem", "tls_key": None}) == [f"--tls-cert={os.path.abspath('c.pem')}"]
    assert _spelled({"http_root": "pages"}) == [f"--http-root={os.path.abspath('pages')}"]
