from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast.errors import CorruptionError, LimitExceeded, UsageError
from holdfast.limits import LIMITS
from holdfast.records import prepared as module
from holdfast.records.cid import record_cid
from holdfast.records.model import RecordMeta
from holdfast.records.prepared import (
    BOTH_KIND,
    REFERRER_KIND,
    Prepared,
    as_both,
    as_record,
    bare_meta,
    is_both,
    is_record,
    meta_from,
    meta_json,
    meta_of,
    prepare,
    previous_of,
    touched,
    touched_at,
)


def prepared(record: Any) -> Prepared:
    return prepare(json.dumps(record).encode(), LIMITS)


def test_a_record_and_what_is_known_of_it() -> None:
    made = prepared(
        {
            "name": "a/b",
            "version": "v1",
            "schema_version": "0.7.0",
            "created_at": "2025-01-01T00:00:00Z",
            "previous_record_cid": "bx",
            "annotations": {"team": "\u00e9", "odd": 1, "none": None},
        }
    )
    assert made.cid == record_cid(made.canonical)
    meta = meta_of(made, 12.3456)
    assert meta_from(made.cid, meta) == RecordMeta(
        cid=made.cid,
        annotations={"team": "\u00e9"},
        schema_version="0.7.0",
        created_at="2025-01-01T00:00:00Z",
        size_bytes=len(made.canonical),
        name="a/b",
        version="v1",
        previous_record_cid="bx",
        pushed_at=12.346,
    )
    assert json.loads(meta_json(made.cid, meta))["cid"] == made.cid


@pytest.mark.parametrize("odd", [1, None, [], {}, True, ""])
def test_what_is_no_text_is_left_to_who_reads_the_record(odd: Any) -> None:
    made = prepared({"name": odd, "version": odd, "created_at": odd, "annotations": odd or 5})
    assert meta_from(made.cid, meta_of(made, 1.0)) == RecordMeta(
        cid=made.cid, size_bytes=len(made.canonical), pushed_at=1.0
    )


def test_limits_are_of_the_canonical_form() -> None:
    limits = LIMITS._replace(record_bytes_max=100, record_meta_bytes_max=60)
    assert prepare(b'{"a":    "' + b"x" * 92 + b'"       }', limits).canonical
    with pytest.raises(LimitExceeded) as caught:
        prepare(b'{"a":"' + b"x" * 93 + b'"}', limits)
    assert (caught.value.name, caught.value.limit, caught.value.value) == ("record_bytes_max", 100, 101)
    with pytest.raises(LimitExceeded) as caught:
        prepare(b'{"annotations":{"key":"' + b"x" * 50 + b'"}}', limits)
    assert (caught.value.name, caught.value.limit) == ("record_meta_bytes_max", 60)
    with pytest.raises(UsageError):
        prepare(b"[]", limits)


def test_the_moment_it_was_pushed_changes_alone() -> None:
    made = prepared({"name": "x"})
    meta = meta_of(made, 5.0)
    again = touched(meta, 9.0)
    assert (touched_at(meta), touched_at(again)) == (5.0, 9.0)
    assert meta_from(made.cid, again) == meta_from(made.cid, meta)


def test_kinds() -> None:
    record, referrer = meta_of(prepared({}), 1.0), bare_meta(REFERRER_KIND, 2.0)
    assert (is_record(record), is_both(record)) == (True, False)
    assert (is_record(referrer), is_both(referrer)) == (False, False)
    both = as_both(record)
    assert both[:1] == BOTH_KIND
    assert (is_record(both), is_both(both)) == (True, True)
    assert as_record(both) == record


def test_previous_ones_that_are_no_cids_are_none() -> None:
    cid = record_cid(b"{}")
    assert previous_of(cid)
    assert previous_of("") == previous_of("latest") == previous_of(cid[:-1]) == b""


def test_damaged_metadata_is_named() -> None:
    with pytest.raises(CorruptionError, match="bx: expected the metadata of a record"):
        meta_from("bx", bare_meta(b"R", 1.0) + b"{")
    assert module.RECORD_KIND == b"R"
