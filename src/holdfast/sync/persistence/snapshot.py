"""The versioned snapshot of a channel: everything but its history, with absolute times in Unix milliseconds.

An envelope (magic, length, CRC-32) around protobuf, so that a torn or changed snapshot is refused and never half read.
The inner messages have the numbers of nim-sds' storage codec, and some more.  The bloom filter is not in it: it is made
anew from the history.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from zlib import crc32

from ...errors import CorruptionError, HoldfastError
from ..model import SCHEMA_VERSION, HistoryEntry
from ..wire.entries import entry_bytes, read_entry
from ..wire.protobuf import blob, bytes_field, fields, number, number_field, text, text_field

_MAGIC = b"HFG\x01"
_HEADER_BYTES = len(_MAGIC) + 8
_VERSION, _LAMPORT, _OUTGOING, _INCOMING, _REQUEST, _RESPONSE, _DIALECT, _ABSENT, _CHANNEL = range(1, 10)


class SentMeta(NamedTuple):
    """A message of ours that nobody acknowledged."""

    message_id: str
    data: bytes
    """Empty: it is in the stored history."""
    sent_ms: int
    attempts: int = 0
    filters: int = 0


class WaitingMeta(NamedTuple):
    """A message that waits for others."""

    data: bytes
    missing: tuple[str, ...]
    received_ms: int
    lost: tuple[str, ...] = ()


class RequestMeta(NamedTuple):
    """A message to ask for, and when."""

    entry: HistoryEntry
    due_ms: int
    since_ms: int
    attempts: int = 0


class ResponseMeta(NamedTuple):
    """A message to send again, and when."""

    entry: HistoryEntry
    due_ms: int


class AbsentMeta(NamedTuple):
    """A message nothing waits for although we do not have it: given up, or met by other means."""

    message_id: str
    lost: bool


class ChannelMeta(NamedTuple):
    """A channel's clock, buffers and repair times at one moment."""

    channel: str
    dialect: str
    lamport: int
    outgoing: tuple[SentMeta, ...] = ()
    incoming: tuple[WaitingMeta, ...] = ()
    requests: tuple[RequestMeta, ...] = ()
    responses: tuple[ResponseMeta, ...] = ()
    absent: tuple[AbsentMeta, ...] = ()


# to bytes: each part by itself, so that what did not change is not made again


def sent_piece(sent: SentMeta) -> bytes:
    """A message of ours, as part of a snapshot."""
    body = bytes_field(1, sent.data) if sent.data else b""
    body += number_field(2, sent.sent_ms) + number_field(3, sent.attempts) + text_field(4, sent.message_id)
    return bytes_field(_OUTGOING, body + number_field(5, sent.filters))


def waiting_piece(waiting: WaitingMeta) -> bytes:
    """A waiting message, as part of a snapshot."""
    body = [bytes_field(1, waiting.data), *[text_field(2, name) for name in waiting.missing]]
    body += [number_field(3, waiting.received_ms), *[text_field(4, name) for name in waiting.lost]]
    return bytes_field(_INCOMING, b"".join(body))


def request_piece(request: RequestMeta) -> bytes:
    """A request, as part of a snapshot."""
    body = bytes_field(1, entry_bytes(request.entry)) + number_field(2, request.due_ms)
    body += number_field(3, request.since_ms) + number_field(4, request.attempts)
    return bytes_field(_REQUEST, text_field(1, request.entry.message_id) + bytes_field(2, body))


def response_piece(response: ResponseMeta) -> bytes:
    """A response, as part of a snapshot.  The message itself is in the history."""
    body = bytes_field(1, entry_bytes(response.entry)) + number_field(3, response.due_ms)
    return bytes_field(_RESPONSE, text_field(1, response.entry.message_id) + bytes_field(2, body))


def absent_piece(absent: AbsentMeta) -> bytes:
    """A message nothing waits for, as part of a snapshot."""
    return bytes_field(_ABSENT, text_field(1, absent.message_id) + number_field(2, int(absent.lost)))


def join(channel: str, dialect: str, lamport: int, pieces: Iterable[bytes]) -> bytes:
    """The snapshot made of ``pieces``."""
    head = number_field(_VERSION, SCHEMA_VERSION) + number_field(_LAMPORT, lamport)
    return seal(b"".join((head, text_field(_DIALECT, dialect), text_field(_CHANNEL, channel), *pieces)))


def encode_meta(meta: ChannelMeta) -> bytes:
    """``meta`` as it is stored."""
    pieces = [sent_piece(sent) for sent in meta.outgoing]
    pieces += [waiting_piece(waiting) for waiting in meta.incoming]
    pieces += [request_piece(request) for request in meta.requests]
    pieces += [response_piece(response) for response in meta.responses]
    pieces += [absent_piece(absent) for absent in meta.absent]
    return join(meta.channel, meta.dialect, meta.lamport, pieces)


