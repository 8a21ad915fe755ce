from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.channels.packing import encode_run
from holdfast.channels.unpacking import Entry, iter_entries
from holdfast.client.channels import drafts
from holdfast.client.channels.drafts import Draft, bytes_of, message
from holdfast.errors import UsageError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def entry_of(draft: Draft, sequence: int = 1, index: int = 1) -> Entry:
    """The draft as the other side gets it."""
    (entry,) = iter_entries(encode_run(index, b"me", 1.0, draft.encode(sequence), 1))
    return entry


@given(st.binary())
def test_bytes_stay_as_they_are(data: bytes) -> None:
    assert bytes_of(data) == bytes_of(bytearray(data)) == bytes_of(memoryview(data)) == (data, "")


@given(st.text())
def test_text_is_utf8(text: str) -> None:
    assert bytes_of(text) == (text.encode(), "")


@given(JSON)
def test_anything_else_is_json_and_says_so(value: object) -> None:
    data, content_type = bytes_of(value)
    assert json.loads(data) == value
    assert content_type == drafts.JSON_TYPE


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), {"a": float("inf")}, {"a": b"bytes"}])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(UsageError) as caught:
        bytes_of(value)
    assert caught.value.field == "payload"


def test_a_message_carries_what_it_was_given() -> None:
    entry = entry_of(message("hi", type="steer", in_reply_to=3, content_type="text/plain", headers={"a": "b"}), 9)
    assert (entry.payload, entry.type, entry.in_reply_to, entry.sequence) == (b"hi", "steer", 3, 9)
    assert (entry.content_type, entry.headers) == ("text/plain", {"a": "b"})
    assert message("hi").extras is message("ho").extras  # plain ones share what they do not have
    with pytest.raises(UsageError, match="headers"):
        message("hi", headers={"a": 1})  # type: ignore[dict-item]


def test_a_failure_has_its_text() -> None:
    entry = entry_of(drafts.failure("it broke"))
    assert (entry.type, entry.error, entry.payload) == ("error", "it broke", b"")


def test_a_question_and_its_answers() -> None:
    question = entry_of(drafts.question("ok?", "default", 5.0, "yes"), sequence=4, index=17)
    assert question.control == {"policy": "default", "expires_s": 5.0, "default": "yes"}
    assert entry_of(drafts.question("ok?", "wait", 0.0, None)).control == {"policy": "wait"}
    by_entry, by_index = entry_of(drafts.answer(question, "no")), entry_of(drafts.answer(17, "no"))
    assert (by_entry.in_reply_to, by_entry.control) == (4, {"of": 17})
    assert (by_index.in_reply_to, by_index.control) == (0, {"of": 17})
    by_reply = entry_of(message("no", type="answer", in_reply_to=4))
    for answer in (by_entry, by_index, by_reply):
        assert drafts.answers(answer, 17, 4)
        assert not drafts.answers(answer, 18, 5)
    assert not drafts.answers(question, 17, 4)


def test_a_receipt_says_what_became_of_which() -> None:
    cancel = entry_of(message(type="cancel"), sequence=2, index=8)
    receipt = entry_of(drafts.receipt(cancel, "applied", "stopped"))
    assert (receipt.type, receipt.in_reply_to, receipt.payload) == ("receipt", 2, b"stopped")
    assert receipt.control == {"of": 8, "state": "applied"}
    for entry in (receipt, entry_of(message(b"x"), index=3)):
        with pytest.raises(UsageError, match="is no control message"):
            drafts.receipt(entry, "applied", "")
