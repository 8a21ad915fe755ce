"""``holdfast group``: messages that peers keep in one causal order, over a network that loses things."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from ..errors import EXIT_LINK_LOST, DisconnectedError, HoldfastError, Unavailable
from ..sync.groups import GROUPS_PROCESS, group_channel
from .channel.common import RECONNECT_S, as_dict
from .common import age_text, format_option, payload_of, print_json, print_json_lines, print_table, reach_node
from .entries import EntryPrinter, lines_of, read_whole, source_of
from .jobs.screen import say

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..channels.model import ChannelInfo
    from ..sync.groups import GroupInfo, GroupSpec

_HEAD = ("GROUP", "ME", "STATE", "SYNC", "OVER", "MESSAGES", "UNACKED", "MISSING", "PEERS", "AGE")


class _GroupName(click.ParamType[str]):
    """A group of the node; completes to their names."""

    name = "group"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The groups of the running node; none if none runs."""
        from click.shell_completion import CompletionItem

        try:
            with reach_node(autostart=False) as node:
                infos = node.groups.list()
        except HoldfastError:
            return []
        return [
            CompletionItem(info.spec.name, help=_over(info.spec))
            for info in infos
            if info.spec.name.startswith(incomplete)
        ]


_KEY_FILE = click.option(
    "--key-file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Seal with the key in this file, which only you may read; `holdfast group key` makes one.",
)
_GROUP = click.argument("group_name", metavar="GROUP", type=_GroupName())
_GROUPS = click.argument("group_names", metavar="GROUP...", nargs=-1, required=True, type=_GroupName())


@click.group()
def group() -> None:
    """Keep one causally ordered log with others, over a network that loses things.

    Everything that any participant sends is delivered to all, once, after all that it answers. A group's messages are
    in the channel groups/GROUP, with all that channels offer; what is appended there is sent.
    """


@group.command()
@click.argument("group_name", metavar="GROUP")
@click.option("--me", required=True, metavar="NAME", help="Your name in the group; nobody else in it may have it.")
@click.option("--multicast", default="", metavar="IP:PORT", help="Everyone listening there: 239.192.7.3:7946.")
@click.option("--listen", default="", metavar="IP:PORT", help="Listen there, for the peers given; port 0: a free one.")
@click.option("--peer", "peers", multiple=True, metavar="IP:PORT", help="Another participant; may be repeated.")
@click.option("--bus", is_flag=True, help="Over the engine's bus, to other nodes of the same cluster.")
@click.option("--interface", default="", metavar="IP", help="The interface for multicast, by its address.")
@click.option("--ttl", default=1, show_default=True, metavar="N", help="Routers a multicast datagram may pass.")
@click.option(
    "--profile",
    type=click.Choice(["lan", "wan", "interop", "interop-nim"]),
    default="lan",
    show_default=True,
    help="Timers and sizes; the same for all of a group.",
)
@click.option(
    "--dialect",
    type=click.Choice(["spec", "nim"]),
    default="spec",
    show_default=True,
    help="The wire; the same for all.",
)
@_KEY_FILE
@format_option("name", "json")
def create(group_name: str, me: str, peers: tuple[str, ...], key_file: str | None, form: str, **options: Any) -> None:
    """Take part in a group from now on, over restarts too.

    There is nobody who has the group: everyone who is to take part says the same name and the same network. Over
    UDP whoever reaches that network can speak and read along, unless all have the same key.
    """
    key = _key_of(key_file)
    with reach_node() as node:
        made = node.groups.create(group_name, me, peers=list(peers), key=key, **options)
        info = made.status()
    if form == "json":
        print_json(as_dict(info))
    else:
        click.echo(f"{group_name} {info.address}".rstrip())


