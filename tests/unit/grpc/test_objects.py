"""Objects go through a Struct and come back."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import LimitExceeded, UsageError
from holdfast.grpc import wire
from holdfast.grpc.objects import fill_struct, object_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def struct_of(content: dict[str, Any]) -> Any:
    struct = wire.Struct()
    fill_struct(struct, content)
    return wire.Struct.FromString(struct.SerializeToString())


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_what_goes_in_comes_out(content: dict[str, Any]) -> None:
    assert object_of(struct_of(content)) == content


def test_integers_become_doubles_and_minus_zero_stays() -> None:
    found = object_of(struct_of({"n": 2**53, "z": -0.0}))
    assert found["n"] == 2.0**53
    assert math.copysign(1.0, found["z"]) == -1.0


def test_empty_objects_and_lists_are_not_lost() -> None:
    assert object_of(struct_of({"o": {}, "l": [], "n": None})) == {"o": {}, "l": [], "n": None}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_not_is_refused(number: float) -> None:
    with pytest.raises(UsageError, match="no number in JSON"):
        object_of(struct_of({"n": number}))


def nested(levels: int, *, lists: bool) -> dict[str, Any]:
    deep: Any = 1
    for _ in range(levels):
        deep = {"d": [deep] if lists else deep}
    return {"d": deep}


@pytest.mark.parametrize("lists", [False, True])
def test_what_can_be_written_can_be_read_however_deep(lists: bool) -> None:
    written = 0
    with pytest.raises(LimitExceeded, match="too deep"):
        for levels in range(60):
            record = wire.Record()
            record.data.SetInParent()
            fill_struct(record.data, nested(levels, lists=lists))
            assert object_of(wire.Record.FromString(record.SerializeToString()).data) == nested(levels, lists=lists)
            written = levels
    assert written >= (18 if lists else 31)
