"""The frames of the wire: pure encoding, and a reader that cuts a byte stream back into frames.

Layout, big endian, after the four bytes ``HFR1`` each side sends first::

    u32 length (of all that follows: 6 + body) | u8 type | u8 flags | u32 number | body

``docs/reference/protocol.md`` describes every type.  Nothing here knows what a frame may mean when.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

from ..errors import ProtocolError
from ..streams.packets import BYTES, GAP, Ack, Data

PREAMBLE = b"HFR1"
"""What each side sends first, so that a stranger's bytes are refused at once."""

HEADER = Struct(">IBBI")
HEADER_BYTES = HEADER.size
_LENGTH = Struct(">I")
_U64 = Struct(">Q")
_U64_PAIR = Struct(">QQ")
_DATA_HEADER = Struct(">IBBIQ")
DATA_HEADER_BYTES = _DATA_HEADER.size
_ACK_FRAME = Struct(">IBBIQQ")
_unpack_u64 = _U64.unpack_from
_new = tuple.__new__
"""Makes a NamedTuple at half the price of calling its class; for what is made per packet."""
_LENGTH_OVERHEAD = HEADER_BYTES - _LENGTH.size
"""What the length field counts beside the body: type, flags and number."""

OPTIONAL = 0x80
"""A frame type with this bit may be ignored by whoever does not know it; others close the connection."""

INLINE_PAYLOAD_BYTES = 512
"""Payloads up to this size are copied behind their header: cheaper than one more buffer for the kernel."""

_VIEW_SHARE = 4
"""A payload is handed on as a view of the received bytes only if it is at least one part in this many of
them, so that a small payload kept for long does not keep a large read alive; otherwise it is copied."""


class FrameType(IntEnum):
    """Every frame type of this version."""

    HELLO = 1
    AUTH = 2
    READY = 3
    GOODBYE = 4
    PING = 5
    PONG = 6
    REQUEST = 7
    RESPONSE = 8
    CANCEL = 9
    EVENT = 10
    DATA = 11
    ACK = 12


_KNOWN = frozenset(int(frame_type) for frame_type in FrameType)
_DATA = int(FrameType.DATA)
_ACK = int(FrameType.ACK)

FLAG_ERROR = 1
"""RESPONSE: the body is an error."""
FLAG_ATTACHMENT = 2
"""REQUEST, RESPONSE, EVENT: the body is u32 length of the JSON, the JSON, raw bytes."""
FLAG_FIN = 1
"""ACK: the end of the stream was received."""
FLAG_CANCEL = 2
"""ACK: the reader asks the writer to stop; the rest of the body says why."""


class Frame(NamedTuple):
    """One frame as it came.  ``body`` is a view of received bytes that nobody writes to again."""

    type: int
    flags: int
    number: int
    body: memoryview


def encode_frame(frame_type: int, number: int = 0, body: bytes = b"", flags: int = 0) -> bytes:
    """One whole frame."""
    return HEADER.pack(_LENGTH_OVERHEAD + len(body), frame_type, flags, number) + body


def encode_attached(frame_type: int, number: int, json: bytes, attachment: bytes, flags: int = 0) -> bytes:
    """A frame whose body is ``json`` alone, or, if there is any, ``json`` and ``attachment``."""
    if not attachment:
        return encode_frame(frame_type, number, json, flags)
    length = _LENGTH_OVERHEAD + _LENGTH.size + len(json) + len(attachment)
    header = HEADER.pack(length, frame_type, flags | FLAG_ATTACHMENT, number)
    return b"".join((header, _LENGTH.pack(len(json)), json, attachment))


def split_attached(frame: Frame) -> tuple[memoryview, bytes]:
    """The JSON and the attachment of ``frame``; ProtocolError("malformed") if the lengths do not fit."""
    body = frame.body
    if not frame.flags & FLAG_ATTACHMENT:
        return body, b""
    if len(body) < _LENGTH.size:
        raise ProtocolError(f"attachment: body of {len(body)} bytes has no length")
    json_end = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    if json_end > len(body):
        raise ProtocolError(f"attachment: JSON ends at {json_end} of {len(body)} bytes")
    return body[_LENGTH.size : json_end], bytes(body[json_end:])


