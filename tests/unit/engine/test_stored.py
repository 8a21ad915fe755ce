"""Values read back: as they were, or a CorruptionError that says where and what."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.stored import Stored
from holdfast.errors import CorruptionError


class Berth(msgspec.Struct):
    ship: str
    depth: int = 0


BERTHS = Stored(Berth, "a berth")


def test_what_was_stored_is_read() -> None:
    assert BERTHS.read(b'{"ship":"Ann","depth":7}', "berths/1") == Berth("Ann", 7)


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b'{"ship":', b'{"ship":7}', b'{"ship":"\xff"}', b'{"depth":1}', bytes(9), b'{"x":' + b"[" * 20_000],
)
def test_anything_else_is_corruption_that_says_where(data: bytes) -> None:
    with pytest.raises(CorruptionError, match=r"berths/1: expected a berth, got .") as caught:
        BERTHS.read(data, "berths/1")
    assert (caught.value.where, caught.value.expected) == ("berths/1", "a berth")


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        BERTHS.read(data, "berths/1")
    except CorruptionError:
        pass
