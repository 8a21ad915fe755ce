"""Entries of a channel as a command prints and takes them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from ..errors import MessageTooLarge, UsageError
from ..limits import LIMITS
from .common import print_json, print_json_lines

if TYPE_CHECKING:
    from ..channels.unpacking import Entry
    from ..client.channels.appending import Appended, BatchAppended

"""``text``: each payload and a newline; ``raw``: the payloads' bytes and nothing else."""

_LINES_BYTES = 1 << 20
_TABLE_WIDTHS = (8, 12, 16, 11)


def entry_as_dict(entry: Entry) -> dict[str, Any]:
    """All of an entry that is not empty, ready for JSON; a payload that is no text as base64."""
    found = {
        "index": entry.index,
        "sender": entry.sender,
        "sequence": entry.sequence,
        "in_reply_to": entry.in_reply_to,
        "timestamp": entry.timestamp,
        "type": entry.type,
        **_payload(entry.payload),
        "error": entry.error,
        "content_type": entry.content_type,
        "headers": dict(entry.headers),
        "late": entry.late,
        "control": dict(entry.control),
    }
    always = ("index", "sender", "sequence", "timestamp", "type", "payload")
    return {name: value for name, value in found.items() if value or name in always}


def _payload(data: bytes) -> dict[str, str]:
    try:
        return {"payload": data.decode()}
    except UnicodeDecodeError:
        from base64 import b64encode

        return {"payload_base64": b64encode(data).decode()}


class EntryPrinter:
    """Prints entries as they come."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._headed = False

    def print(self, entries: Iterable[Entry]) -> None:
        """These, and what was printed before is out when it returns."""
        if self._form == "json":
            print_json([entry_as_dict(entry) for entry in entries])
        elif self._form == "jsonl":
            print_json_lines(map(entry_as_dict, entries))
        elif self._form == "table":
            self._print_rows(entries)
        else:
            end = b"\n" if self._form == "text" else b""
            sys.stdout.buffer.write(b"".join([entry.payload + end for entry in entries]))
        sys.stdout.flush()

    def _print_rows(self, entries: Iterable[Entry]) -> None:
        if not self._headed:
            self._headed = True
            self._print_row("INDEX", "TIME", "SENDER", "TYPE", "PAYLOAD")
        for entry in entries:
            at = (
                time.strftime("%H:%M:%S", time.localtime(entry.timestamp)) + f".{int(entry.timestamp * 1000) % 1000:03}"
            )
            words = about(entry)
            self._print_row(str(entry.index), at, entry.sender, entry.type, words)

    def _print_row(self, *cells: str) -> None:
        padded = [cell.ljust(width) for cell, width in zip(cells, _TABLE_WIDTHS, strict=False)]
        click.echo("  ".join([*padded, cells[-1]]).rstrip())


def about(entry: Entry) -> str:
    """The payload and what else there is to say of an entry, on one line."""
    text = entry.payload.decode(errors="replace")
    extras = [entry.error, *(f"{name}={value}" for name, value in entry.control.items())]
    if entry.in_reply_to:
        extras.append(f"reply_to={entry.in_reply_to}")
    if entry.late:
        extras.append("late")
    notes = " ".join(note for note in extras if note)
    return _printable("  ".join(part for part in (text, f"[{notes}]" if notes else "") if part))


def _printable(text: str) -> str:
    """What a sender wrote must not steer our terminal, nor look like another row."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def source_of(words: tuple[str, ...], file: IO[bytes] | None) -> IO[bytes] | None:
    """Where a payload that is not in ``words`` comes from.  UsageError if nothing was given."""
    if words:
        return None
    if file is None and sys.stdin.isatty():
        raise UsageError("text: nothing to append; give TEXT, --file, or pipe something in", field="text")
    return file or sys.stdin.buffer


def read_whole(source: IO[bytes]) -> bytes:
    """All of it.  MessageTooLarge if that is more than any append can be; then no more than that was read."""
    data = source.read(LIMITS.append_bytes_max + 1)
    _check_size(len(data))
    return data


def lines_of(source: IO[bytes]) -> Iterator[list[bytes]]:
    """The lines there are, without their ends, as soon as they are there; a last one without an end too.

    MessageTooLarge for one that is larger than any append can be, before all of it is read.
    """
    begun: list[bytes] = []
    read = getattr(source, "read1", source.read)
    while data := read(_LINES_BYTES):
        first, *others = data.split(b"\n")
        begun.append(first)
        if others:
            yield [b"".join(begun), *others[:-1]]
            begun = others[-1:]
        else:
            _check_size(sum(map(len, begun)))
    if rest := b"".join(begun):
        yield [rest]


def _check_size(size: int) -> None:
    limit = LIMITS.append_bytes_max
    if size > limit:
        raise MessageTooLarge(name="append_bytes_max", limit=limit, value=size)


def print_appended(form: str, done: Appended) -> None:
    """The entry's index."""
    if form == "json":
        print_json_lines([{"index": done.index, "sequence": done.sequence}])
    else:
        click.echo(str(done.index))


def print_batch(form: str, done: BatchAppended) -> None:
    """The indexes of the first and the last entry."""
    if form == "json":
        print_json_lines([{"appended": done.appended, "first_index": done.first_index, "last_index": done.last_index}])
    else:
        click.echo(f"{done.first_index}-{done.last_index}")
