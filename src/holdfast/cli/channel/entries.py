"""``holdfast channel append | read | tail``."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING, Any

import click

from ...channels.packing import TYPES
from ...errors import EXIT_LINK_LOST, DisconnectedError, Unavailable, UsageError
from ..common import DURATION, Whole, format_option, payload_of
from ..entries import EntryPrinter, lines_of, print_appended, print_batch, read_whole, source_of
from ..jobs.screen import leave_with_reader, say
from .common import AFTER, CHANNEL, RECONNECT_S, SEQUENCE, opened

if TYPE_CHECKING:
    from ...channels.model import ChannelInfo
    from ...client.channels.sync import SyncChannel

_COUNT = Whole("a number of entries", 1)
_COUNT_OR_NONE = Whole("a number of entries")


@click.command()
@CHANNEL
@click.argument("text", nargs=-1)
@click.option("-f", "--file", type=click.File("rb"), help="Append a file's content; - is standard input.")
@click.option("--lines", is_flag=True, help="Each line is an entry of its own, appended as it comes.")
@click.option("--type", "type_", type=click.Choice(TYPES), default="data", show_default=True, help="What it is.")
@click.option("--content-type", default="", metavar="TYPE", help="What the payload is, such as application/json.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header; may be repeated.")
@click.option(
    "--reply-to", default=0, type=SEQUENCE, metavar="SEQUENCE", help="The other side's sequence this answers."
)
@click.option(
    "--sequence",
    default=0,
    type=SEQUENCE,
    metavar="N",
    help="Your own number for it; repeating it appends nothing.  [default: next]",
)
@format_option("name", "json")
def append(
    channel: str,
    text: tuple[str, ...],
    file: IO[bytes] | None,
    lines: bool,
    type_: Any,
    content_type: str,
    headers: tuple[str, ...],
    reply_to: int,
    sequence: int,
    form: str,
) -> None:
    """Append an entry; on disk when this returns.

    TEXT words are joined by spaces. Without TEXT or --file, standard input is the payload, or with --lines each of
    its lines. Prints the entry's index, or the first and the last one of each batch of lines.
    """
    if lines and (text or type_ != "data" or content_type or headers or reply_to or sequence):
        raise click.UsageError("--lines appends plain data from --file or standard input; no other option goes with it")
    source = source_of(text, file)
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        if lines and source is not None:
            _append_lines(found, source, form)
            return
        payload = payload_of(text) if source is None else read_whole(source)
        print_appended(
            form,
            found.append(
                payload,
                type=type_,
                sequence=sequence,
                in_reply_to=reply_to,
                content_type=content_type,
                headers=_headers(headers),
            ),
        )


def _append_lines(channel: SyncChannel, source: IO[bytes], form: str) -> None:
    for lines in lines_of(source):
        done = channel.append_batch(lines)
        if done.appended:
            print_batch(form, done)
        for refused in done.refused:
            raise refused.error


def _headers(pairs: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise UsageError(f"header: {pair!r} is not NAME=VALUE", field="header")
        headers[name] = value
    return headers


@click.command()
@CHANNEL
@click.option("--after", type=AFTER, metavar="INDEX", help="Only what comes after this entry.")
@click.option("--limit", type=_COUNT, metavar="N", help="At most so many.")
@click.option("--last", type=_COUNT, metavar="N", help="Only the newest so many.")
@click.option("--since", type=DURATION, metavar="DURATION", help="Only what is not older than this, such as 10m.")
@click.option("--by-sender", is_flag=True, help="Sorted by sender and sequence instead of as appended.")
@format_option("table", "text", "raw", "jsonl", "json")
def read(
    channel: str,
    after: int | None,
    limit: int | None,
    last: int | None,
    since: float | None,
    by_sender: bool,
    form: str,
) -> None:
    """Print entries.

    As a table, as text (each payload and a newline), raw (payloads and nothing else), or JSON.
    """
    with opened(channel) as found:
        entries = found.read(
            after=after,
            limit=limit or 0,
            last=last or 0,
            since=None if since is None else time.time() - since,
            order="sender" if by_sender else "index",
        )
    EntryPrinter(form).print(entries)


@click.command()
@CHANNEL
@click.option("--after", type=AFTER, metavar="INDEX", help="Begin after this entry.")
@click.option("--last", type=_COUNT_OR_NONE, metavar="N", help="Begin with the newest so many.  [default: 10]")
@click.option("--theirs", is_flag=True, help="Leave out what you appended yourself.")
@click.option("--until-end", is_flag=True, help="Stop after an end (0) or an error (1).")
@format_option("table", "text", "raw", "jsonl")
def tail(channel: str, after: int | None, last: int | None, theirs: bool, until_end: bool, form: str) -> int:
    """Follow a channel until it is closed.

    Goes on where it was when the node restarts; without a node for a minute it is 75, never 0, and says where to go
    on.
    """
    if after is not None and last is not None:
        raise click.UsageError("--after and --last exclude each other")
    printer = EntryPrinter(form)
    leave_with_reader()
    with opened(channel, reconnect_s=RECONNECT_S) as found:
        if after is None:
            after = _after_of_last(found.info(), 10 if last is None else last)
        subscription = found.subscribe(after=after, mine=not theirs)
        try:
            while entries := subscription.next_batch():
                ends = [place for place, entry in enumerate(entries) if until_end and entry.type in ("end", "error")]
                printer.print(entries[: ends[0] + 1] if ends else entries)
                if ends:
                    return int(entries[ends[0]].type == "error")
        except (DisconnectedError, Unavailable) as error:
            say(f"{error}")
            say(f"the link is lost; holdfast channel tail --after {subscription.after or 0} {channel}")
            return EXIT_LINK_LOST
    return 0


def _after_of_last(info: ChannelInfo, count: int) -> int:
    return max(info.oldest_index - 1, info.last_index - count)


COMMANDS = (append, read, tail)
