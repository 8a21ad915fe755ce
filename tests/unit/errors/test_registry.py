"""The registry of errors, and errors crossing a wire."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import errors
from holdfast.errors import REGISTRY, ErrorEntry, HoldfastError, entry_of, exit_code_of, from_wire, to_wire

GRPC = {
    "INVALID_ARGUMENT", "INTERNAL", "FAILED_PRECONDITION", "UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED", "NOT_FOUND",
    "ALREADY_EXISTS", "OUT_OF_RANGE", "UNAUTHENTICATED", "PERMISSION_DENIED", "DEADLINE_EXCEEDED", "DATA_LOSS",
}  # fmt: skip
CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, HoldfastError) and value is not HoldfastError
]
every_entry = pytest.mark.parametrize("entry", REGISTRY, ids=lambda entry: entry.cls.__name__)


def test_every_class_is_registered_once() -> None:
    registered = [entry.cls for entry in REGISTRY]
    assert sorted(cls.__name__ for cls in registered) == sorted(cls.__name__ for cls in CLASSES)


@pytest.mark.parametrize("column", ["code", "rpc"])
def test_names_are_unique(column: str) -> None:
    names = [getattr(entry, column) for entry in REGISTRY]
    assert len(set(names)) == len(names)


def test_codes_are_in_order() -> None:
    assert [entry.code for entry in REGISTRY] == sorted(entry.code for entry in REGISTRY)


@every_entry
def test_statuses_exist(entry: ErrorEntry) -> None:
    assert 400 <= HTTPStatus(entry.http) < 600
    assert entry.grpc in GRPC
    assert 0 < entry.exit < 128
    assert entry.retry


def test_a_lost_link_never_exits_zero_and_has_its_own_code() -> None:
    assert exit_code_of(errors.DisconnectedError("cut")) == errors.EXIT_LINK_LOST == 75
    assert [entry.cls.__name__ for entry in REGISTRY if entry.exit == 0] == []


@every_entry
def test_an_error_survives_the_wire(entry: ErrorEntry) -> None:
    sent = entry.cls("why")
    got = from_wire(json.loads(json.dumps(to_wire(sent))))
    assert type(got) is entry.cls
    assert (got.message, got.details()) == (sent.message, sent.details())


@every_entry
@given(data=st.data())
def test_field_values_survive_the_wire(entry: ErrorEntry, data: st.DataObject) -> None:
    values = {name: data.draw(st.integers(0, 2**53) | st.text(max_size=20), label=name) for name in entry.cls.fields}
    got = from_wire(to_wire(entry.cls("why", **values)))
    assert got.details() == values


def test_a_newer_peers_error_becomes_an_internal_error_that_names_it() -> None:
    got = from_wire({"code": "from_the_future", "message": "so it was", "details": {"x": 1}})
    assert isinstance(got, errors.InternalError)
    assert str(got) == "from_the_future: so it was"


def test_unknown_fields_are_ignored_and_missing_ones_keep_their_defaults() -> None:
    got = from_wire({"code": "gone", "message": "", "details": {"newest": 9}})
    assert isinstance(got, errors.Gone)
    assert got.oldest == 0


@pytest.mark.parametrize(
    "body", [{}, {"code": None}, {"code": "gone", "details": None}, {"code": "gone", "details": [1]}]
)
def test_a_malformed_body_still_gives_an_error(body: dict[str, Any]) -> None:
    assert isinstance(from_wire(body), HoldfastError)


def test_an_unregistered_subclass_is_reported_as_its_base() -> None:
    class TooManyTabs(errors.LimitExceeded):
        pass

    assert entry_of(TooManyTabs("no")).rpc == "limit_exceeded"


def test_a_foreign_exception_is_reported_as_internal() -> None:
    assert entry_of(ZeroDivisionError()).rpc == "internal"
    assert exit_code_of(KeyError("x")) == errors.EXIT_OUR_ERROR
