"""Errors that end a stream come back as they were; anything else is a cut, not an end."""

from __future__ import annotations

import pytest

from holdfast.channels.failures import decode_failure, encode_failure
from holdfast.errors import ChannelNotFound, DisconnectedError, Gone, HoldfastError, StorageError, SubscriberTooSlow


@pytest.mark.parametrize(
    "error",
    [
        SubscriberTooSlow("slow", 41, 1000),
        ChannelNotFound("removed: why", name="p/c"),
        Gone(oldest=7),
        StorageError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_as_it_was(error: HoldfastError) -> None:
    got = decode_failure(encode_failure(error), 0)
    assert (type(got), got.message, got.details()) == (type(error), error.message, error.details())


@pytest.mark.parametrize("text", ["the node is going away", "", "{", "[]", "1", "{}"])
def test_any_other_text_is_a_cut_to_go_on_after(text: str) -> None:
    got = decode_failure(text, 12)
    assert isinstance(got, DisconnectedError)
    assert got.resume_offset == 12
