from __future__ import annotations

from typing import Any

import pytest

from holdfast.client.records.kinds import push_kind
from holdfast.client.records.options import is_one, make_core, only_result
from holdfast.errors import NotFound, UsageError
from holdfast.limits import LIMITS
from holdfast.records.model import DeleteResult, RecordRef


@pytest.mark.parametrize(
    ("options", "field"),
    [({"concurrency": 0}, "concurrency"), ({"deadline_s": 0}, "deadline_s"), ({"order": True}, "order")],
)
def test_options_that_make_no_sense_are_named(options: Any, field: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_core(push_kind(), options, 0.0)
    assert caught.value.field == field


def test_without_options_the_limits_hold() -> None:
    assert make_core(push_kind(), {}, 0.0).room == LIMITS.record_concurrency_items
    assert make_core(push_kind(), {"concurrency": 3, "retry": True}, 0.0).room == 3


@pytest.mark.parametrize(
    ("inputs", "one"),
    [("abc", True), (b"{}", True), ({"a": 1}, True), (RecordRef(cid="a"), True), (["a"], False), (("a",), False)],
)
def test_one_and_several_are_told_apart(inputs: object, one: bool) -> None:
    assert is_one(inputs) is one


def test_the_error_of_a_single_item_is_raised() -> None:
    assert only_result([DeleteResult(0)]) == DeleteResult(0)
    with pytest.raises(NotFound):
        only_result([DeleteResult(0, NotFound())])
