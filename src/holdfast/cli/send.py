"""``holdfast send``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import click

from ..errors import LimitExceeded, UsageError
from .common import JOB, reach_node
from .keys import key_bytes

if TYPE_CHECKING:
    from ..client.sync import SyncJob

_PART_BYTES = 32 * 1024
_RETRY_S = 0.05

_SIGNAL_OF_KEY = {b"\x03": "INT", b"\x1c": "QUIT", b"\x1a": "TSTP"}
"""What a terminal makes of these keys; a job without one gets the signal itself."""


@click.command()
@click.argument("job", type=JOB)
@click.argument("text", nargs=-1)
@click.option("-k", "--key", "keys", multiple=True, help="Send a key: C-c, Enter, Up, F5, M-x. May be repeated.")
@click.option("-f", "--file", type=click.File("rb"), help="Send a file's content; - is standard input.")
@click.option("-n", "--no-newline", is_flag=True, help="Do not end TEXT with a newline.")
@click.option("--eof", is_flag=True, help="End the job's input after what is sent.")
def send(
    job: str, text: tuple[str, ...], keys: tuple[str, ...], file: IO[bytes] | None, no_newline: bool, eof: bool
) -> None:
    r"""Send text, keys or a file to a job.

    TEXT words are joined by spaces and end with a newline. Without TEXT, --key, --file or --eof, standard input
    is sent. The order is: text, file, keys, end of input. In a job without a terminal C-c, C-\ and C-z send the
    signal, and C-d ends the input.
    """
    sequences = [key_bytes(key) for key in keys]
    with reach_node() as node:
        found = node.jobs.get(job)
        if text:
            _send(found, " ".join(text).encode() + (b"" if no_newline else b"\n"))
        source = file or (None if text or keys or eof else sys.stdin.buffer)
        if source is not None:
            for part in _parts(source):
                _send(found, part)
        for sequence in sequences:
            eof = _press(found, sequence) or eof
        if eof:
            _send(found, b"", eof=True)


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
