from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.records import canonical
from holdfast.records.canonical import DEPTH_MAX, canonical_json, canonicalise
from holdfast.records.cid import record_cid

VECTORS: list[dict[str, str]] = json.loads((Path(__file__).parent / "cid-vectors.json").read_text())

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.integers(-(2**60), 2**60)
SCALARS = TEXT | NUMBERS | st.booleans() | st.none()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)
OBJECTS = st.dictionaries(TEXT, VALUES)


def within_doubles(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(within_doubles, value.values()))
    if isinstance(value, list):
        return all(map(within_doubles, value))
    if isinstance(value, int):
        try:
            float(value)
        except OverflowError:
            return False
    return True


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_the_vectors_made_with_go(vector: dict[str, str]) -> None:
    value, form = canonicalise(vector["input"].encode())
    assert form.decode() == vector["canonical"]
    assert canonical_json(json.loads(vector["input"])) == form
    assert canonical_json(value) == form
    assert record_cid(form) == vector["cid"]
    assert canonicalise(form)[1] == form


@given(OBJECTS.filter(within_doubles))
def test_both_ways_write_the_same_and_it_stays_as_it_is(value: dict[str, Any]) -> None:
    form = canonical_json(value)
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        assert canonicalise(text.encode())[1] == form
    assert canonicalise(form)[1] == form
    assert not set("<>&\u2028\u2029") & set(form.decode())


@given(OBJECTS.filter(within_doubles))
def test_the_meaning_stays(value: dict[str, Any]) -> None:
    def doubles(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: doubles(item) for key, item in value.items()}
        if isinstance(value, list):
            return [doubles(item) for item in value]
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    assert doubles(json.loads(canonical_json(value))) == doubles(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_as_short_as_go_writes_them(number: float) -> None:
    (form,) = (canonical_json({"n": number})[5:-1].decode(),)
    assert float(form) == number
    assert math.copysign(1, float(form)) == math.copysign(1, number)
    size = abs(number)
    if size and (size < 1e-6 or size >= 1e21):
        mantissa, exponent = form.lstrip("-").split("e")
        assert 1 <= float(mantissa) < 10
        assert exponent[0] in "+-"
        assert exponent[1] != "0"
    else:
        assert "e" not in form
        assert not form.endswith(".0")
    assert canonicalise(b'{"n":%s}' % json.dumps(number).encode())[1] == b'{"n":%s}' % form.encode()


@pytest.mark.parametrize(
    ("given_", "written"),
    [
        ("-0", "-0"),
        ("-0.0", "-0"),
        ("0.0", "0"),
        ("0e5", "0"),
        ("1E3", "1000"),
        ("9007199254740993", "9007199254740992"),
        ("9999999999999999", "10000000000000000"),
        ("1e16", "10000000000000000"),
        ("123456789012345678901", "123456789012345680000"),
        ("1e21", "1e+21"),
        ("1e-5", "0.00001"),
        ("0.00009", "0.00009"),
        ("1e-9", "1e-9"),
        ("1.5e-10", "1.5e-10"),
        ("1e-100", "1e-100"),
        ("1e100", "1e+100"),
        ("4.9e-324", "5e-324"),
    ],
)
def test_numbers_by_hand(given_: str, written: str) -> None:
    assert canonicalise(f'{{"n":[{given_}]}}'.encode())[1].decode() == f'{{"n":[{written}]}}'


def test_strings_by_hand() -> None:
    text = '{"b":"\\u003c\\/\\u007f\\u00e9","a":"\\b\\f\\n\\r\\t\\"\\\\\\u0001\\u2028 & >"}'
    assert canonicalise(text.encode())[1].decode() == (
        '{"a":"\\b\\f\\n\\r\\t\\"\\\\\\u0001\\u2028 \\u0026 \\u003e","b":"\\u003c/\x7f\u00e9"}'
    )


def test_keys_are_sorted_by_their_utf8_bytes() -> None:
    text = json.dumps({"\U0001f600": 1, "\uffff": 2, "a": 3, "": 4, "Z": 5})
    assert canonicalise(text.encode())[1].decode() == '{"":4,"Z":5,"a":3,"\uffff":2,"\U0001f600":1}'


def test_of_a_key_that_comes_twice_the_last_value_counts() -> None:
    assert canonicalise(b'{"a":1,"a":2}')[1] == b'{"a":2}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "Infinity is not JSON"),
        (b'{"a":1e999}', "beyond a double"),
        (b'{"a":' + b"9" * 400 + b"}", "beyond a double|not JSON"),
        (b'{"a":' + b"9" * 9000 + b"}", "not JSON"),
        (b'{"a":"\n"}', "not JSON"),
        (b'{"a":"\\ud800"}', "not UTF-8"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[]", "an object was expected, found an array|a JSON object was expected, found an array"),
        (b'"a"', "found a string"),
        (b"1.5", "found a number"),
        (b"1e-7", "found a number"),
        (b"null", "found null"),
        (b"true", "found true or false"),
    ],
)
def test_what_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        canonicalise(text)
    assert caught.value.field == "record"


def test_depth_is_bounded_alike_for_text_and_values() -> None:
    def nested(levels: int) -> str:
        return '{"a":' * levels + "1" + "}" * levels

    assert canonicalise(nested(DEPTH_MAX).encode())[1].decode() == nested(DEPTH_MAX)
    value = json.loads(nested(DEPTH_MAX))
    assert canonical_json(value).decode() == nested(DEPTH_MAX)
    for refused in (nested(DEPTH_MAX + 1).encode(), b'{"a":' + b"[" * 100_000):
        with pytest.raises(UsageError, match="levels deep"):
            canonicalise(refused)
    with pytest.raises(UsageError, match="levels deep"):
        canonical_json({"a": value})
    wide = b'{"a":[' + b"[]," * 1000 + b'"\\"[[[[{{{"]}'
    assert canonicalise(wide)[1] == wide, "many, but not in each other"
    endless: dict[str, Any] = {}
    endless["a"] = [endless]
    with pytest.raises(UsageError, match="levels deep"):
        canonical_json(endless)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({1: 2}, "the key 1 is not a string"),
        ({"a": {None: 1}}, "the key None"),
        ({"a": float("nan")}, "JSON has no nan"),
        ({"a": float("inf")}, "JSON has no inf"),
        ({"a": 10**400}, "beyond a double"),
        ({"a": b"x"}, "JSON has no bytes"),
        ({"a": {1, 2}}, "JSON has no set"),
        ({"a": "\ud800"}, "not UTF-8"),
    ],
)
def test_values_that_are_refused(value: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        canonical_json(value, field="data")
    assert caught.value.field == "data"


def test_the_fast_way_is_taken_where_it_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_value: Any, _field: str) -> str:
        raise AssertionError("the slow way was taken")

    monkeypatch.setattr(canonical, "_written", slow)
    canonicalise(b'{"a":[1,1.0,1.5,-3,0,1e3,1e20,0.0001,1e-12,1e300,123456789012345678],"b":"<&>"}')
    for text in (b'{"a":-0}', b'{"a":1e-5}'):
        with pytest.raises(AssertionError):
            canonicalise(text)
