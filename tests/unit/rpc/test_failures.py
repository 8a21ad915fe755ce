"""Errors that end a stream come back as they were; anything else is a cut, not an end."""

from __future__ import annotations

import pytest

from holdfast.errors import (
    ChannelNotFound,
    CorruptionError,
    DisconnectedError,
    Gone,
    HoldfastError,
    InternalError,
    LimitExceeded,
    NotFound,
    StorageError,
    SubscriberTooSlow,
)
from holdfast.rpc.failures import decode_error, decode_failure, encode_error, encode_failure

ERRORS = [
    SubscriberTooSlow("slow", 41, 1000),
    ChannelNotFound("removed: why", name="p/c"),
    Gone(oldest=7),
    StorageError("x"),
    NotFound(kind="record", name="x"),
    LimitExceeded(name="n", limit=1, value=2),
    CorruptionError("w"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_it_was(error: HoldfastError) -> None:
    for got in (decode_failure(encode_failure(error)), decode_error(encode_error(error))):
        assert (type(got), got.message, got.details()) == (type(error), error.message, error.details())


@pytest.mark.parametrize("text", ["the node is going away", "", "{", "[]", "1", "{}", '{"x": 1}', "[" * 100_000])
def test_any_other_text_is_a_cut_to_go_on_after(text: str) -> None:
    got = decode_failure(text, 12)
    assert isinstance(got, DisconnectedError)
    assert got.resume_offset == 12
    assert isinstance(decode_error(text.encode()), InternalError)


def test_bytes_that_are_no_text() -> None:
    assert isinstance(decode_error(b"\xff\xff"), InternalError)