def encode_data(packet: Data) -> tuple[bytes, ...]:
    """``packet`` as one or two buffers: a large payload is not copied behind its header."""
    stream, seq, payload, kind, tag, skip = packet
    if kind == GAP:
        payload = _U64.pack(skip)
    length = len(payload)
    header = _DATA_HEADER.pack(_LENGTH_OVERHEAD + 8 + length, _DATA, kind | tag << 4, stream, seq)
    if length <= INLINE_PAYLOAD_BYTES:
        return (header + payload,)
    return header, payload if type(payload) is bytes else bytes(payload)


def decode_data(frame: Frame) -> Data:
    """The packet in a DATA frame; ProtocolError("malformed") if it is too short or of an unknown kind."""
    _, flags, number, body = frame
    kind = flags & 15
    size = len(body)
    if kind == BYTES and size >= 8:
        whole: Any = body.obj
        payload = body[8:].tobytes() if size * _VIEW_SHARE < len(whole) else body[8:]
        return _new(Data, (number, _unpack_u64(body)[0], payload, BYTES, flags >> 4, 0))
    if kind > GAP:
        raise ProtocolError(f"DATA: unknown kind {kind}")
    if len(body) < 8 or (kind == GAP and len(body) != 16):
        raise ProtocolError(f"DATA: body of {len(body)} bytes for kind {kind}")
    if kind == GAP:
        seq, skip = _U64_PAIR.unpack_from(body)
        return Data(frame.number, seq, b"", GAP, frame.flags >> 4, skip)
    return Data(frame.number, _U64.unpack_from(body)[0], bytes(body[8:]), kind, frame.flags >> 4)


def encode_ack(ack: Ack) -> bytes:
    """``ack`` as one frame."""
    stream, seq, window, fin, cancel, error = ack
    flags = (FLAG_FIN if fin else 0) | (FLAG_CANCEL if cancel else 0)
    if not error:
        return _ACK_FRAME.pack(_LENGTH_OVERHEAD + 16, _ACK, flags, stream, seq, window)
    text = error.encode("utf-8", "replace")
    return _ACK_FRAME.pack(_LENGTH_OVERHEAD + 16 + len(text), _ACK, flags, stream, seq, window) + text


def decode_ack(frame: Frame) -> Ack:
    """The acknowledgement in an ACK frame; ProtocolError("malformed") if it is too short or not UTF-8."""
    body = frame.body
    if len(body) < 16:
        raise ProtocolError(f"ACK: body of {len(body)} bytes")
    seq, window = _U64_PAIR.unpack_from(body)
    error = _text(body[16:]) if len(body) > 16 else ""
    return Ack(frame.number, seq, window, bool(frame.flags & FLAG_FIN), bool(frame.flags & FLAG_CANCEL), error)


def _text(body: memoryview) -> str:
    try:
        return str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"ACK: error text is not UTF-8: {error.reason}") from error


def encode_opaque(frame_type: int, opaque: int) -> bytes:
    """A PING or PONG carrying ``opaque``, 64 bits that only the sender of the PING understands."""
    return encode_frame(frame_type, 0, _U64.pack(opaque))


def decode_opaque(frame: Frame) -> int:
    """What a PING or PONG carries; ProtocolError("malformed") if it is not 64 bits."""
    if len(frame.body) != 8:
        raise ProtocolError(f"PING or PONG: body of {len(frame.body)} bytes")
    return int(_U64.unpack_from(frame.body)[0])


