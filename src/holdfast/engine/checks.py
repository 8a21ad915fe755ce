"""What callers of an engine may pass; everything else is a UsageError that names the argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from ..errors import LimitExceeded, UsageError
from ..limits import LIMITS
from .base import AckLevel, LogMode, Producer
from .extents import Extent, PackedExtent
from .state import LEVELS

POSITION_MAX = 2**62
"""Positions stay below this, so that sums of two fit a signed 64-bit integer in every store."""
TAG_MAX = 15
COUNT_MAX = 2**32 - 1
"""Entries in one blob; a stored count has 32 bits."""
_MODES = get_args(LogMode)
_ONLY_BYTES = frozenset({bytes})


def check_key(text: str, field: str) -> str:
    """``text`` itself if it can name a log or be a key."""
    if not isinstance(text, str) or not text:
        raise UsageError(f"{field}: must be a string that is not empty, not {text!r}", field=field)
    if len(text) > LIMITS.engine_key_length_max:
        raise UsageError(
            f"{field}: {len(text)} characters, over the limit engine_key_length_max = {LIMITS.engine_key_length_max}",
            field=field,
        )
    if "\0" in text or not _encodes(text):
        raise UsageError(f"{field}: {text!r} holds a character that cannot be stored", field=field)
    return text


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_mode(mode: LogMode) -> LogMode:
    """``mode`` itself if it is one."""
    if mode not in _MODES:
        raise UsageError(f"mode: {mode!r} is not one of {', '.join(_MODES)}", field="mode")
    return mode


def first_position(mode: LogMode) -> int:
    """Where a log of that mode begins."""
    return 0 if mode == "bytes" else 1


def check_ack(ack: AckLevel) -> int:
    """The rank of ``ack``."""
    level = LEVELS.get(ack)
    if level is None:
        raise UsageError(f"ack: {ack!r} is not one of {', '.join(LEVELS)}", field="ack")
    return level


def check_tag(tag: int) -> int:
    """``tag`` itself if it is one."""
    if not 0 <= tag <= TAG_MAX:
        raise UsageError(f"tag: {tag} is not in 0 to {TAG_MAX}", field="tag")
    return tag


def extent_of(
    mode: LogMode, position: int, data: bytes | Sequence[bytes], tag: int, count: int | None = None
) -> Extent:
    """The extent that appending ``data`` at ``position`` makes.

    What it keeps cannot be changed: views, arrays and lists are copied, bytes are not.
    """
    check_tag(tag)
    if mode == "runs":
        return _packed_extent(position, data, tag, count)
    if count is not None:
        raise UsageError(f"count: only a runs-mode log takes one, this is in mode {mode!r}", field="count")
    if mode == "bytes":
        if type(data) is not bytes:
            data = _as_bytes(data)
        size = length = len(data)
    else:
        data = _as_batch(data)
        size = sum(map(len, data))
        length = len(data)
    _check_size(size)
    return Extent(position, position + length, size, tag, data)


def _packed_extent(position: int, data: bytes | Sequence[bytes], tag: int, count: int | None) -> Extent:
    if type(data) is not bytes:
        data = _as_bytes(data)
    if tag:
        raise UsageError("tag: a blob of a runs-mode log has none", field="tag")
    if count is None:
        count = 0
    if not isinstance(count, int) or not 0 <= count <= COUNT_MAX or (data and not count):
        raise UsageError(f"count: {count!r} entries cannot be in a blob of {len(data)} bytes", field="count")
    _check_size(len(data))
    return PackedExtent(position, position + count, len(data), 0, data)


def _check_size(size: int) -> None:
    if size > LIMITS.append_bytes_max:
        raise LimitExceeded(
            f"data: {size} bytes in one append, over the limit append_bytes_max = {LIMITS.append_bytes_max}",
            name="append_bytes_max",
            limit=LIMITS.append_bytes_max,
            value=size,
        )


def _as_bytes(data: bytes | Sequence[bytes]) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise UsageError(f"data: this log takes bytes, not {type(data).__name__}", field="data")


def _as_batch(data: bytes | Sequence[bytes]) -> tuple[bytes, ...]:
    if isinstance(data, (bytes, bytearray, memoryview, str)):
        raise UsageError("data: an entries-mode log takes a sequence of bytes", field="data")
    batch = tuple(data)
    if not _ONLY_BYTES.issuperset(map(type, batch)):
        raise UsageError("data: every entry must be bytes", field="data")
    return batch


def check_value(value: bytes) -> bytes:
    """``value`` itself if it can be a key's value."""
    return check_size(value, "value", "value_bytes_max", LIMITS.value_bytes_max)


def check_meta(meta: bytes) -> bytes:
    """``meta`` itself if it can be a log's."""
    return check_size(meta, "meta", "log_meta_bytes_max", LIMITS.log_meta_bytes_max)


def check_size(data: bytes, field: str, name: str, limit: int) -> bytes:
    """``data`` itself if it is bytes, and not more of them than the limit ``name``."""
    if not isinstance(data, bytes):
        raise UsageError(f"{field}: must be bytes, not {type(data).__name__}", field=field)
    if len(data) > limit:
        raise LimitExceeded(
            f"{field}: {len(data)} bytes, over the limit {name} = {limit}", name=name, limit=limit, value=len(data)
        )
    return data


def check_producer(producer: Producer) -> Producer:
    """``producer`` itself if there can be one like it."""
    name, epoch, sequence = producer
    check_key(name, "producer.id")
    check_position(epoch, "producer.epoch")
    check_position(sequence, "producer.sequence")
    return producer


def check_position(position: int, field: str = "position") -> int:
    """``position`` itself if there can be one like it."""
    if not isinstance(position, int) or not 0 <= position <= POSITION_MAX:
        raise UsageError(f"{field}: {position!r} is not an integer from 0 to {POSITION_MAX}", field=field)
    return position


def check_max_bytes(max_bytes: int) -> int:
    """``max_bytes`` itself if something can be read under it."""
    if max_bytes < 1:
        raise UsageError(f"max_bytes: must be at least 1, not {max_bytes}", field="max_bytes")
    return max_bytes
