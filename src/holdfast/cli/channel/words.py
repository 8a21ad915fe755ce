"""The commands under ``holdfast channel`` that say one thing: end, fail, cancel, steer, answer, applied and more."""

from __future__ import annotations

from typing import Any

import click

from ...errors import UsageError
from ..common import DURATION, format_option, payload_of
from ..entries import print_appended
from .common import CHANNEL, INDEX, RECONNECT_S, opened

_TEXT = click.argument("text", nargs=-1)
_TEXT_NEEDED = click.argument("text", nargs=-1, required=True)
_FORMAT = format_option("name", "json")
EXIT_DENIED_INPUT = 1
"""Of ``ask``: nobody answered in time, and the question's policy was to take that as a no."""


@click.command()
@CHANNEL
@_TEXT
@_FORMAT
def end(channel: str, text: tuple[str, ...], form: str) -> None:
    """Tell that your part is complete."""
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        print_appended(form, found.end(payload_of(text)))


@click.command()
@CHANNEL
@_TEXT_NEEDED
@_FORMAT
def fail(channel: str, text: tuple[str, ...], form: str) -> None:
    """Tell that your part ends with an error."""
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        print_appended(form, found.fail(" ".join(text)))


@click.command()
@CHANNEL
@_TEXT
@_FORMAT
def cancel(channel: str, text: tuple[str, ...], form: str) -> None:
    """Ask the other side to stop; it sees that also if it is not ready yet."""
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        print_appended(form, found.cancel(payload_of(text)))


@click.command()
@CHANNEL
@_TEXT_NEEDED
@_FORMAT
def steer(channel: str, text: tuple[str, ...], form: str) -> None:
    """Give the other side a new direction."""
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        print_appended(form, found.steer(payload_of(text)))


@click.command()
@CHANNEL
@_TEXT
@_FORMAT
def pause(channel: str, text: tuple[str, ...], form: str) -> None:
    """Ask the other side to wait."""
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        print_appended(form, found.pause(payload_of(text)))


@click.command()
@CHANNEL
@_TEXT
@_FORMAT
def resume(channel: str, text: tuple[str, ...], form: str) -> None:
    """Ask the other side to go on."""
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        print_appended(form, found.resume(payload_of(text)))


@click.command()
@CHANNEL
@_TEXT_NEEDED
@click.option(
    "--policy",
    type=click.Choice(["wait", "deny", "default"]),
    default="wait",
    show_default=True,
    help="When nobody answers in time: go on waiting, take it as a no, or take the default.",
)
@click.option("--expires", default="0s", type=DURATION, metavar="DURATION", help="How long there is time to answer.")
@click.option("--default", "default", metavar="TEXT", help="The answer if there is none in time.")
def ask(channel: str, text: tuple[str, ...], policy: Any, expires: float, default: str | None) -> int:
    """Ask for input, wait for the answer, print it.

    Exits with 1 if it was denied because nobody answered in time.
    """
    if (default is None) == (policy == "default"):
        raise UsageError("default: --default has to go with --policy default, and that with it", field="default")
    if bool(expires) == (policy == "wait"):
        raise UsageError(
            "expires: --expires has to go with --policy deny or default, and they with it", field="expires"
        )
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        answer = found.ask(payload_of(text), policy=policy, expires_s=expires, default=default)
    if answer.control.get("outcome") == "denied":
        return EXIT_DENIED_INPUT
    click.echo(answer.payload)
    return 0


@click.command()
@CHANNEL
@click.argument("index", type=INDEX)
@_TEXT
@_FORMAT
def answer(channel: str, index: int, text: tuple[str, ...], form: str) -> None:
    """Answer the question at INDEX; once, by whoever is first."""
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        print_appended(form, found.answer(index, payload_of(text)))


@click.command()
@CHANNEL
@click.argument("index", type=INDEX)
@_TEXT
@_FORMAT
def applied(channel: str, index: int, text: tuple[str, ...], form: str) -> None:
    """Tell that you have done what the control message at INDEX asks for."""
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        print_appended(form, found.applied(index, " ".join(text)))


@click.command()
@CHANNEL
@click.argument("index", type=INDEX)
@_TEXT
@_FORMAT
def refused(channel: str, index: int, text: tuple[str, ...], form: str) -> None:
    """Tell that you do not do what the control message at INDEX asks for."""
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        print_appended(form, found.refused(index, " ".join(text)))


COMMANDS = (end, fail, cancel, steer, pause, resume, ask, answer, applied, refused)