class FrameReader:
    """Cuts received bytes into frames; holds at most one frame's part, never longer than the limit.

    ``frame_bytes_max`` bounds a body; a longer one, an unknown type or a wrong preamble raises ProtocolError as soon
    as its header is here, before any of its body is kept.  After an error the reader must not be used again.
    """

    __slots__ = ("_part", "_preamble_got", "frame_bytes_max", "offset")

    def __init__(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self.offset = 0
        """Where on the connection the current frame begins; errors carry it."""
        self._preamble_got = 0
        self._part = bytearray()

    @property
    def buffered_bytes(self) -> int:
        """Bytes held of a frame that is not yet complete."""
        return len(self._part)

    def frames(self, data: bytes | bytearray | memoryview) -> Iterator[Frame]:
        """The frames that ``data`` completes; exhaust it before the next call, or drop the reader.

        Bodies are views of ``data`` if that is ``bytes``; anything else may be written to by its owner
        afterwards and is copied first.
        """
        chunk = data if type(data) is bytes else bytes(data)
        at = self._take_preamble(chunk) if self._preamble_got < len(PREAMBLE) else 0
        if self._part:
            at = self._complete_part(chunk, at)
            if at < 0:
                return
            part, self._part = self._part, bytearray()
            _, frame_type, flags, number = HEADER.unpack_from(part)
            yield Frame(frame_type, flags, number, memoryview(part)[HEADER_BYTES:].toreadonly())
            self.offset += len(part)
        yield from self._whole(chunk, at)

    def _whole(self, chunk: bytes, at: int) -> Iterator[Frame]:
        """The frames that begin and end in ``chunk``; the rest is kept as a part."""
        view = memoryview(chunk)
        end = len(chunk)
        unpack_header = HEADER.unpack_from
        while (body_at := at + HEADER_BYTES) <= end:
            length, frame_type, flags, number = unpack_header(chunk, at)
            if frame_type not in _KNOWN or not _LENGTH_OVERHEAD <= length <= self.frame_bytes_max:
                self._check(length, frame_type)
            frame_end = body_at + length - _LENGTH_OVERHEAD
            if frame_end > end:
                break
            yield _new(Frame, (frame_type, flags, number, view[body_at:frame_end]))
            self.offset += frame_end - at
            at = frame_end
        if at < end:
            self._part += view[at:]
            self._check_part()

    def _take_preamble(self, chunk: bytes) -> int:
        got = self._preamble_got
        some = chunk[: len(PREAMBLE) - got]
        if some != PREAMBLE[got : got + len(some)]:
            raise ProtocolError(f"preamble: {some!r} is not {PREAMBLE!r}", "preamble", self.offset)
        self._preamble_got += len(some)
        self.offset += len(some)
        return len(some)

    def _complete_part(self, chunk: bytes, at: int) -> int:
        """Add to the part what it lacks; where ``chunk`` goes on, or -1 if that was all of it."""
        part = self._part
        lacking = HEADER_BYTES - len(part)
        if lacking > 0:
            part += chunk[at : at + lacking]
            at += lacking
            self._check_part()
            if len(part) < HEADER_BYTES:
                return -1
        lacking = _LENGTH.size + int(_LENGTH.unpack_from(part)[0]) - len(part)
        part += memoryview(chunk)[at : at + lacking]
        return at + lacking if len(chunk) - at >= lacking else -1

    def _check_part(self) -> None:
        """Refuse a part as soon as its length, then its type, is known."""
        part = self._part
        if len(part) > _LENGTH.size:
            self._check(_LENGTH.unpack_from(part)[0], part[_LENGTH.size])
        elif len(part) == _LENGTH.size:
            self._check(_LENGTH.unpack_from(part)[0], OPTIONAL)

    def _check(self, length: int, frame_type: int) -> None:
        if not _LENGTH_OVERHEAD <= length <= self.frame_bytes_max + _LENGTH_OVERHEAD:
            self._refuse_length(length)
        if frame_type not in _KNOWN and not frame_type & OPTIONAL:
            raise ProtocolError(f"unknown frame type {frame_type}", "unknown-type", self.offset)

    def _refuse_length(self, length: int) -> None:
        if length < _LENGTH_OVERHEAD:
            raise ProtocolError(f"frame of length {length}, shorter than its header", "malformed", self.offset)
        raise ProtocolError(
            f"frame body of {length - _LENGTH_OVERHEAD} bytes, over the limit frame_bytes_max = {self.frame_bytes_max}",
            "frame-too-large",
            self.offset,
        )
