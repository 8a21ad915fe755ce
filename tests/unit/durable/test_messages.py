"""JSON bodies taken apart and put together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.durable.messages import join_messages, split_messages
from holdfast.errors import UsageError

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(values, max_size=6), st.sampled_from([None, 2]))
def test_an_array_is_its_elements(items: list[Any], indent: int | None) -> None:
    messages = split_messages(json.dumps(items, indent=indent).encode())
    assert [json.loads(message) for message in messages] == items
    assert json.loads(join_messages(messages)) == items


@given(values.filter(lambda value: not isinstance(value, list)))
def test_anything_else_is_one_message(value: Any) -> None:
    messages = split_messages(b" \n" + json.dumps(value).encode() + b"\r\n ")
    assert [json.loads(message) for message in messages] == [value]
    assert messages[0] == messages[0].strip()


def test_one_level_only_is_taken_apart() -> None:
    assert split_messages(b"[[1,2],[3]]") == [b"[1,2]", b"[3]"]
    assert split_messages(b"[[[1]]]") == [b"[[1]]"]
    assert split_messages(b"[]") == []


def test_numbers_keep_their_digits() -> None:
    assert split_messages(b"[1.10,12345678901234567890123,1e400]") == [b"1.10", b"12345678901234567890123", b"1e400"]


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b"nope", b"[1,]", b"{} {}", b"NaN", b"[NaN]", b"01", b"\xff", b'["\xff"]', b"'x'", b'["a\nb"]',
     b"[" * 200_000],
)  # fmt: skip
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        split_messages(body)
    assert caught.value.field == "body"


@given(st.binary(max_size=30))
def test_any_bytes_are_messages_or_a_usage_error(body: bytes) -> None:
    try:
        messages = split_messages(body)
    except UsageError:
        return
    json.loads(join_messages(messages))