@group.command()
@_GROUP
@click.option("--peer", "peers", multiple=True, metavar="IP:PORT", help="Change the peers to these first.")
@_KEY_FILE
@click.option("--no-key", is_flag=True, help="Seal with no key any more: whoever reaches the group speaks in it.")
@format_option("name", "json")
def join(group_name: str, peers: tuple[str, ...], key_file: str | None, no_key: bool, form: str) -> None:
    """Take part again in a group that was left, from where it was; or change its peers, or its key.

    --key-file replaces the key, --no-key removes it; without either it stays. All of the group need the same.
    """
    if key_file is not None and no_key:
        raise click.UsageError("--key-file and --no-key exclude each other")
    key = _key_of(key_file)
    with reach_node() as node:
        found = node.groups.group(group_name)
        if peers:
            found.set_peers(peers)
        if key or no_key:
            found.set_key(key)
        info = found.join()
    if form == "json":
        print_json(as_dict(info))
    else:
        click.echo(f"{group_name} {info.address}".rstrip())


def _key_of(path: str | None) -> bytes:
    """The key in the file; empty: none was given."""
    if path is None:
        return b""
    from ..sync.keys import read_key

    return read_key(path)


@group.command()
def key() -> None:
    """Make a key for a group and print it.

    It is kept nowhere: let a file take it that only you can read, as with `(umask 077; holdfast group key > ops.key)`,
    and give it to all who are to take part, over a way that you trust. `holdfast group create --key-file` begins with
    it, `holdfast group join --key-file` replaces a group's key, and `holdfast group join --no-key` removes it.
    """
    from ..sync.keys import key_text, new_key

    click.echo(key_text(new_key()))


@group.command()
@_GROUPS
def leave(group_names: tuple[str, ...]) -> None:
    """Take no part for now; what is there stays."""
    with reach_node() as node:
        for name in group_names:
            node.groups.group(name).leave()
            click.echo(name)


@group.command()
@_GROUP
@click.argument("text", nargs=-1)
@click.option("-f", "--file", type=click.File("rb"), help="Send a file's content; - is standard input.")
@click.option("--lines", is_flag=True, help="Each line is a message of its own, sent as it comes.")
@click.option("--ephemeral", is_flag=True, help="To whoever listens now: not kept, not ordered, not sent again.")
@format_option("name", "json")
def send(
    group_name: str, text: tuple[str, ...], file: IO[bytes] | None, lines: bool, ephemeral: bool, form: str
) -> None:
    """Send a message; on disk and on its way when this returns.

    TEXT words are joined by spaces. Without TEXT or --file, standard input is the message, or with --lines each of
    its lines. Prints each message's index in the channel.
    """
    source = source_of(text, file)
    with reach_node(reconnect_s=RECONNECT_S) as node:
        found = node.groups.group(group_name)
        if source is None:
            contents = [payload_of(text)]
        elif not lines:
            contents = [read_whole(source)]
        else:
            for some in lines_of(source):
                for line in some:
                    if line:
                        _print_sent(found.send(line, ephemeral=ephemeral), form)
            return
        for content in contents:
            _print_sent(found.send(content, ephemeral=ephemeral), form)


def _print_sent(sent: Any, form: str) -> None:
    if form == "json":
        print_json_lines([as_dict(sent)])
    elif sent.index:
        click.echo(str(sent.index))


@group.command()
@_GROUP
@click.option("--after", type=click.IntRange(min=0), metavar="INDEX", help="Begin after this entry of the channel.")
@click.option("--last", type=click.IntRange(min=0), metavar="N", help="Begin with the newest so many.  [default: 10]")
@click.option("--theirs", is_flag=True, help="Leave out what this node's participant sent.")
@format_option("table", "text", "raw", "jsonl")
def tail(group_name: str, after: int | None, last: int | None, theirs: bool, form: str) -> int:
    """Follow a group's messages in causal order.

    Goes on where it was when the node restarts; without a node for a minute it is 75, and says where to go on.
    """
    if after is not None and last is not None:
        raise click.UsageError("--after and --last exclude each other")
    printer = EntryPrinter(form)
    with reach_node(reconnect_s=RECONNECT_S) as node:
        found = node.groups.get(group_name)
        me = found.status().spec.me if theirs else ""
        if after is None:
            after = _after_of_last(found.channel.info(), 10 if last is None else last)
        subscription = found.channel.subscribe(after=after)
        try:
            while entries := subscription.next_batch():
                printer.print([entry for entry in entries if not me or entry.sender != me])
        except (DisconnectedError, Unavailable) as error:
            say(f"{error}")
            say(f"the link is lost; holdfast group tail --after {subscription.after or 0} {group_name}")
            return EXIT_LINK_LOST
    return 0


