"""Messages as they travel to a session's client, and on the bus: one after the other, each with its length before it.

A packed message is the same for every session that gets it, so it is packed once.  Pure, and without msgspec: the
blocking client reads them too.

====== ======= ==================================================================
offset type    what
====== ======= ==================================================================
0      u32     bytes that follow
4      u8      kind: index into ``KINDS``
5      u8      reserved, 0
6      u16     bytes of the subject
8      u32     bytes of the extras: a JSON object with ``headers`` and ``detail``
12     f64     time
20     i64     position
28     i64     next position
36             subject, extras, payload
====== ======= ==================================================================

All numbers are little-endian.
"""

from __future__ import annotations

import json
from struct import Struct
from typing import TYPE_CHECKING, Any

from ..errors import ProtocolError
from .model import KINDS, Message

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = Struct("<IBBHIdqq")
HEAD_BYTES = _HEAD.size
_LENGTH_BYTES = 4
_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_MESSAGE = KINDS[0]

_new = tuple.__new__
_no_headers: dict[str, str] = {}
_no_detail: dict[str, Any] = {}


def pack(message: Message) -> bytes:
    """One message, packed."""
    subject, payload, headers, time, position, next_position, kind, detail = message
    name = subject.encode()
    extras = b""
    if headers or detail:
        extras = json.dumps({"headers": headers, "detail": detail}, separators=(",", ":")).encode()
    size = HEAD_BYTES - _LENGTH_BYTES + len(name) + len(extras) + len(payload)
    head = _HEAD.pack(size, _NUMBERS[kind], 0, len(name), len(extras), time, position, next_position)
    return b"".join((head, name, extras, payload))


def unpack(data: bytes) -> Iterator[Message]:
    """The messages of which ``data`` is made; ProtocolError where it is not."""
    unpacker = Unpacker()
    yield from unpacker.take(data)
    if unpacker.pending_bytes:
        raise ProtocolError("a message is cut short")


class Unpacker:
    """Messages out of pieces of a stream."""

    __slots__ = ("_held", "_left", "_wanted")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._left = 0
        self._wanted = _LENGTH_BYTES

    @property
    def pending_bytes(self) -> int:
        """Bytes of a message that is not complete."""
        return self._left

    def take(self, data: bytes) -> list[Message]:
        """The messages that are complete with ``data``."""
        if self._held:
            self._held.append(data)
            self._left += len(data)
            if self._left < self._wanted:
                return []
            data = b"".join(self._held)
        messages, end = _split(data)
        rest = data[end:]
        self._left = len(rest)
        self._held = [rest] if rest else []
        self._wanted = _LENGTH_BYTES if len(rest) < _LENGTH_BYTES else _size_at(rest, 0)
        return messages


def _size_at(data: bytes, place: int) -> int:
    return _LENGTH_BYTES + int.from_bytes(data[place : place + _LENGTH_BYTES], "little")


def _split(data: bytes) -> tuple[list[Message], int]:
    messages: list[Message] = []
    place, total = 0, len(data)
    unpack_head = _HEAD.unpack_from
    while total - place >= HEAD_BYTES:
        size, kind, _, subject_bytes, extras_bytes, time, position, next_position = unpack_head(data, place)
        end = place + _LENGTH_BYTES + size
        if end > total:
            break
        start = place + HEAD_BYTES
        middle = start + subject_bytes
        body = middle + extras_bytes
        if body > end or kind >= len(KINDS):
            raise ProtocolError(f"not a message at byte {place}", offset=place)
        headers, detail = _extras(data[middle:body]) if extras_bytes else (_no_headers, _no_detail)
        try:
            subject = data[start:middle].decode()
        except UnicodeDecodeError:
            raise ProtocolError(f"the subject at byte {start} is no text", offset=start) from None
        fields = (subject, data[body:end], headers, time, position, next_position, KINDS[kind], detail)
        messages.append(_new(Message, fields))
        place = end
    if total - place >= _LENGTH_BYTES and _size_at(data, place) < HEAD_BYTES:
        raise ProtocolError(f"not a message at byte {place}", offset=place)
    return messages, place


def _extras(data: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        extras = json.loads(data)
        return dict(extras.get("headers", {})), dict(extras.get("detail", {}))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ProtocolError("a message's extras are no JSON object") from None