def seal(body: bytes) -> bytes:
    """``body`` in an envelope that shows whether all of it is there."""
    return b"".join((_MAGIC, len(body).to_bytes(4, "big"), crc32(body).to_bytes(4, "big"), body))


def unseal(data: bytes, where: str) -> bytes:
    """What is in the envelope.  CorruptionError if it is torn or changed."""
    if len(data) < _HEADER_BYTES or not data.startswith(_MAGIC):
        raise CorruptionError(where=where, expected="a snapshot", got=f"{len(data)} other bytes")
    body = data[_HEADER_BYTES:]
    size = int.from_bytes(data[4:8], "big")
    if len(body) != size:
        raise CorruptionError(where=where, expected=f"{size} bytes", got=f"{len(body)} bytes")
    if crc32(body).to_bytes(4, "big") != data[8:_HEADER_BYTES]:
        raise CorruptionError(where=where, expected="the checksum it was written with", got="another one")
    return body


# from bytes


def decode_meta(data: bytes, where: str = "snapshot") -> ChannelMeta:
    """The snapshot in ``data``.  CorruptionError if it is torn, changed, or of another schema version."""
    body = unseal(data, where)
    values: dict[int, Any] = {_VERSION: 0, _LAMPORT: 0, _DIALECT: "", _CHANNEL: ""}
    parts: dict[int, list[Any]] = {field: [] for field in _PARTS}
    try:
        _check_version(body, where)
        for field, value, _, _ in fields(body):
            if field in parts:
                parts[field].append(_PARTS[field](blob(value, "part", 0)))
            elif field in {_VERSION, _LAMPORT}:
                values[field] = number(value, "number", 0)
            elif field in values:
                values[field] = text(value, "text", 0)
    except CorruptionError:
        raise
    except HoldfastError as error:
        raise CorruptionError(where=where, expected="a snapshot", got=str(error)) from None
    return ChannelMeta(
        values[_CHANNEL],
        values[_DIALECT],
        values[_LAMPORT],
        *[tuple(parts[field]) for field in (_OUTGOING, _INCOMING, _REQUEST, _RESPONSE, _ABSENT)],
    )


def _check_version(body: bytes, where: str) -> None:
    version = next((value for field, value, _, _ in fields(body) if field == _VERSION), 0)
    if version != SCHEMA_VERSION:
        raise CorruptionError(where=where, expected=f"schema_version {SCHEMA_VERSION}", got=str(version))


def _read(data: bytes) -> dict[int, list[int | bytes]]:
    found: dict[int, list[int | bytes]] = {}
    for field, value, _, _ in fields(data):
        found.setdefault(field, []).append(value)
    return found


def _number(found: dict[int, list[int | bytes]], field: int) -> int:
    return number(found.get(field, [0])[-1], "number", 0)


def _blob(found: dict[int, list[int | bytes]], field: int) -> bytes:
    return blob(found.get(field, [b""])[-1], "bytes", 0)


def _texts(found: dict[int, list[int | bytes]], field: int) -> tuple[str, ...]:
    return tuple([text(value, "text", 0) for value in found.get(field, [])])


def _read_sent(data: bytes) -> SentMeta:
    found = _read(data)
    ids = _texts(found, 4)
    return SentMeta(ids[0] if ids else "", _blob(found, 1), _number(found, 2), _number(found, 3), _number(found, 5))


def _read_waiting(data: bytes) -> WaitingMeta:
    found = _read(data)
    return WaitingMeta(_blob(found, 1), _texts(found, 2), _number(found, 3), _texts(found, 4))


def _read_request(data: bytes) -> RequestMeta:
    found = _read(_blob(_read(data), 2))
    return RequestMeta(read_entry(_blob(found, 1)), _number(found, 2), _number(found, 3), _number(found, 4))


def _read_response(data: bytes) -> ResponseMeta:
    found = _read(_blob(_read(data), 2))
    return ResponseMeta(read_entry(_blob(found, 1)), _number(found, 3))


def _read_absent(data: bytes) -> AbsentMeta:
    found = _read(data)
    return AbsentMeta(_texts(found, 1)[0] if 1 in found else "", bool(_number(found, 2)))


_PARTS = {
    _OUTGOING: _read_sent,
    _INCOMING: _read_waiting,
    _REQUEST: _read_request,
    _RESPONSE: _read_response,
    _ABSENT: _read_absent,
}
