"""``holdfast send``."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import click

from ...errors import EXIT_LINK_LOST, DisconnectedError, HoldfastError, LimitExceeded, Unavailable, UsageError
from ..common import JOB, KEY, payload_of, reach_node
from ..progress import transfer_bar
from .keys import key_bytes
from .screen import say

if TYPE_CHECKING:
    from ...client.jobs.sync import SyncJob
    from ...rpc.blocking.connection import BlockingConnection

_PART_BYTES = 32 * 1024
_RETRY_S = 0.05

_SIGNAL_OF_KEY = {b"\x03": "INT", b"\x1c": "QUIT", b"\x1a": "TSTP"}
"""What a terminal makes of these keys; a job without one gets the signal itself."""


@click.command()
@click.argument("job", type=JOB)
@click.argument("text", nargs=-1)
@click.option(
    "-k", "--key", "keys", multiple=True, type=KEY, help="Send a key: C-c, Enter, Up, F5, M-x. May be repeated."
)
@click.option("-f", "--file", type=click.File("rb"), help="Send a file's content; - is standard input.")
@click.option(
    "--offset",
    type=click.IntRange(min=0),
    default=0,
    metavar="BYTES",
    help="Leave out so much of the file: where an interrupted send says that it can go on.",
)
@click.option("-n", "--no-newline", is_flag=True, help="Do not end TEXT with a newline.")
@click.option("--eof", is_flag=True, help="End the job's input after what is sent.")
def send(
    job: str,
    text: tuple[str, ...],
    keys: tuple[str, ...],
    file: IO[bytes] | None,
    offset: int,
    no_newline: bool,
    eof: bool,
) -> int:
    r"""Send text, keys or a file to a job.

    TEXT words are joined by spaces and end with a newline. Without TEXT, --key, --file or --eof, standard input
    is sent. The order is: text, file, keys, end of input. In a job without a terminal C-c, C-\ and C-z send the
    signal, and C-d ends the input.

    A file that could not be sent as a whole is told with how much of it the job's input has, for --offset.
    """
    if offset and file is None:
        raise click.UsageError("--offset is for --file")
    sequences = [key_bytes(key) for key in keys]
    with reach_node() as node:
        found = node.jobs.get(job)
        if text:
            _send(found, payload_of(text) + (b"" if no_newline else b"\n"))
        source = file or (None if text or keys or eof else sys.stdin.buffer)
        if source is not None and not _send_all(node.connection(), found, source, offset):
            return EXIT_LINK_LOST
        for sequence in sequences:
            eof = _press(found, sequence) or eof
        if eof:
            _send(found, b"", eof=True)
    return 0


def _send_all(connection: BlockingConnection, job: SyncJob, source: IO[bytes], offset: int) -> bool:
    """Send from ``offset`` on, saying how far it got if not to the end; False if the link was lost."""
    done_bytes, part = offset, b""
    _leave_out(source, offset)
    with transfer_bar(_size_of(source), offset) as progress:
        try:
            for part in _parts(source):
                connection.check_usable()  # a part over a link that is cut is in doubt; the rest is not sent behind it
                _send(job, part)
                done_bytes += len(part)
                progress(done_bytes)
        except (DisconnectedError, Unavailable) as error:
            say(f"{error}")
            say(f"the link is lost; {_how_far(job, source, done_bytes, len(part))}")
            return False
        except (HoldfastError, KeyboardInterrupt):
            say(_how_far(job, source, done_bytes, 0))
            raise
    return True


def _how_far(job: SyncJob, source: IO[bytes], done_bytes: int, unknown_bytes: int) -> str:
    """What the job's input has, what of the rest is not known, and how to go on."""
    words = f"{done_bytes} bytes are in the job's input"
    if unknown_bytes:
        words += f", the next {unknown_bytes} may be"
    name = getattr(source, "name", "-")
    if isinstance(name, str) and source is not sys.stdin.buffer:
        import shlex

        words += f"; holdfast send --file {shlex.quote(name)} --offset {done_bytes} {job.name or job.id}"
    return words


def _size_of(source: IO[bytes]) -> int:
    """How long it is, if it has a length."""
    try:
        found = os.fstat(source.fileno())
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _leave_out(source: IO[bytes], offset: int) -> None:
    """Go to ``offset``, also in what can only be read.  UsageError beyond the end."""
    left = offset
    while left:
        part = source.read(min(left, 1 << 20))
        if not part:
            raise UsageError(f"offset: {offset} is beyond the end, {offset - left}", field="offset")
        left -= len(part)


def _press(job: SyncJob, sequence: bytes) -> bool:
    """Send one key; whether it stands for the end of input."""
    if job.info.tty:
        _send(job, sequence)
    elif sequence in _SIGNAL_OF_KEY:
        job.signal(_SIGNAL_OF_KEY[sequence])
    elif sequence == b"\x04":
        return True
    else:
        _send(job, sequence)
    return False


def _parts(source: IO[bytes]) -> Iterator[bytes]:
    if source is sys.stdin.buffer and source.isatty():
        raise UsageError("text: nothing to send; give TEXT, --key, --file, --eof, or pipe something in", field="text")
    read = getattr(source, "read1", source.read)
    while part := read(_PART_BYTES):
        yield part


def _send(job: SyncJob, data: bytes, *, eof: bool = False) -> None:
    """Send, waiting while the job's input queue is full: a slow reader is no error for a file."""
    import time

    while True:
        try:
            job.send(data, eof=eof)
        except LimitExceeded as error:
            if error.name not in ("input_items_max", "input_bytes_max"):
                raise
            time.sleep(_RETRY_S)
        else:
            return