def _after_of_last(info: ChannelInfo, count: int) -> int:
    return max(info.oldest_index - 1, info.last_index - count)


@group.command()
@click.argument("group_names", metavar="[GROUP]...", nargs=-1, type=_GroupName())
@format_option("table", "json", "jsonl", "name")
def status(group_names: tuple[str, ...], form: str) -> None:
    """Show how groups stand; without a name all of them."""
    with reach_node() as node:
        infos = [node.groups.group(name).status() for name in group_names] if group_names else node.groups.list()
    if form == "json":
        print_json([as_dict(info) for info in infos])
    elif form == "jsonl":
        print_json_lines(map(as_dict, infos))
    elif form == "name":
        for info in infos:
            click.echo(info.spec.name)
    else:
        print_table(_HEAD, [_row(info) for info in infos], right=frozenset({5, 6, 7, 8, 9}))
        if group_names:
            _print_peers(infos)
        for info in infos:
            for remark in _remarks(info):
                say(f"{info.spec.name}: {remark}")


def _print_peers(infos: list[GroupInfo]) -> None:
    """Who was heard, when, and how many of our messages each may lack."""
    rows: list[tuple[str, ...]] = [
        (info.spec.name, peer.name, age_text(peer.last_seen), str(peer.behind)) for info in infos for peer in info.peers
    ]
    if rows:
        click.echo()
        print_table(("GROUP", "PEER", "HEARD", "BEHIND"), rows, right=frozenset({2, 3}))


def _remarks(info: GroupInfo) -> Iterator[str]:
    """What somebody should look at."""
    if info.error:
        yield info.error
    if info.malformed:
        yield (
            f"{info.malformed} packets were no messages of this group: of another dialect, another group, strangers, or"
            " sealed with a key"
        )
    if info.unverified:
        yield f"{info.unverified} datagrams were not sealed with this group's key, or came before"
    if info.namesake:
        yield (
            f"{info.namesake} messages came under the name {info.spec.me} that are not of this node: of an earlier"
            " life, or somebody else has the name"
        )
    if info.skipped:
        yield f"{info.skipped} messages are only in the group or only in {info.channel}: larger than the other takes"


def _row(info: GroupInfo) -> tuple[str, ...]:
    counts = (info.history, info.outgoing, info.missing, len(info.peers))
    return (
        info.spec.name,
        info.spec.me,
        info.state,
        info.sync or "-",
        _over(info.spec) + (" sealed" if info.sealed else ""),
        *map(str, counts),
        age_text(info.created_at),
    )


def _over(spec: GroupSpec) -> str:
    return "bus" if spec.bus else spec.multicast or spec.listen


@group.command()
@_GROUP
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=0), help="Newest messages shown.")
@format_option("table", "json")
def snapshot(group_name: str, limit: int, form: str) -> None:
    """Show the newest messages in the order that all participants agree on, and what is missing."""
    with reach_node() as node:
        found = node.groups.group(group_name).snapshot(limit)
    if form == "json":
        print_json(as_dict(found))
        return
    rows: list[tuple[str, ...]] = [(str(one.lamport), one.id, one.sender, str(one.content_bytes)) for one in found.log]
    print_table(("TIME", "ID", "SENDER", "BYTES"), rows, right=frozenset({0, 3}))
    for message_id in found.missing:
        click.echo(f"missing: {message_id}")


@group.command()
@_GROUPS
@click.option("--keep-channel", is_flag=True, help=f"Keep the messages in the channel {GROUPS_PROCESS}/GROUP.")
def rm(group_names: tuple[str, ...], keep_channel: bool) -> None:
    """Leave groups and forget them, with their channels."""
    with reach_node() as node:
        for name in group_names:
            node.groups.group(name).remove(keep_channel=keep_channel)
            click.echo(name if not keep_channel else f"{name} {group_channel(name)}")
