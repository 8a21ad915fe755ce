"""Offsets and cursors as they stand in headers and URLs.  Pure."""

from __future__ import annotations

from ..durable.model import Where
from ..errors import UsageError

_DIGITS = 16
_EPOCH_S = 1_728_432_000
"""2024-10-09T00:00:00Z, from which cursors count; given by the protocol."""
_INTERVAL_S = 20
_JITTER_S_MAX = 3600


def offset_of(position: int) -> str:
    """The offset that stands for ``position``: two numbers of fixed width, so that offsets sort as text.

    The first is zero for now; it is there for streams whose positions begin anew.
    """
    return f"{0:0{_DIGITS}d}_{position:0{_DIGITS}d}"


def position_of(offset: str) -> int:
    """The position ``offset`` stands for; a plain decimal number is taken too.  UsageError for anything else."""
    first, separator, second = offset.rpartition("_")
    if separator and (first.strip("0") or len(first) != _DIGITS or len(second) != _DIGITS):
        raise UsageError(f"offset: {offset!r} is not one of ours", field="offset")
    if not (second.isascii() and second.isdigit() and len(second) <= _DIGITS):
        raise UsageError(f"offset: {offset!r} is not one of ours", field="offset")
    return int(second)


def where_of(offset: str | None) -> Where:
    """What a reader's ``offset`` asks for: nothing and ``-1`` mean the start, ``now`` the tail."""
    if offset is None or offset == "-1":
        return "start"
    if offset == "now":
        return "now"
    return position_of(offset)


def cursor_at(wall: float, echoed: str | None, jitter: float) -> str:
    """The cursor of an answer given at ``wall``: later than the one the reader sent, so that no cache loops.

    ``jitter``, from 0 to below 1, spreads readers who came with the same cursor.
    """
    interval = int((wall - _EPOCH_S) // _INTERVAL_S)
    if echoed is None or not (echoed.isascii() and echoed.isdigit() and len(echoed) <= _DIGITS):
        return str(interval)
    if int(echoed) < interval:
        return str(interval)
    ahead_s = 1 + jitter * (_JITTER_S_MAX - 1)
    return str(int(echoed) + max(1, int(ahead_s // _INTERVAL_S)))
