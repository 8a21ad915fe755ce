"""JSON bodies by the standard library."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rpc.bodies import JsonCodec

CODEC = JsonCodec()
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


@given(JSON)
def test_values_survive(value: object) -> None:
    body = CODEC.encode(value)
    assert CODEC.decode(body) == value
    assert CODEC.decode(memoryview(body)) == value


@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_a_value_error(body: bytes) -> None:
    try:
        value = CODEC.decode(body)
    except ValueError:
        return
    if not isinstance(value, float) or math.isfinite(value):
        CODEC.encode(value)


def test_it_is_compact_and_ascii() -> None:
    assert CODEC.encode({"a": [1, "ä"]}) == b'{"a":[1,"\\u00e4"]}'


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nul", b"NaN", b"[Infinity]", b"\xff", b'"\\ud800"', b'{"\\uDFFF":1}', b"[" * 10_000]
)
def test_what_is_not_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        CODEC.decode(body)


def test_whole_surrogate_pairs_are_fine() -> None:
    assert CODEC.decode(b'"\\ud83d\\ude00 \\\\ud800"') == "\N{GRINNING FACE} \\ud800"


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {"x": b"bytes"}, {1j: 1}, "\udcff", {"\ud83d": 1}])
def test_what_json_cannot_say(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        CODEC.encode(value)
