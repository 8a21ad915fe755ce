"""Messages as datagrams: a message larger than one is cut into parts and put together again.  Sans-I/O.

A datagram begins with ``HS``, a version and a kind.  Kind 0: the rest is a message.  Kind 1: then follow the message's
digest (8 bytes of BLAKE2b), the part's number and the number of parts (16 bits each, big-endian), and the part; all
parts but the last are equally long.

Parts are filed under the digest of what they are parts of.  So a message that is sent again, byte for byte, fills the
holes that its first sending left; no number has to be agreed upon, and what comes out is what went in.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Hashable
from hashlib import blake2b

from ...errors import LimitExceeded, UsageError
from ...limits import LIMITS, Limits

PREFIX = b"HS\x01"
_WHOLE = PREFIX + b"\0"
_PART = PREFIX + b"\1"
_HEAD = struct.Struct("!8sHH")
_PART_HEAD_BYTES = len(_PART) + _HEAD.size
_PARTS_MAX = 0xFFFF
_PART_COST_BYTES = 128
"""What a part costs besides its bytes; or many tiny ones would cost memory that nobody counts."""
DATAGRAM_BYTES_MIN = 64
"""Below this, datagrams would be mostly headers."""


def segment(message: bytes, datagram_bytes: int) -> list[bytes]:
    """``message`` as datagrams of at most ``datagram_bytes``.  LimitExceeded if it needs more parts than there are."""
    if len(message) + len(_WHOLE) <= datagram_bytes:
        return [_WHOLE + message]
    size = datagram_bytes - _PART_HEAD_BYTES
    count = -(-len(message) // size)
    if count > _PARTS_MAX:
        raise LimitExceeded(name="group_message_parts", limit=_PARTS_MAX, value=count)
    digest = _digest(message)
    return [
        _PART + _HEAD.pack(digest, number, count) + message[number * size : (number + 1) * size]
        for number in range(count)
    ]


def check_datagram_bytes(size: int, field: str = "datagram_bytes") -> int:
    """``size`` itself; UsageError if no datagram can be that small or large."""
    if not DATAGRAM_BYTES_MIN <= size <= 65_507:
        raise UsageError(f"{field}: a datagram has {DATAGRAM_BYTES_MIN} to 65507 bytes, not {size}", field=field)
    return size


def _digest(message: bytes) -> bytes:
    return blake2b(message, digest_size=8).digest()


class _Partial:
    """The parts of one message that are here."""

    __slots__ = ("bytes", "cost_bytes", "count", "parts", "touched")

    def __init__(self, count: int) -> None:
        self.count = count
        self.parts: dict[int, bytes] = {}
        self.bytes = 0
        self.cost_bytes = 0
        self.touched = 0.0


class Reassembler:
    """Puts parts together.  Holds a bounded number of unfinished messages; the one not heard of for longest goes first.

    Whatever it is fed, it raises nothing and holds no more than ``group_parts_bytes_max``.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._partials: OrderedDict[tuple[Hashable, bytes], _Partial] = OrderedDict()
        self.held_bytes = 0
        """What the unfinished messages cost, in memory."""
        self.malformed = 0
        """Datagrams that were none of ours, or contradicted others."""
        self.given_up = 0
        """Messages that stayed unfinished for too long, or made room for others."""

    def __len__(self) -> int:
        return len(self._partials)

    def receive(self, source: Hashable, datagram: bytes, now: float) -> bytes | None:
        """The message that ``datagram`` from ``source`` is, or completes; None if it does not (yet)."""
        self._expire(now)
        if datagram.startswith(_WHOLE):
            return datagram[len(_WHOLE) :]
        if not datagram.startswith(_PART) or len(datagram) <= _PART_HEAD_BYTES:
            self.malformed += 1
            return None
        digest, number, count = _HEAD.unpack_from(datagram, len(_PART))
        part = datagram[_PART_HEAD_BYTES:]
        if number >= count or len(part) * (count - 1 if number < count - 1 else 1) > self._limits.group_wire_bytes_max:
            self.malformed += 1
            return None
        return self._file((source, digest), number, count, part, now)

    def _file(self, key: tuple[Hashable, bytes], number: int, count: int, part: bytes, now: float) -> bytes | None:
        partial = self._partials.get(key)
        if partial is None:
            partial = self._partials[key] = _Partial(count)
        else:
            self._partials.move_to_end(key)
        partial.touched = now
        if count != partial.count or partial.parts.get(number, part) != part:
            self.malformed += 1
            return None
        if number not in partial.parts:
            self._add(partial, number, part)
        if partial.bytes > self._limits.group_wire_bytes_max:
            self._drop(key)
            self.malformed += 1
            return None
        if len(partial.parts) == count:
            return self._complete(key, partial)
        self._make_room()
        return None

    def _add(self, partial: _Partial, number: int, part: bytes) -> None:
        partial.parts[number] = part
        partial.bytes += len(part)
        cost_bytes = len(part) + _PART_COST_BYTES
        partial.cost_bytes += cost_bytes
        self.held_bytes += cost_bytes

    def _complete(self, key: tuple[Hashable, bytes], partial: _Partial) -> bytes | None:
        self._drop(key)
        message = b"".join(partial.parts[number] for number in range(partial.count))
        if _digest(message) != key[1]:
            self.malformed += 1
            return None
        return message

    def _make_room(self) -> None:
        limits = self._limits
        while len(self._partials) > limits.group_parts_messages_max or self.held_bytes > limits.group_parts_bytes_max:
            self._drop(next(iter(self._partials)))
            self.given_up += 1

    def _expire(self, now: float) -> None:
        while self._partials:
            key, partial = next(iter(self._partials.items()))
            if now - partial.touched < self._limits.group_parts_s:
                return
            self._drop(key)
            self.given_up += 1

    def _drop(self, key: tuple[Hashable, bytes]) -> None:
        self.held_bytes -= self._partials.pop(key).cost_bytes
