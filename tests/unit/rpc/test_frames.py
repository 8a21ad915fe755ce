"""Frames: every layout against golden bytes, every way of being malformed, any chunking."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ProtocolError
from holdfast.rpc.frames import (
    FLAG_ATTACHMENT,
    FLAG_ERROR,
    HEADER_BYTES,
    INLINE_PAYLOAD_BYTES,
    OPTIONAL,
    PREAMBLE,
    Frame,
    FrameReader,
    FrameType,
    decode_ack,
    decode_data,
    decode_opaque,
    encode_ack,
    encode_attached,
    encode_data,
    encode_frame,
    encode_opaque,
    split_attached,
)
from holdfast.streams.packets import BYTES, EOF, ERROR, GAP, Ack, Data

GOLDEN = Path(__file__).parent / "golden" / "frames.txt"
LIMIT = 4096

U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
DATA = st.one_of(
    st.builds(Data, U32, U64, st.binary(max_size=2000), st.just(BYTES), st.integers(0, 15), st.just(0)),
    st.builds(Data, U32, U64, st.just(b""), st.just(EOF), st.just(0), st.just(0)),
    st.builds(Data, U32, U64, st.binary(max_size=50), st.just(ERROR), st.just(0), st.just(0)),
    st.builds(Data, U32, U64, st.just(b""), st.just(GAP), st.integers(0, 15), U64),
)
ACKS = st.builds(Ack, U32, U64, U64, st.booleans(), st.booleans(), st.text(max_size=20))
CONTROL = st.builds(
    lambda frame_type, flags, number, body: (frame_type, flags, number, body),
    st.sampled_from([int(kind) for kind in FrameType] + [OPTIONAL, 255]),
    st.integers(0, 255),
    U32,
    st.binary(max_size=LIMIT),
)


def read_all(*chunks: bytes | bytearray | memoryview, limit: int = LIMIT) -> list[Frame]:
    reader = FrameReader(limit)
    list(reader.frames(PREAMBLE))
    return [frame for chunk in chunks for frame in reader.frames(chunk)]


def one(data: bytes) -> Frame:
    (frame,) = read_all(data)
    return frame


GOLDEN_FRAMES = {
    "ping": encode_opaque(FrameType.PING, 1),
    "pong": encode_opaque(FrameType.PONG, 0x0102030405060708),
    "request": encode_attached(FrameType.REQUEST, 7, b'{"method":"jobs.list","params":{}}', b""),
    "request with attachment": encode_attached(FrameType.REQUEST, 8, b'{"method":"x"}', b"\x00raw"),
    "response": encode_attached(FrameType.RESPONSE, 7, b"[]", b""),
    "error response": encode_frame(FrameType.RESPONSE, 8, b'{"code":"usage"}', FLAG_ERROR),
    "cancel": encode_frame(FrameType.CANCEL, 9),
    "event": encode_attached(FrameType.EVENT, 0, b'{"name":"exited","body":null}', b""),
    "goodbye": encode_frame(FrameType.GOODBYE, 0, b"{}"),
    "data bytes": b"".join(encode_data(Data(5, 4096, b"hello\n", BYTES, 1))),
    "data eof": b"".join(encode_data(Data(5, 4102, b"", EOF))),
    "data error": b"".join(encode_data(Data(5, 4102, b"broken", ERROR))),
    "data gap": b"".join(encode_data(Data(5, 0, b"", GAP, 0, 4096))),
    "ack window": encode_ack(Ack(5, 0, 65536)),
    "ack fin": encode_ack(Ack(5, 4102, 65536, fin=True)),
    "ack cancel": encode_ack(Ack(5, 4102, 0, cancel=True, error="enough")),
}


def test_wire_bytes_are_golden() -> None:
    lines = [f"{name}: {data.hex(' ')}" for name, data in GOLDEN_FRAMES.items()]
    assert GOLDEN.read_text().splitlines() == lines


@given(DATA)
def test_data_survives_the_wire(packet: Data) -> None:
    assert decode_data(one(b"".join(encode_data(packet)))) == packet


def test_a_large_payload_is_not_copied_behind_its_header() -> None:
    payload = bytes(INLINE_PAYLOAD_BYTES + 1)
    header, body = encode_data(Data(1, 0, payload))
    assert body is payload and len(header) == HEADER_BYTES + 8
    assert len(encode_data(Data(1, 0, payload[1:]))) == 1


def test_a_payload_that_may_change_is_copied_when_it_is_queued() -> None:
    ring = bytearray(b"a" * 1000)
    buffers = encode_data(Data(1, 0, memoryview(ring)))
    ring[:] = b"b" * 1000
    assert b"".join(buffers).endswith(b"a" * 1000)


@given(ACKS)
def test_acks_survive_the_wire(ack: Ack) -> None:
    assert decode_ack(one(encode_ack(ack))) == ack


@given(U64)
def test_pings_survive_the_wire(opaque: int) -> None:
    assert decode_opaque(one(encode_opaque(FrameType.PING, opaque))) == opaque


@given(st.binary(max_size=100), st.binary(max_size=100), st.integers(0, 1))
def test_attachments_survive_the_wire(json: bytes, attachment: bytes, flags: int) -> None:
    frame = one(encode_attached(FrameType.RESPONSE, 3, json, attachment, flags))
    assert frame.flags == flags | (FLAG_ATTACHMENT if attachment else 0)
    body, raw = split_attached(frame)
    assert (bytes(body), raw) == (json, attachment)


@given(st.lists(CONTROL, max_size=6), st.data())
def test_any_chunking_gives_the_same_frames(frames: list[tuple[int, int, int, bytes]], data: st.DataObject) -> None:
    wire = PREAMBLE + b"".join(encode_frame(kind, number, body, flags) for kind, flags, number, body in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    reader = FrameReader(LIMIT)
    got: list[tuple[int, int, int, bytes]] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        for frame in reader.frames(wire[start:end]):
            got.append((frame.type, frame.flags, frame.number, bytes(frame.body)))
            assert wire[reader.offset :].startswith(struct.pack(">I", len(frame.body) + 6))
        assert reader.buffered_bytes <= LIMIT + HEADER_BYTES
    assert got == frames
    assert reader.offset == len(wire) and reader.buffered_bytes == 0


@pytest.mark.parametrize("whole", [True, False])
def test_a_reused_buffer_is_not_aliased(whole: bool) -> None:
    wire = encode_frame(FrameType.DATA, 1, b"x" * 1000)
    buffer = bytearray(wire)
    reader = FrameReader(LIMIT)
    list(reader.frames(PREAMBLE))
    cut = len(wire) if whole else 500
    frames = list(reader.frames(memoryview(buffer)[:cut]))
    frames += list(reader.frames(memoryview(buffer)[cut:]))
    buffer[:] = bytes(len(wire))
    assert bytes(frames[0].body) == b"x" * 1000
    assert frames[0].body.readonly


def test_a_small_payload_does_not_keep_a_large_read_alive() -> None:
    small, large = Data(1, 0, b"s" * 100), Data(1, 100, b"l" * 3000)
    frames = read_all(b"".join(encode_data(small) + encode_data(large)))
    payloads = [decode_data(frame).payload for frame in frames]
    assert [type(payload) for payload in payloads] == [bytes, memoryview]


def test_an_unknown_optional_type_is_a_frame_like_any_other() -> None:
    frame = one(encode_frame(OPTIONAL | 9, 1, b"?"))
    assert (frame.type, frame.number, bytes(frame.body)) == (OPTIONAL | 9, 1, b"?")


def refused(data: bytes, *, limit: int = LIMIT, preamble: bytes = PREAMBLE) -> ProtocolError:
    """The one error that ``data`` gives, whether it comes at once or byte by byte; nothing beyond limits is kept."""
    errors = []
    for step in (len(data) + len(preamble), 1):
        reader = FrameReader(limit)
        wire = preamble + data
        with pytest.raises(ProtocolError) as caught:
            for start in range(0, len(wire), step):
                list(reader.frames(wire[start : start + step]))
        assert reader.buffered_bytes <= HEADER_BYTES
        errors.append(caught.value)
    assert (errors[0].reason, errors[0].offset) == (errors[1].reason, errors[1].offset)
    return errors[0]


def test_a_strangers_preamble() -> None:
    error = refused(b"GET / HTTP/1.1\r\n", preamble=b"")
    assert (error.reason, error.offset) == ("preamble", 0)


def test_a_body_over_the_limit_is_refused_by_its_length_alone() -> None:
    error = refused(struct.pack(">I", LIMIT + 7))
    assert (error.reason, error.offset) == ("frame-too-large", 4)
    assert "frame_bytes_max = 4096" in error.message
    assert len(one(encode_frame(FrameType.AUTH, 0, bytes(LIMIT))).body) == LIMIT


def test_a_length_shorter_than_the_header() -> None:
    assert refused(struct.pack(">IBBI", 5, 1, 0, 0)).reason == "malformed"


@pytest.mark.parametrize("unknown", [0, 13, 127])
def test_an_unknown_type_is_refused_before_its_body(unknown: int) -> None:
    error = refused(encode_frame(FrameType.PING, 0, bytes(8)) + struct.pack(">IB", 4000, unknown))
    assert (error.reason, error.offset) == ("unknown-type", 4 + HEADER_BYTES + 8)


@pytest.mark.parametrize(("flags", "body"), [(0, 7), (1, 7), (2, 0), (3, 8), (3, 15), (3, 17), (4, 16), (15, 16)])
def test_malformed_data(flags: int, body: int) -> None:
    with pytest.raises(ProtocolError, match="DATA") as caught:
        decode_data(one(encode_frame(FrameType.DATA, 1, bytes(body), flags)))
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("body", [b"", bytes(15), bytes(16) + b"\xff\xfe"])
def test_malformed_acks(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="ACK"):
        decode_ack(one(encode_frame(FrameType.ACK, 1, body)))


@pytest.mark.parametrize("size", [0, 7, 9])
def test_malformed_pings(size: int) -> None:
    with pytest.raises(ProtocolError, match="PING"):
        decode_opaque(one(encode_frame(FrameType.PING, 0, bytes(size))))


@pytest.mark.parametrize("body", [b"", b"\0\0\0", b"\0\0\0\x05abcd", b"\xff\xff\xff\xffabcd"])
def test_malformed_attachments(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="attachment"):
        split_attached(one(encode_frame(FrameType.EVENT, 0, body, FLAG_ATTACHMENT)))


@given(st.binary(max_size=200))
def test_any_bytes_give_frames_or_a_protocol_error(data: bytes) -> None:
    reader = FrameReader(64)
    list(reader.frames(PREAMBLE))
    reason = ""
    try:
        for frame in reader.frames(data):
            assert len(frame.body) <= 64
    except ProtocolError as error:
        reason = error.reason
    assert reason in {"", "malformed", "unknown-type", "frame-too-large"}
    assert reader.buffered_bytes <= 64 + HEADER_BYTES
