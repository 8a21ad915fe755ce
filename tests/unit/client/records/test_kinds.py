from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.client.records.kinds import (
    cid_of,
    delete_kind,
    lookup_kind,
    pull_kind,
    push_kind,
    record_body,
    ref_body,
)
from holdfast.errors import CorruptionError, LimitExceeded, NotFound, ProtocolError, UsageError
from holdfast.limits import LIMITS
from holdfast.records.canonical import canonical_json
from holdfast.records.cid import record_cid
from holdfast.records.model import LookupResult, PullResult, PushResult, RecordMeta, RecordRef
from holdfast.records.wire import EXISTED, OK

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [{"a": "é"}, MappingProxyType({"a": "é"}), '{"a": "é"}', '{"a": "é"}'.encode(), bytearray('{"a": "é"}'.encode())],
)
def test_a_record_is_a_mapping_or_text(record: Any) -> None:
    assert json.loads(record_body(record)) == {"a": "é"}


@pytest.mark.parametrize(
    "record", [5, None, ["a"], {"a": {1, 2}}, {"a": float("nan")}, {"a": float("inf")}, "\ud800", {"a": "\ud800"}]
)
def test_what_json_does_not_have_is_refused(record: Any) -> None:
    with pytest.raises(UsageError, match="record"):
        record_body(record)


def test_circles_and_depths_are_refused() -> None:
    circle: dict[str, Any] = {}
    circle["a"] = circle
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    for record in (circle, deep):
        with pytest.raises(UsageError):
            record_body(record)


def test_what_is_too_large_is_not_sent() -> None:
    limit = LIMITS.record_item_bytes_max
    assert len(record_body(b"x" * limit)) == limit
    with pytest.raises(LimitExceeded, match="record_item_bytes_max"):
        record_body(b"x" * (limit + 1))


def test_whatever_has_a_cid_is_a_reference() -> None:
    assert ref_body("abc") == ref_body(RecordRef(cid="abc")) == ref_body(RecordMeta(cid="abc")) == b"abc"
    assert cid_of(RecordRef(cid="abc")) == "abc"
    for wrong in (5, None, b"abc", "\ud800"):
        with pytest.raises(UsageError, match="cid"):
            ref_body(wrong)


def test_a_push_gives_the_name_and_whether_it_was_there() -> None:
    kind = push_kind()
    assert kind.result(3, OK, b"abc", b"") == PushResult(3, RecordRef(cid="abc"))
    assert kind.result(3, EXISTED, b"abc", b"").existed


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), VALUES, max_size=4))
def test_both_readers_give_what_was_pushed(record: Mapping[str, Any]) -> None:
    text = canonical_json(dict(record))
    cid = record_cid(text).encode()
    found = [pull_kind(loads).result(0, OK, text, cid) for loads in (json.loads, msgspec.json.decode)]
    assert found[0] == found[1]
    assert found[0].record == json.loads(text)


def test_a_record_that_is_not_what_was_asked_for_is_corrupt() -> None:
    text = canonical_json({"a": 1})
    with pytest.raises(CorruptionError):
        pull_kind().result(0, OK, text + b" ", record_cid(text).encode())
    assert pull_kind().result(0, OK, text, record_cid(text).encode()) == PullResult(0, {"a": 1})
    with pytest.raises(ProtocolError):
        pull_kind().result(0, OK, b"[]", record_cid(b"[]").encode())
    with pytest.raises(ProtocolError):
        pull_kind().result(0, OK, b"{", record_cid(b"{").encode())


def test_both_readers_of_what_is_known_leave_out_what_is_new() -> None:
    body = b'{"cid": "abc", "size_bytes": 5, "annotations": {"a": "b"}, "colour": "blue"}'
    expected = LookupResult(1, RecordMeta(cid="abc", size_bytes=5, annotations={"a": "b"}))
    assert lookup_kind().result(1, OK, body, b"") == expected
    assert lookup_kind(msgspec.json.Decoder(RecordMeta).decode).result(1, OK, body, b"") == expected
    for wrong in (b"{}", b"[", b"5"):
        for kind in (lookup_kind(), lookup_kind(msgspec.json.Decoder(RecordMeta).decode)):
            with pytest.raises(ProtocolError):
                kind.result(1, OK, wrong, b"")


def test_only_a_repeated_delete_takes_not_found_for_done() -> None:
    assert delete_kind().settle(NotFound())
    assert not delete_kind().settle(UsageError())
    assert not any(kind.settle(NotFound()) for kind in (push_kind(), pull_kind(), lookup_kind()))
