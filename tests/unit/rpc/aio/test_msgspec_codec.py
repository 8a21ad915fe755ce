"""MsgspecCodec: the same JSON as the standard library's, a ValueError for the rest."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rpc.aio.msgspec_codec import MsgspecCodec

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@dataclass(frozen=True, slots=True)
class Point:
    """Something with fields."""

    x: int
    y: list[int]


@given(_JSON)
def test_round_trip_and_the_standard_library_reads_it(value: Any) -> None:
    codec = MsgspecCodec()
    data = codec.encode(value)
    assert codec.decode(data) == value
    assert json.loads(data) == value


@given(_JSON)
def test_it_reads_what_the_standard_library_writes(value: Any) -> None:
    assert MsgspecCodec().decode(memoryview(json.dumps(value).encode())) == value


def test_dataclasses_are_objects() -> None:
    assert MsgspecCodec().encode(Point(1, [2])) == b'{"x":1,"y":[2]}'


@pytest.mark.parametrize("value", [object(), "\ud800", {1: {2: object()}}])
def test_what_json_cannot_carry_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        MsgspecCodec().encode(value)


@pytest.mark.parametrize("data", [b"", b"{", b"nope", b'"\xff"', b"[" * 100_000, b"1 2"])
def test_bad_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        MsgspecCodec().decode(data)


@given(st.binary(max_size=64))
def test_any_bytes_decode_or_raise_that_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        MsgspecCodec().decode(data)
