"""Messages as they travel, whole and in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ProtocolError
from holdfast.sessions.model import KINDS, Message
from holdfast.sessions.packing import HEAD_BYTES, Unpacker, pack, unpack

texts = st.text(min_size=1, max_size=20)
messages = st.builds(
    Message,
    texts,
    st.binary(max_size=200),
    st.dictionaries(texts, texts, max_size=3),
    st.floats(0, 1e10),
    st.integers(-1, 1 << 60),
    st.integers(-1, 1 << 60),
    st.sampled_from(KINDS),
    st.dictionaries(texts, st.integers(-5, 5) | texts, max_size=2),
)


@given(st.lists(messages, max_size=6), st.lists(st.integers(1, 90), min_size=1))
def test_there_and_back_in_any_pieces(sent: list[Message], sizes: list[int]) -> None:
    data = b"".join(map(pack, sent))
    assert list(unpack(data)) == sent
    unpacker = Unpacker()
    got: list[Message] = []
    place = 0
    while place < len(data):
        size = sizes[place % len(sizes)]
        got += unpacker.take(data[place : place + size])
        place += size
    assert got == sent
    assert unpacker.pending_bytes == 0


def test_the_bytes_are_these() -> None:
    assert pack(Message("bus.a", b"hi", {}, 1.5, 7, 9)).hex() == (
        "270000000000050000000000000000000000f83f070000000000000009000000000000006275732e616869"
    )
    assert HEAD_BYTES == 36


@given(st.binary(max_size=120))
def test_anything_else_is_refused_or_waited_for(data: bytes) -> None:
    try:
        list(unpack(data))
    except ProtocolError:
        pass


def test_what_is_no_message() -> None:
    good = pack(Message("bus.a", b"payload", {"a": "b"}))
    for bad in (
        good[:-1],
        good + b"\0",
        b"\x01\0\0\0" + good[4:],
        good[:4] + b"\x63" + good[5:],
        good[:6] + b"\xff\xff" + good[8:],
    ):
        with pytest.raises(ProtocolError):
            list(unpack(bad))
    with pytest.raises(ProtocolError):
        list(unpack(good.replace(b'{"headers"', b'["headers"')))
    with pytest.raises(ProtocolError):
        list(unpack(pack(Message("bus.a")).replace(b"bus.a", b"bus.\xff")))
    assert list(unpack(good)) == [Message("bus.a", b"payload", {"a": "b"})]
