"""Messages as lines; the readers themselves are seen over real connections."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.durable.messages import split_messages
from holdfast.durable.readers import lines_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES), st.sampled_from([None, 2]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_each_message_is_one_line_and_means_the_same(values: list[object], indent: int | None, end: str) -> None:
    body = json.dumps(values, indent=indent, ensure_ascii=False).replace("\n", end)
    lines = lines_of(split_messages(body.encode())).split(b"\n")
    assert lines.pop() == b""
    assert [msgspec.json.decode(line) for line in lines] == msgspec.json.decode(json.dumps(values))
    assert not any(b"\r" in line for line in lines)
