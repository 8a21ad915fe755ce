"""What travels between the two ends of a stream: data one way, acknowledgements the other."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Payload: TypeAlias = bytes | bytearray | memoryview
"""Bytes in any of the shapes that slice without a copy or hash without one."""

BYTES = 0
"""A run of bytes at ``seq``; an empty one asks for an acknowledgement and says nothing."""
EOF = 1
"""The writer said: no more.  ``seq`` is the end offset."""
ERROR = 2
"""The writer ended with an error, its text in ``payload``; ``seq`` is the end offset."""
GAP = 3
"""The ``skip`` bytes from ``seq`` on were lost before they could be sent and never will be."""


class Data(NamedTuple):
    """One packet from writer to reader.  ``seq`` is an absolute offset in bytes from the stream's start."""

    stream: int
    seq: int
    payload: Payload = b""
    kind: int = BYTES
    tag: int = 0
    """Where the bytes came from, 0 to 15, the writer's to choose (a job: 0 stdout or terminal, 1 stderr)."""
    skip: int = 0


class Ack(NamedTuple):
    """One acknowledgement from reader to writer: all below ``seq`` is done with, ``window`` bytes from there fit.

    ``fin`` acknowledges EOF or ERROR; ``cancel`` asks the writer to stop, with an optional text.
    """

    stream: int
    seq: int
    window: int
    fin: bool = False
    cancel: bool = False
    error: str = ""
