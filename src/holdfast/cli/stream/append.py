"""``holdfast stream append``."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple

import click

from ...errors import EXIT_LINK_LOST, DisconnectedError, UsageError
from ...limits import LIMITS
from ..common import format_option, payload_of, print_json_lines, reach_node
from ..entries import lines_of, read_whole, source_of
from ..jobs.screen import say
from .common import PATH, RECONNECT_S
from .read import is_json

if TYPE_CHECKING:
    from ...client.streams.sync import SyncStream, SyncStreamProducer
    from ...durable.model import ProducerMark, StreamAppended

PART_BYTES = 8 << 20
"""Size of one append of what does not fit a single one, and of what a producer sends."""
_SMALL_BYTES = 1 << 20
"""A stream remembers each producer for good, and only so many."""
_LIVE_BYTES = 1 << 20
_PROGRESS_BYTES_MIN = 8 << 20
_JSON_TYPE = "application/json"

Progress = Callable[[int], object]


class _Producer(click.ParamType["ProducerMark"]):
    """``ID:EPOCH:SEQ``."""

    name = "producer"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> ProducerMark:
        from ...durable.model import ProducerMark

        rest, _, sequence = str(value).rpartition(":")
        name, _, epoch = rest.rpartition(":")
        if not (name and _is_count(epoch) and _is_count(sequence)):
            self.fail(f"{value!r} is not ID:EPOCH:SEQ, two numbers from 0 after a name", param, ctx)
        return ProducerMark(name, int(epoch), int(sequence))


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit()


class _Wishes(NamedTuple):
    content_type: str
    close: bool
    producer: ProducerMark | None


@click.command()
@PATH
@click.argument("text", nargs=-1)
@click.option("-f", "--file", type=click.File("rb"), help="Append a file's content; - is standard input.")
@click.option("--json", "json", is_flag=True, help="It is JSON, and the stream has to be one of messages.")
@click.option("--lines", is_flag=True, help="Each line is a message of its own, appended as it comes.")
@click.option("--close", is_flag=True, help="Close the stream with it: nothing can be appended after that.")
@click.option(
    "--producer",
    type=_Producer(),
    metavar="ID:EPOCH:SEQ",
    help="Which append of whom it is: repeating it appends nothing.",
)
@format_option("name", "json")
def append(
    path: str,
    text: tuple[str, ...],
    file: IO[bytes] | None,
    json: bool,
    lines: bool,
    close: bool,
    producer: ProducerMark | None,
    form: str,
) -> int:
    """Append to a stream; on disk when this returns.

    TEXT words are joined by spaces and nothing is added. Without TEXT or --file, standard input is appended: to a byte
    stream as it comes, to a JSON stream as one value, or as an array of which each element becomes a message. What is
    larger than 32 MiB, or comes bit by bit, is appended in parts; that goes on when the node restarts, and each part is
    there once. With --producer, bytes go in parts of 8 MiB, which count from SEQ on. Prints where the stream ends now.
    """
    if text == ("-",):
        text, file = (), file or sys.stdin.buffer
    if lines and (text or producer is not None):
        raise click.UsageError("--lines takes --file or standard input, and no --producer")
    source = None if close and not text and file is None and sys.stdin.isatty() else source_of(text, file)
    wishes = _Wishes(_JSON_TYPE if json else "", close, producer)
    with reach_node(reconnect_s=RECONNECT_S) as node:
        stream = node.streams.stream(path)
        try:
            added = _append(stream, payload_of(text), source, wishes, lines=lines)
        except DisconnectedError as error:
            say(f"{error}")
            say(f"the last append may be there or not; holdfast stream info {path} says where the stream ends")
            return EXIT_LINK_LOST
    _print(added, form)
    return 0


def _append(
    stream: SyncStream, text: bytes, source: IO[bytes] | None, wishes: _Wishes, *, lines: bool
) -> StreamAppended:
    if source is None:
        return _whole(stream, text, wishes)
    if is_json(stream.info()):
        return _lines(stream, source, wishes) if lines else _whole(stream, read_whole(source), wishes)
    if lines:
        raise UsageError(
            f"lines: {stream.path} holds no messages; bytes are appended as they come anyway", field="lines"
        )
    return _bytes(stream, source, wishes)


def _print(added: StreamAppended, form: str) -> None:
    if form == "json":
        print_json_lines([{"tail": added.tail, "closed": added.closed, "duplicate": added.duplicate}])
    else:
        click.echo(str(added.tail))


def _whole(stream: SyncStream, data: bytes, wishes: _Wishes) -> StreamAppended:
    """One append, all or nothing; a large one is repeated if its answer is lost, a small one is not worth it."""
    with progress_bar(len(data)) as progress:
        if wishes.producer is not None or len(data) <= _SMALL_BYTES:
            return stream.append(data, progress=progress, **wishes._asdict())
        producer = stream.producer(_own_id())
        return producer.append(data, content_type=wishes.content_type, close=wishes.close, progress=progress)


def _lines(stream: SyncStream, source: IO[bytes], wishes: _Wishes) -> StreamAppended:
    producer = stream.producer(_own_id())
    added: StreamAppended | None = None
    for lines in lines_of(source):
        messages = [line for line in lines if line.strip()]
        if messages:
            added = producer.append(b"[" + b",".join(messages) + b"]", content_type=wishes.content_type)
    return _closed(stream, added, wishes)


def _bytes(stream: SyncStream, source: IO[bytes], wishes: _Wishes) -> StreamAppended:
    """To a byte stream: a small file in one append, all else in parts, as they come if nobody counts them."""
    size, mark = _size_of(source), wishes.producer
    if mark is not None:
        producer = stream.producer(mark.id, epoch=mark.epoch, sequence=mark.sequence)
        return _parts(stream, producer, even_parts(source), size, wishes)
    if 0 < size <= LIMITS.stream_append_bytes_max:
        return _whole(stream, read_whole(source), wishes)
    producer = stream.producer(_own_id())
    return _parts(stream, producer, even_parts(source) if size else _parts_as_they_come(source), size, wishes)


def _parts(
    stream: SyncStream, producer: SyncStreamProducer, parts: Iterator[tuple[bytes, bool]], size: int, wishes: _Wishes
) -> StreamAppended:
    added: StreamAppended | None = None
    with progress_bar(size) as progress:
        sent = 0
        for part, last in parts:
            closing = last and wishes.close
            added = producer.append(
                part, content_type=wishes.content_type, close=closing, progress=_from(progress, sent)
            )
            sent += len(part)
            progress(sent)
    return added if added is not None and added.closed else _closed(stream, added, wishes)


def _closed(stream: SyncStream, added: StreamAppended | None, wishes: _Wishes) -> StreamAppended:
    if wishes.close:
        return stream.close()
    if added is None:
        raise UsageError("text: nothing to append; the input is empty", field="text")
    return added


def _own_id() -> str:
    """For this one command, so that its parts are there once each."""
    return f"append-{os.urandom(8).hex()}"


def _size_of(source: IO[bytes]) -> int:
    """What is left of a regular file; 0 for anything else."""
    try:
        found = os.fstat(source.fileno())
        return max(found.st_size - source.tell(), 0) if stat.S_ISREG(found.st_mode) else 0
    except (OSError, ValueError):
        return 0


def even_parts(source: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The same parts for the same content, each with whether it is the last one."""
    part = source.read(PART_BYTES)
    while part:
        ahead = source.read(PART_BYTES)
        yield part, not ahead
        part = ahead


def _parts_as_they_come(source: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    read = getattr(source, "read1", source.read)
    while part := read(_LIVE_BYTES):
        yield part, False


def _from(progress: Progress, sent: int) -> Progress:
    return lambda more: progress(sent + more)


@contextmanager
def progress_bar(size: int) -> Iterator[Progress]:
    """A bar on standard error for ``size`` bytes; nothing if they are few, or nobody looks."""
    if size < _PROGRESS_BYTES_MIN or not sys.stderr.isatty():
        yield lambda _sent: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("append", total=size)
        yield lambda sent: bar.update(task, completed=sent)
