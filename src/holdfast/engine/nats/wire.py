"""What the engine's messages hold: a stamp in a header, and in the data what was appended.

Every message names the life of the node that wrote it (``epoch``) and the how-manieth write of that life it is, so
that nobody takes another's for its own.  A message of a log also says where it is in it and what the log comes to
with it, so that the newest message of each log is enough to know the log; of what is rarely changed it says in which
earlier message that was.
"""

from __future__ import annotations

import struct
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from ...errors import CorruptionError
from ..base import LogMode, Producer
from ..extents import Extent
from ..packing import HOLE, Row, pack, pack_loose
from ..state import Share

HEADER = "Hf"
VERSION = 1

PART = 1
"""Only a part of what it belongs to; nothing of it counts until the message after the last part is there."""
WHOLE = 2
"""Holds all that is known of the log, in the stamp or, with ``IN_DATA``, before what was appended."""
CHANGE = 4
"""Holds what changed, in the same place."""
IN_DATA = 8
CHANGED = 16
"""Something changed since the message that holds all; those between have to be looked at."""
GONE = 32
"""The key was deleted."""

_IDENTITY = struct.Struct("<BBQQ")
_STAMP = struct.Struct("<BBQQQQQQQI")
_KEY = struct.Struct("<BBQQQIIH")
_ROW = struct.Struct("<bQQI")
_SIZE = struct.Struct("<I")
_ANY = 1 << 62


class Identity(NamedTuple):
    """Which write of whom a message is."""

    epoch: int
    number: int


class Stamp(NamedTuple):
    """What a log's message says of it."""

    flags: int
    epoch: int
    number: int
    position: int
    """Where what it appends begins."""
    end: int
    """The log's tail after it."""
    paid: int
    """Payload ever appended up to there."""
    holes: int
    """Sum of the holes up to there."""
    base: int
    """Sequence of the message that holds all that is known of the log; 0: this one."""
    parts: int
    """Messages just before this one that belong to it; of a part, those before it."""


class KeyStamp(NamedTuple):
    """What a key's message says of it; the key follows, and the value or its last part."""

    flags: int
    epoch: int
    number: int
    revision: int
    parts: int
    """The value comes in as many messages, under the subject of parts and the number."""
    size: int


class Whole(NamedTuple):
    """All that is known of a log besides its stamps."""

    name: str
    mode: int
    oldest: int
    oldest_paid: int
    """Payload ever appended below the oldest position."""
    oldest_holes: int
    holes_base: int
    """Holes that are not the log's own, because it is a fork that begins above them."""
    own: int
    """Where its own messages begin; below are the shares."""
    closed: bool
    gone: bool
    """Deleted, and kept as long as forks have a share in it."""
    meta: bytes
    producers: Sequence[tuple[str, int, int]]
    shares: Sequence[tuple[int, int, int]]


class Changed(NamedTuple):
    """What a message changes of it."""

    meta: bytes | None
    closed: bool
    producers: Sequence[tuple[str, int, int]]


_encode = msgspec.msgpack.Encoder().encode
_whole = msgspec.msgpack.Decoder(Whole).decode
_changed = msgspec.msgpack.Decoder(Changed).decode


def encode_stamp(stamp: Stamp, state: bytes = b"") -> str:
    """A header's value."""
    return b2a_base64(_STAMP.pack(VERSION, *stamp) + state, newline=False).decode()


def decode_stamp(text: str | None, where: str) -> tuple[Stamp, bytes]:
    """What :func:`encode_stamp` made; CorruptionError, naming ``where``, if it cannot have been."""
    raw = _raw(text, _STAMP.size, where)
    return Stamp(*_STAMP.unpack_from(raw)[1:]), raw[_STAMP.size :]


def encode_key(stamp: KeyStamp, key: str, value: bytes) -> bytes:
    """A message's data; headers cost more."""
    raw = key.encode()
    return b"".join((_KEY.pack(VERSION, *stamp, len(raw)), raw, value))


def decode_key(data: bytes, where: str) -> tuple[KeyStamp, str, bytes]:
    """What :func:`encode_key` made; CorruptionError if it cannot have been."""
    if len(data) < _KEY.size or data[0] != VERSION:
        raise CorruptionError(where=where, expected=f"a key of version {VERSION}", got=repr(data[:20]))
    *stamp, length = _KEY.unpack_from(data)[1:]
    end = _KEY.size + length
    try:
        key = data[_KEY.size : end].decode()
    except UnicodeDecodeError:
        raise CorruptionError(where=where, expected="a key in UTF-8", got=repr(data[_KEY.size : end])) from None
    if end > len(data):
        raise CorruptionError(where=where, expected=f"{end} bytes or more", got=str(len(data)))
    return KeyStamp(*stamp), key, data[end:]


