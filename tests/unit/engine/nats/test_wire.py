from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.base import LogMode
from holdfast.engine.checks import extent_of, first_position
from holdfast.engine.extents import Extent
from holdfast.engine.nats.wire import (
    IN_DATA,
    Changed,
    Identity,
    KeyStamp,
    Stamp,
    Whole,
    decode_changed,
    decode_identity,
    decode_key,
    decode_stamp,
    decode_whole,
    encode_changed,
    encode_data,
    encode_identity,
    encode_key,
    encode_stamp,
    encode_whole,
    payload_of,
    split_data,
)
from holdfast.engine.packing import pack
from holdfast.errors import CorruptionError

U64 = st.integers(0, 2**63)
STAMPS = st.builds(Stamp, st.integers(0, 63), U64, U64, U64, U64, U64, U64, U64, st.integers(0, 2**32 - 1))
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
PRODUCERS = st.lists(st.tuples(TEXT, U64, U64), max_size=4)


@given(STAMPS, st.binary(max_size=100))
def test_stamps(stamp: Stamp, state: bytes) -> None:
    text = encode_stamp(stamp, state)
    assert text.isascii() and "\n" not in text
    assert decode_stamp(text, "here") == (stamp, state)
    assert decode_identity(text, b"", "here") == Identity(stamp.epoch, stamp.number)


@given(
    st.builds(KeyStamp, st.integers(0, 63), U64, U64, U64, st.integers(0, 99), st.integers(0, 2**31)),
    TEXT,
    st.binary(max_size=50),
)
def test_keys(stamp: KeyStamp, key: str, value: bytes) -> None:
    data = encode_key(stamp, key, value)
    assert decode_key(data, "here") == (stamp, key, value)
    assert decode_identity(None, data, "here") == Identity(stamp.epoch, stamp.number)


@pytest.mark.parametrize("text", [None, "", "?", "AAAA", encode_identity(Identity(1, 2))[:8], "/" * 120])
def test_what_is_no_stamp(text: str | None) -> None:
    with pytest.raises(CorruptionError, match="here: expected a stamp"):
        decode_stamp(text, "here")
    with pytest.raises(CorruptionError, match="here: expected a"):
        decode_identity(text, b"\2" * 50, "here")
    with pytest.raises(CorruptionError, match="here: expected a key"):
        decode_key((text or "").encode(), "here")


@given(
    st.builds(
        Whole,
        TEXT,
        st.integers(0, 2),
        U64,
        U64,
        U64,
        U64,
        U64,
        st.booleans(),
        st.booleans(),
        st.binary(max_size=50),
        PRODUCERS,
        st.lists(st.tuples(U64, U64, U64), max_size=3),
    ),
    st.builds(Changed, st.none() | st.binary(max_size=50), st.booleans(), PRODUCERS),
)
def test_what_is_known(whole: Whole, changed: Changed) -> None:
    assert decode_whole(encode_whole(whole), "here") == whole
    assert decode_changed(encode_changed(changed), "here") == changed
    for decode in (decode_whole, decode_changed):
        with pytest.raises(CorruptionError, match="here"):
            decode(b"\x93\xc0", "here")


@given(
    st.sampled_from(["bytes", "entries", "runs"]),
    st.lists(st.tuples(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.integers(0, 2)), max_size=6),
    st.none() | st.binary(max_size=20),
    st.data(),
)
def test_rows(mode: LogMode, parts: list[tuple[list[bytes], int]], state: bytes | None, data: st.DataObject) -> None:
    position, extents = first_position(mode), list[Extent]()
    for some, tag in parts:
        if mode == "bytes" and data.draw(st.booleans()):
            extent = Extent(position, position + 7, 0, 0, None)
        elif mode == "entries":
            extent = extent_of(mode, position, some, tag)
        else:
            extent = extent_of(mode, position, b"".join(some), *((0, len(some)) if mode == "runs" else (tag,)))
        if extent.end > position:
            extents.append(extent)
            position = extent.end
    rows = pack(mode, extents, 1 << 62) if extents else []
    raw = encode_data(state, payload_of(mode, extents))
    flags = 0 if state is None else IN_DATA
    stamp = Stamp(flags, 1, 1, first_position(mode), position, 0, 0, 0, 0)
    assert split_data(stamp, raw, "here") == (state or b"", rows)
    if rows:
        start = 0 if state is None else 4 + len(state)
        with pytest.raises(CorruptionError, match="here"):
            split_data(stamp, raw[: data.draw(st.integers(start + 1, len(raw) - 1))], "here")
