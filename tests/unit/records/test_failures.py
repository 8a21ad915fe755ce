from __future__ import annotations

import pytest

from holdfast.errors import CorruptionError, DisconnectedError, InternalError, LimitExceeded, NotFound
from holdfast.records.failures import decode_error, decode_failure, encode_error, encode_failure


def test_there_and_back() -> None:
    for error in (NotFound(kind="record", name="x"), LimitExceeded(name="n", limit=1, value=2), CorruptionError("w")):
        for found in (decode_failure(encode_failure(error)), decode_error(encode_error(error))):
            assert type(found) is type(error)
            assert found.details() == error.details()


@pytest.mark.parametrize("text", ["", "gone", "{}", "[]", "1", '{"x":1}', "[" * 100_000])
def test_anything_else_is_a_cut_and_not_an_end(text: str) -> None:
    assert isinstance(decode_failure(text), DisconnectedError)
    assert isinstance(decode_error(text.encode()), InternalError)


def test_bytes_that_are_no_text() -> None:
    assert isinstance(decode_error(b"\xff\xff"), InternalError)
