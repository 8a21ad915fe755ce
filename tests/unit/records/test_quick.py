from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.records import quick
from holdfast.records.canonical import DEPTH_MAX, canonicalise
from holdfast.records.quick import canonicalise_quickly

VECTORS: list[dict[str, str]] = json.loads((Path(__file__).parent / "cid-vectors.json").read_text())

TEXT = st.text()
"""Halves of surrogate pairs too."""
NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-1e18, 1e18)
    | st.decimals(-1000, 1000, places=3).map(float)
    | st.integers()
    | st.integers(-(2**60), 2**60)
)
VALUES = st.recursive(
    TEXT | NUMBERS | st.booleans() | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=15,
)


def both(text: bytes) -> None:
    """The same form, or refused with the same words."""
    try:
        expected: Any = canonicalise(text)[1]
    except UsageError as error:
        expected = str(error)
    try:
        found: Any = canonicalise_quickly(text)[1]
    except UsageError as error:
        found = str(error)
    assert found == expected


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_the_vectors_made_with_go(vector: dict[str, str]) -> None:
    assert canonicalise_quickly(vector["input"].encode())[1].decode() == vector["canonical"]


@given(st.dictionaries(TEXT, VALUES) | VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_it_is_as_the_other_way(value: Any, ascii_only: bool, indent: int | None) -> None:
    both(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass"))


@given(st.dictionaries(TEXT, VALUES), st.data())
def test_it_is_as_the_other_way_for_broken_text_too(value: dict[str, Any], data: st.DataObject) -> None:
    text = bytearray(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    both(bytes(text))


@given(st.binary(max_size=60))
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":1}\0')
@example(b' {"a":1}\n\t')
def test_it_is_as_the_other_way_for_anything(text: bytes) -> None:
    both(text)
    both(b'{"a":"' + text + b'"}')
    both(b'{"a":' + text + b"}")


@given(st.text("0123456789.eE+-", min_size=1, max_size=25))
@example("-0")
@example("-0.0")
@example("0.0")
@example("1e15")
@example("999999999999999.9")
@example("0.0001")
@example("0.00009999")
@example("1E400")
def test_it_is_as_the_other_way_for_numbers(digits: str) -> None:
    for before, after in ((b'{"a":', b"}"), (b'{"a": ', b" }"), (b'{"a":[1,', b"]}"), (b'{"a":[', b",1]}")):
        both(before + digits.encode() + after)


@given(st.floats(1e-4, 1e16) | st.floats(-1e16, -1e-4))
def test_it_is_as_the_other_way_for_doubles(number: float) -> None:
    both(json.dumps({"a": number, "b": [math.floor(number) + 0.5]}).encode())


def test_depth() -> None:
    for levels in (DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1, 5_000):
        both(b'{"a":' * levels + b"1" + b"}" * levels)
        both(b'{"a":' + b"[" * levels + b"]" * levels + b"}")


def test_most_records_go_this_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(_text: bytes) -> Any:
        raise AssertionError("the other way was taken")

    monkeypatch.setattr(quick, "canonicalise", other)
    record = {
        "name": "a/b", "created_at": "2025-01-01T00:00:00Z", "n": [1, -1, 0, 1.5, 0.25, 1e3, 10**15 - 1, True, None],
        "text": "<\u00e9\u2028&\x7f\x01\U0001f600>", "nested": {"b": [{}], "a": []},
    }  # fmt: skip
    for ascii_only in (True, False):
        canonicalise_quickly(json.dumps(record, ensure_ascii=ascii_only).encode())