def encode_identity(identity: Identity) -> str:
    """A header's value, of a message that is nothing else."""
    return b2a_base64(_IDENTITY.pack(VERSION, 0, *identity), newline=False).decode()


def decode_identity(text: str | None, data: bytes, where: str) -> Identity:
    """Whose message it is, from its header, or from its data if it has none; CorruptionError if it is none of ours."""
    raw = data if text is None else _raw(text, _IDENTITY.size, where)
    if len(raw) < _IDENTITY.size or raw[0] != VERSION:
        raise CorruptionError(where=where, expected=f"a message of version {VERSION}", got=repr(raw[:20]))
    _, _, epoch, number = _IDENTITY.unpack_from(raw)
    return Identity(epoch, number)


def _raw(text: str | None, size: int, where: str) -> bytes:
    try:
        raw = a2b_base64(text or "")
    except ValueError:  # also for what is not ASCII
        raw = b""
    if len(raw) < size or raw[0] != VERSION:
        got = "another" if len(raw) >= size else repr(text)
        raise CorruptionError(where=where, expected=f"a stamp of version {VERSION}", got=got)
    return raw


def encode_whole(whole: Whole) -> bytes:
    """To be stored."""
    return _encode(tuple(whole))


def decode_whole(raw: bytes | memoryview, where: str) -> Whole:
    """What :func:`encode_whole` made; CorruptionError if it cannot have been."""
    try:
        return _whole(raw)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptionError(where=where, expected="what is known of a log", got=str(error)) from error


def encode_changed(changed: Changed) -> bytes:
    """To be stored."""
    return _encode(tuple(changed))


def decode_changed(raw: bytes | memoryview, where: str) -> Changed:
    """What :func:`encode_changed` made; CorruptionError if it cannot have been."""
    try:
        return _changed(raw)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptionError(where=where, expected="what changed of a log", got=str(error)) from error


def producers_of(rows: Iterable[tuple[str, int, int]]) -> list[Producer]:
    """As the engine knows them."""
    return [Producer(*row) for row in rows]


def shares_of(rows: Iterable[tuple[int, int, int]]) -> tuple[Share, ...]:
    """As the engine knows them."""
    return tuple(Share(*row) for row in rows)


class Payload(NamedTuple):
    """What a message appends: rows without their data, how long that is of each, and all of it in parts."""

    rows: Sequence[Row]
    sizes: Sequence[int]
    parts: Sequence[bytes | memoryview]


NOTHING = Payload((), (), ())


def payload_of(mode: LogMode, extents: Sequence[Extent]) -> Payload:
    """What adjoining ``extents`` are as a message's payload."""
    if not extents:
        return NOTHING
    loose = pack_loose(mode, extents)
    if loose is not None:
        row, parts = loose
        return Payload((row,), (sum(map(len, parts[:2])) + row.size if mode == "entries" else row.size,), parts)
    rows = pack(mode, extents, _ANY)
    data = [row.data for row in rows if row.data is not None]
    return Payload(rows, [len(row.data or b"") for row in rows], data)


def encode_data(state: bytes | None, payload: Payload) -> bytes:
    """A message's data: ``state`` if it is not in the stamp, then rows."""
    chunks: list[bytes | memoryview] = []
    if state is not None:
        chunks += (_SIZE.pack(len(state)), state)
    if payload.rows:
        chunks.append(_SIZE.pack(len(payload.rows)))
        for row, size in zip(payload.rows, payload.sizes, strict=True):
            chunks.append(_ROW.pack(row.form, row.length, row.size, size))
        chunks += payload.parts
    return b"".join(chunks)


def split_data(stamp: Stamp, data: bytes, where: str) -> tuple[bytes, list[Row]]:
    """The state in the data, if it is there, and the rows; CorruptionError if that cannot be."""
    try:
        start = 0
        state = b""
        if stamp.flags & IN_DATA:
            (size,) = _SIZE.unpack_from(data)
            start = _SIZE.size + size
            state = data[_SIZE.size : start]
        return state, _rows(stamp.position, data, start)
    except struct.error as error:
        raise CorruptionError(where=where, expected="rows", got=str(error)) from error


def _rows(position: int, data: bytes, start: int) -> list[Row]:
    if start >= len(data):
        return []
    (count,) = _SIZE.unpack_from(data, start)
    at = start + _SIZE.size
    directory = [_ROW.unpack_from(data, at + number * _ROW.size) for number in range(count)]
    at += count * _ROW.size
    rows = []
    for form, length, size, stored in directory:
        if at + stored > len(data):
            raise struct.error(f"{len(data) - at} bytes in the place of {stored}")
        rows.append(Row(position, length, size, form, None if form == HOLE else data[at : at + stored]))
        position += length
        at += stored
    return rows
