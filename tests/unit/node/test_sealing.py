from __future__ import annotations

from hashlib import sha256

import pytest

from holdfast.jobs.model import JobInfo
from holdfast.limits import LIMITS
from holdfast.node.sealing import SCHEMA, Output, run_record
from holdfast.records.canonical import canonical_json
from holdfast.records.cid import RAW, cid_of_digest
from holdfast.records.prepared import meta_from, meta_of, prepare

INFO = JobInfo(
    id="j1",
    name="train",
    state="done",
    done_reason="exited",
    command=["python", "train.py", "--key=é"],
    exit_code=3,
    started_at=1_700_000_000.25,
    ended_at=1_700_000_100.9999,
)


def test_output_is_named_by_its_bytes_and_its_gaps_are_listed() -> None:
    output = Output(5)
    for data in (b"one", b"", b"two"):
        output.add(data)
    output.skip(11, 100)
    output.add(b"three")
    output.skip(116, 1)
    assert output.cid == cid_of_digest(sha256(b"onetwothree").digest(), RAW)
    assert (output.size_bytes, output.gap_bytes, output.gaps) == (11, 101, [[11, 100], [116, 1]])


def test_more_gaps_than_are_listed_are_counted() -> None:
    output = Output(0)
    for number in range(5_000):
        output.skip(number * 2, 1)
    assert (output.gap_bytes, len(output.gaps)) == (5_000, 1_000)


def test_the_record_of_a_run() -> None:
    output = Output(0)
    output.add(b"x")
    record = run_record(INFO, output, "host")
    assert (record["schema_version"], record["started_at"], record["ended_at"]) == (
        SCHEMA,
        "2023-11-14T22:13:20.250Z",
        "2023-11-14T22:15:00.999Z",
    )
    assert record["output"]["cid"] == output.cid
    prepared = prepare(canonical_json(record), LIMITS)
    meta = meta_from(prepared.cid, meta_of(prepared, 0.0))
    assert (meta.name, meta.created_at, meta.annotations) == (
        "train",
        "2023-11-14T22:15:00.999Z",
        {"holdfast.job": "j1", "holdfast.node": "host", "holdfast.exit": "3"},
    )
    assert canonical_json(run_record(INFO, output, "host")) == prepared.canonical, "made again it is the same"


@pytest.mark.parametrize(
    ("info", "exit"),
    [
        (JobInfo(id="j", name="", state="done", exit_signal=9), "signal 9"),
        (JobInfo(id="j", name="", state="done", done_reason="startup-error"), ""),
        (JobInfo(id="j", name="", state="done", exit_code=0), "0"),
    ],
)
def test_ends_of_all_kinds(info: JobInfo, exit: str) -> None:
    record = run_record(info, Output(0), "host")
    assert (record["name"], record["annotations"]["holdfast.exit"], record["ended_at"]) == ("j", exit, "")
    prepare(canonical_json(record), LIMITS)
