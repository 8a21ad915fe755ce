"""The little of protobuf we speak, against the protobuf library's own idea of it."""

from __future__ import annotations

import pytest
from google.protobuf.internal import encoder
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ProtocolError
from holdfast.sync.wire import protobuf as pb


@given(st.integers(0, pb.UINT64_MAX))
def test_numbers_travel_as_everywhere(value: int) -> None:
    written: list[bytes] = []
    encoder._VarintEncoder()(written.append, value, False)
    assert pb.varint(value) == b"".join(written)
    assert pb.read_varint(b"x" + pb.varint(value) + b"y", 1) == (value, 1 + len(pb.varint(value)))


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.one_of(st.integers(0, pb.UINT64_MAX), st.binary()))))
def test_fields_come_back_with_their_places(items: list[tuple[int, int | bytes]]) -> None:
    data = b"".join(
        [
            pb.number_field(field, value) if isinstance(value, int) else pb.bytes_field(field, value)
            for field, value in items
        ]
    )
    found = list(pb.fields(data))
    assert [(field, value) for field, value, _, _ in found] == items
    assert b"".join([data[start:end] for _, _, start, end in found]) == data


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_an_error(data: bytes) -> None:
    try:
        found = list(pb.fields(data))
    except ProtocolError as error:
        assert error.reason in {"malformed", "truncated"}
        assert 0 <= error.offset <= len(data)
    else:
        assert b"".join([data[start:end] for _, _, start, end in found]) == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80" * 11, "malformed"),
        (b"\xff" * 9 + b"\x02", "malformed"),
        (b"\x80", "truncated"),
        (b"\x00\x01", "malformed"),
        (b"\x0a\x05abc", "truncated"),
        (b"\x0b\x01", "malformed"),
        (b"\x09\x01", "truncated"),
        (b"\x0d\x01\x02", "truncated"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "truncated"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        list(pb.fields(data))
    assert caught.value.reason == reason


def test_fixed_size_fields_are_walked_over() -> None:
    data = b"\x09" + b"8" * 8 + b"\x15" + b"4" * 4
    assert [(field, value) for field, value, _, _ in pb.fields(data)] == [(1, b"8" * 8), (2, b"4" * 4)]


def test_a_value_of_the_wrong_kind_is_named() -> None:
    for read, value in ((pb.text, 1), (pb.blob, 1), (pb.number, b"x"), (pb.text, b"\xff")):
        with pytest.raises(ProtocolError, match="thing"):
            read(value, "thing", 3)
