"""``holdfast token``: mint, link, ls, revoke."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from ..errors import HoldfastError, UsageError
from .channel.common import CHANNEL_NAME, resolve
from .common import DURATION, JOB, age_text, format_option, print_json, print_json_lines, print_table, reach_node

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..client.sync import SyncNode
    from ..security.identity import Role
    from ..security.model import LoginLink, MintedToken, TokenInfo


class _TokenId(click.ParamType[str]):
    """The id of a token; completes to those that are good."""

    name = "id"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Candidates from the running node; none if none runs."""
        from click.shell_completion import CompletionItem

        try:
            with reach_node(autostart=False) as node:
                good = [info for info in node.tokens.list() if not info.revoked_at and info.expires_at > time.time()]
        except HoldfastError:
            return []
        return [CompletionItem(info.id, help=info.subject) for info in good if info.id.startswith(incomplete)]


class _Scopes(click.ParamType[str]):
    """Scopes, with commas or spaces between them; the last one is completed."""

    name = "scope"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The scopes there are."""
        from click.shell_completion import CompletionItem

        from ..security.identity import SCOPES

        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + scope) for scope in SCOPES if scope.startswith(last)]


_HEAD = ("ID", "SUBJECT", "SCOPES", "ONLY", "ROLE", "AGE", "STATE")


@click.group()
def token() -> None:
    """Make, list and revoke tokens for callers from elsewhere.

    A token says who shows it and what they may do: node:read, jobs:read, jobs:write, jobs:start, channels:read,
    channels:write, channels:create, streams:read, streams:write, groups:read, groups:write, sessions:read,
    sessions:write, records:read, records:write, or admin, which is all of these and tokens too.
    Whoever may start jobs or type into them can do on this machine what you can.
    """


@token.command()
@click.option("--sub", "subject", metavar="NAME", required=True, help="Who will show it.")
@click.option(
    "--scope",
    "scopes",
    metavar="SCOPE",
    type=_Scopes(),
    multiple=True,
    required=True,
    help="What it allows; several, or repeated.",
)
@click.option("--job", default="", type=JOB, help="Only this job, and its channels.")
@click.option("--channel", default="", type=CHANNEL_NAME, metavar="[PROCESS/]NAME", help="Only this channel.")
@click.option(
    "--role", type=click.Choice(["submitter", "executor", "reader"]), help="Side of a channel; a reader writes nothing."
)
@click.option("--ttl", type=DURATION, default="1h", show_default=True, help="How long it is good.")
@format_option("token", "json")
def mint(subject: str, scopes: tuple[str, ...], job: str, channel: str, role: Any, ttl: float, form: str) -> None:
    """Make a token and print it.

    It is printed once and kept nowhere: let a file take it that only you can read, as with
    `(umask 077; holdfast token mint --sub ann --scope jobs:read > ann.token)`.
    """
    with reach_node() as node:
        minted = _mint(node, subject, scopes, ttl=ttl, job=job, channel=channel, role=role)
    if form == "json":
        print_json({"token": minted.token, **_as_dict(minted.info)})
    else:
        click.echo(minted.token)


@token.command()
@click.argument("token_id", metavar="[ID]", default="", type=_TokenId())
@click.option("--sub", "subject", metavar="NAME", help="Who will be logged in.")
@click.option(
    "--scope", "scopes", metavar="SCOPE", type=_Scopes(), multiple=True, help="What it allows; several, or repeated."
)
@click.option("--job", default="", type=JOB, help="Only this job, and its channels.")
@click.option("--channel", default="", type=CHANNEL_NAME, metavar="[PROCESS/]NAME", help="Only this channel.")
@click.option("--role", type=click.Choice(["submitter", "executor", "reader"]), help="Side of a channel.")
@click.option("--ttl", type=DURATION, default="12h", show_default=True, help="How long the login is good at most.")
@click.option("--to", default="", metavar="/PAGE", help="The page of --http-root the browser goes on to.")
@click.option("--base", default="", metavar="URL", help="The node's address as the browser knows it, behind a proxy.")
@format_option("url", "json")
def link(token_id: str, to: str, base: str, form: str, **wanted: Any) -> None:
    """Make a link that logs one browser in, and print it.

    It is good once, for five minutes. The browser gets the rights of the token ID of `token ls`, or of a new one
    made for it with the options of `token mint`, and keeps them until that ends or is revoked. Hand the link to
    nobody else: who opens it first is in.

    The node needs `serve --http`; with --http-root it serves the page that the browser shows then.
    """
    if bool(token_id) == bool(wanted["subject"] or wanted["scopes"]):
        raise UsageError("token link: give the ID of a token, or --sub and --scope for a new one", field="token_id")
    with reach_node() as node:
        made = node.tokens.link(token_id, to) if token_id else _link_to_new(node, to, **wanted)
    url = base.rstrip("/") + made.path if base else made.url
    if form == "json":
        print_json({"url": url, "token_id": made.token_id, "expires_at": made.expires_at})
    else:
        click.echo(url)


def _link_to_new(node: SyncNode, to: str, **wanted: Any) -> LoginLink:
    """A link to a token that nobody will ever see; it goes again if there is no link."""
    token_id = _mint(node, **wanted).info.id
    try:
        return node.tokens.link(token_id, to)
    except HoldfastError:
        node.tokens.revoke(token_id)
        raise


def _mint(
    node: SyncNode,
    subject: str | None,
    scopes: tuple[str, ...],
    *,
    ttl: float,
    job: str,
    channel: str,
    role: Role | None,
) -> MintedToken:
    """A job's name in front of a channel's is the job, as under ``holdfast channel``."""
    if "/" in channel:
        channel = resolve(node, channel, existing=True)
    words = " ".join(scopes).replace(",", " ").split()
    return node.tokens.mint(subject or "", words, ttl_s=ttl, job=job, channel=channel, role=role or "")


@token.command("ls")
@format_option("table", "json", "jsonl", "name")
def list_tokens(form: str) -> None:
    """List tokens: their ids, whose they are, what they allow. Never the tokens themselves."""
    with reach_node() as node:
        infos = node.tokens.list()
    if form == "json":
        print_json([_as_dict(info) for info in infos])
    elif form == "jsonl":
        print_json_lines(_as_dict(info) for info in infos)
    elif form == "name":
        for info in infos:
            click.echo(info.id)
    else:
        print_table(_HEAD, [_row(info) for info in infos])


@token.command()
@click.argument("token_ids", metavar="ID...", nargs=-1, required=True, type=_TokenId())
def revoke(token_ids: tuple[str, ...]) -> None:
    """Make tokens worthless, at once.

    ID is what `token ls` shows; that of a job's own token is job- and the job's id. Connections made with it are
    closed.
    """
    with reach_node() as node:
        for token_id in token_ids:
            node.tokens.revoke(token_id)
            click.echo(token_id)


def _row(info: TokenInfo) -> tuple[str, ...]:
    only = info.channel or info.job or "-"
    return (
        info.id,
        info.subject,
        " ".join(info.scopes),
        only,
        info.role or "-",
        age_text(info.issued_at),
        _state(info),
    )


def _state(info: TokenInfo) -> str:
    if info.revoked_at:
        return "revoked"
    left_s = info.expires_at - time.time()
    return f"good for {age_text(time.time() - left_s)}" if left_s > 0 else "expired"


def _as_dict(info: TokenInfo) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(info)
