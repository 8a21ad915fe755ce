"""Errors as the text that ends a reader's stream."""

from __future__ import annotations

import pytest

from holdfast.durable.failures import decode_failure, encode_failure
from holdfast.errors import DisconnectedError, Gone, NotFound


def test_there_and_back() -> None:
    gone = decode_failure(encode_failure(Gone(oldest=7)), 0)
    assert isinstance(gone, Gone) and gone.oldest == 7
    assert str(decode_failure(encode_failure(NotFound(kind="stream", name="s")), 0)) == "no stream 's'"


@pytest.mark.parametrize("text", ["", "going", "[]", "3", '{"message": "x"}', "{"])
def test_what_is_no_error_is_a_cut(text: str) -> None:
    cut = decode_failure(text, 12)
    assert isinstance(cut, DisconnectedError) and cut.resume_offset == 12
