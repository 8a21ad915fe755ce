"""Entries as JSON messages and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.channels.packing import Extras, encode_draft, encode_run
from holdfast.channels.unpacking import Entry, iter_entries
from holdfast.errors import UsageError
from holdfast.node.streams.messages import draft_of, message_of


def entry_of(draft: bytes) -> Entry:
    return next(iter_entries(encode_run(1, b"ann", 1.5, draft, 1)))


@given(st.binary(), st.sampled_from(["", "text/plain", "application/json", "application/json; charset=utf-8"]))
def test_whatever_is_shown_is_json_and_can_be_sent_again(payload: bytes, content_type: str) -> None:
    shown = json.loads(message_of(entry_of(encode_draft(payload, extras=Extras(content_type)))))
    assert shown["content_type"] == content_type
    if not content_type.startswith("application/json"):
        again = {name: shown[name] for name in ("payload", "content_type", "headers", "control", "type")}
        assert entry_of(draft_of(json.dumps(again).encode(), 0)).payload == payload


@given(st.recursive(st.none() | st.booleans() | st.integers(0, 1000) | st.text("ab"), st.lists))
def test_json_keeps_its_bytes(value: object) -> None:
    message = json.dumps(value).encode()
    for sent in (message, b'{"payload": %b}' % message):
        entry = entry_of(draft_of(sent, 0))
        assert (entry.payload, entry.content_type) == (message, "application/json")
        assert json.loads(message_of(entry))["payload"] == value


@pytest.mark.parametrize(
    "message",
    [b'{"payload": 1, "sender": "x"}', b'{"type": "end", "sequence": "1"}', b'{"type": "error", "error": {}}'],
)
def test_a_description_that_cannot_be_is_refused_by_its_place(message: bytes) -> None:
    with pytest.raises(UsageError, match=r"body\[2\]"):
        draft_of(message, 2)
