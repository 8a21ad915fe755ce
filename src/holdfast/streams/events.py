"""What a sender tells the shell that drives it."""

from __future__ import annotations

from typing import NamedTuple


class GapSent(NamedTuple):
    """``length`` bytes from ``offset`` on had been dropped before they could be sent; the reader was told."""

    offset: int
    length: int


class ReaderCancelled(NamedTuple):
    """The reader asked for no more, with an optional reason; the sender is disconnected from it."""

    error: str


class Finished(NamedTuple):
    """The reader has acknowledged the end at ``offset``, and ``error`` if the stream ended with one."""

    offset: int
    error: str


SenderEvent = GapSent | ReaderCancelled | Finished
