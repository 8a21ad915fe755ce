"""The snapshot's codec: nothing is lost but what is below a millisecond, and nothing is read half."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import CorruptionError
from holdfast.sync.model import HistoryEntry
from holdfast.sync.persistence.snapshot import (
    AbsentMeta,
    ChannelMeta,
    RequestMeta,
    ResponseMeta,
    SentMeta,
    WaitingMeta,
    decode_meta,
    encode_meta,
    seal,
    unseal,
)
from holdfast.sync.wire.protobuf import bytes_field, number_field, text_field

EMPTY = ChannelMeta("c", "spec", 0)
FULL = ChannelMeta(
    "channel",
    "nim",
    2**64 - 1,
    (SentMeta("m1", b"bytes", 1_700_000_000_123, 2, 1), SentMeta("m2", b"", 5)),
    (WaitingMeta(b"bytes", ("a", "b"), 7, ("gone",)),),
    (RequestMeta(HistoryEntry("a", b"hint", "bob"), 10, 9, 3),),
    (ResponseMeta(HistoryEntry("x", b"", "carol"), 11),),
    (AbsentMeta("gone", lost=True), AbsentMeta("met", lost=False)),
)

ids = st.text(min_size=1, max_size=20)
times = st.integers(0, 2**53)
entries = st.builds(HistoryEntry, ids, st.binary(max_size=10), st.text(max_size=10))
metas = st.builds(
    ChannelMeta,
    st.text(max_size=20),
    st.sampled_from(["spec", "nim"]),
    st.integers(0, 2**64 - 1),
    st.lists(st.builds(SentMeta, ids, st.binary(max_size=30), times, st.integers(0, 9), st.integers(0, 9))).map(tuple),
    st.lists(
        st.builds(WaitingMeta, st.binary(min_size=1), st.lists(ids).map(tuple), times, st.lists(ids).map(tuple))
    ).map(tuple),
    st.lists(st.builds(RequestMeta, entries, times, times, st.integers(0, 9))).map(tuple),
    st.lists(st.builds(ResponseMeta, entries, times)).map(tuple),
    st.lists(st.builds(AbsentMeta, ids, st.booleans())).map(tuple),
)


@pytest.mark.parametrize("meta", [EMPTY, FULL])
def test_it_comes_back_as_it_was(meta: ChannelMeta) -> None:
    assert decode_meta(encode_meta(meta)) == meta


@given(metas)
def test_any_comes_back_as_it_was(meta: ChannelMeta) -> None:
    assert decode_meta(encode_meta(meta)) == meta


def test_the_inner_messages_have_the_numbers_of_the_public_storage_codec() -> None:
    body = unseal(encode_meta(FULL), "here")
    sent = bytes_field(1, b"bytes") + number_field(2, 1_700_000_000_123) + number_field(3, 2)
    assert sent in body
    assert bytes_field(1, b"bytes") + text_field(2, "a") + text_field(2, "b") in body
    entry = text_field(1, "a") + bytes_field(2, b"hint") + text_field(3, "bob")
    assert (
        text_field(1, "a") + bytes_field(2, bytes_field(1, entry) + number_field(2, 10) + b"\x18\x09\x20\x03") in body
    )


def test_a_snapshot_torn_at_any_byte_is_refused() -> None:
    data = encode_meta(FULL)
    for size in range(len(data)):
        with pytest.raises(CorruptionError, match="here"):
            decode_meta(data[:size], "here")
    with pytest.raises(CorruptionError):
        decode_meta(data + b"\0")


def test_a_snapshot_with_any_bit_changed_is_refused() -> None:
    data = encode_meta(FULL)
    for place in range(len(data)):
        for bit in (1, 128):
            changed = bytearray(data)
            changed[place] ^= bit
            with pytest.raises(CorruptionError):
                decode_meta(bytes(changed))


@pytest.mark.parametrize("version", [0, 2, 2**40])
def test_another_schema_version_is_refused_loudly(version: int) -> None:
    body = number_field(1, version) + bytes_field(3, b"\xff whatever it means by then")
    with pytest.raises(CorruptionError, match=f"expected schema_version 1, got {version}"):
        decode_meta(seal(body))
    with pytest.raises(CorruptionError, match="schema_version"):
        decode_meta(seal(b""))


def test_a_sealed_snapshot_that_makes_no_sense_is_refused() -> None:
    version = number_field(1, 1)
    for body in (
        version + b"\x0b",
        version + number_field(3, 1),
        version + bytes_field(7, b"\xff"),
        version + number_field(7, 1),
        version + bytes_field(2, b"text for a clock"),
        version + bytes_field(3, bytes_field(2, b"text for a time")),
    ):
        with pytest.raises(CorruptionError):
            decode_meta(seal(body))


def test_unknown_fields_are_left_alone() -> None:
    body = unseal(encode_meta(FULL), "here")
    assert decode_meta(seal(body + bytes_field(100, b"later"))) == FULL
