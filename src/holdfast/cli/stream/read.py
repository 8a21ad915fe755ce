"""``holdfast stream read | tail``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ...errors import EXIT_LINK_LOST, DisconnectedError, Unavailable
from ..common import format_option, reach_node
from ..jobs.screen import leave_with_reader, say, write_all
from .common import OFFSET, PATH, RECONNECT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...client.streams.pieces import StreamChunk
    from ...client.streams.sync import SyncStream
    from ...client.streams.sync_reading import SyncStreamReading
    from ...durable.model import StreamInfo, Where

_BACK_BYTES = 64 * 1024
"""How much is read at a time, from the end backwards, to find where the last N lines begin."""
_TOGETHER_BYTES = 256 * 1024
"""Messages are written together up to this size."""
_TAIL = 10

_FROM = click.option(
    "--from", "from_offset", type=OFFSET, metavar="OFFSET", help="Begin there; a negative one counts back from the end."
)
_FORM = format_option("raw", "jsonl")


@click.command()
@PATH
@_FROM
@click.option(
    "-n", "--tail", "last", type=click.IntRange(min=0), metavar="N", help="Only the last N lines or messages."
)
@_FORM
def read(path: str, from_offset: int | None, last: int | None, form: str) -> int:
    """Print what a stream holds.

    Raw, bytes come as they are, and each message of a JSON stream as a line. As jsonl each piece is an object with its
    position and where the next one begins.
    """
    _check(from_offset, last, "--tail")
    with reach_node(reconnect_s=RECONNECT_S) as node:
        found = node.streams.stream(path)
        return _show(found, _begin(found, from_offset, last), form, follow=False)


@click.command()
@PATH
@_FROM
@click.option(
    "-n", "--lines", "last", type=click.IntRange(min=0), metavar="N",
    help=f"Begin with the last N lines or messages.  [default: {_TAIL}]",
)  # fmt: skip
@_FORM
def tail(path: str, from_offset: int | None, last: int | None, form: str) -> int:
    """Follow a stream until it is closed.

    Goes on where it was when the node restarts; without a node for a minute it is 75, never 0, and says where to go on.
    """
    _check(from_offset, last, "--lines")
    if from_offset is None and last is None:
        last = _TAIL
    leave_with_reader()
    with reach_node(reconnect_s=RECONNECT_S) as node:
        found = node.streams.stream(path)
        return _show(found, _begin(found, from_offset, last), form, follow=True)


def _check(from_offset: int | None, last: int | None, name: str) -> None:
    if from_offset is not None and last is not None:
        raise click.UsageError(f"--from and {name} exclude each other")


def _begin(stream: SyncStream, from_offset: int | None, last: int | None) -> Where:
    if last is None:
        return "start" if from_offset is None else from_offset
    info = stream.info()
    if is_json(info):
        return max(info.tail - last, info.oldest)
    return offset_of_last_lines(stream, info, last)


def is_json(info: StreamInfo) -> bool:
    """Whether it holds messages."""
    from ...durable.model import mode_of

    return mode_of(info.content_type) == "entries"


def offset_of_last_lines(stream: SyncStream, info: StreamInfo, count: int) -> int:
    """Where the last ``count`` lines of a byte stream begin; an unfinished last line counts as one."""
    position = info.tail
    if count == 0:
        return position
    while position > info.oldest:
        begin = max(position - _BACK_BYTES, info.oldest)
        data = _between(stream, begin, position)
        end = len(data) - 1 if position == info.tail and data.endswith(b"\n") else len(data)
        while (found := data.rfind(b"\n", 0, end)) >= 0:
            count -= 1
            if count == 0:
                return begin + found + 1
            end = found
        position = begin
    return info.oldest


def _between(stream: SyncStream, begin: int, end: int) -> bytes:
    parts = bytearray()
    reading = stream.read(begin)
    while len(parts) < end - begin and (chunk := reading.read()) is not None:
        parts += chunk.data
    reading.close()
    return bytes(parts[: end - begin])


def _show(stream: SyncStream, begin: Where, form: str, *, follow: bool) -> int:
    reading = stream.read(begin, follow=follow)
    try:
        reading.open()
        _write(reading, _writer(reading, form))
    except (DisconnectedError, Unavailable) as error:
        say(f"{error}")
        command = "tail" if follow else "read"
        say(f"the link is lost; holdfast stream {command} --from {reading.position} {stream.path}")
        return EXIT_LINK_LOST
    return 0


def _write(reading: SyncStreamReading, shown: Callable[[StreamChunk], bytes]) -> None:
    """Write all; what is printed is out before the next wait."""
    parts: list[bytes] = []
    size = 0
    for chunk in reading:
        parts.append(shown(chunk))
        size += len(parts[-1])
        if reading.waiting or size >= _TOGETHER_BYTES:
            write_all(1, b"".join(parts))
            parts, size = [], 0


def _writer(reading: SyncStreamReading, form: str) -> Callable[[StreamChunk], bytes]:
    if form == "jsonl":
        return _as_message if reading.lines else _as_piece
    return _as_line if reading.lines else _as_it_is


def _as_it_is(chunk: StreamChunk) -> bytes:
    return chunk.data


def _as_line(chunk: StreamChunk) -> bytes:
    return chunk.data + b"\n"


def _as_message(chunk: StreamChunk) -> bytes:
    return b'{"position": %d, "next": %d, "data": %b}\n' % (chunk.position, chunk.end, chunk.data)


def _as_piece(chunk: StreamChunk) -> bytes:
    import json

    value: dict[str, Any] = {"position": chunk.position, "next": chunk.end}
    try:
        value["data"] = chunk.text
    except UnicodeDecodeError:
        from base64 import b64encode

        value["data_base64"] = b64encode(chunk.data).decode()
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
