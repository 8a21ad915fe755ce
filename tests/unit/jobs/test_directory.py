"""Finding jobs by what people type."""

from __future__ import annotations

import pytest

from holdfast.errors import NotFound, UsageError
from holdfast.jobs.directory import JobDirectory
from holdfast.jobs.job import Job
from holdfast.jobs.model import JobInfo
from holdfast.jobs.record import JobRecord


def make(job_id: str, name: str = "") -> Job:
    return Job(JobRecord(info=JobInfo(id=job_id, name=name, state="running"), secret="00" * 32))


def directory(*jobs: Job) -> JobDirectory:
    made = JobDirectory()
    for job in jobs:
        made.add(job)
    return made


def test_a_name_comes_before_an_id_and_a_prefix() -> None:
    named = make("aaaaaaaaaaaa", "bbbb")
    other = make("bbbbbbbbbbbb")
    jobs = directory(named, other)
    assert jobs.find("bbbb") is named
    assert jobs.find("bbbbb") is other
    assert jobs.find("aaaaaaaaaaaa") is named


def test_an_unknown_job_is_not_found_and_so_is_an_empty_name() -> None:
    for text in ("nosuch", ""):
        with pytest.raises(NotFound) as caught:
            directory(make("aaaaaaaaaaaa")).find(text)
        assert caught.value.kind == "job"


def test_an_ambiguous_prefix_names_the_candidates() -> None:
    with pytest.raises(UsageError, match="abaaaaaaaaaa, abbbbbbbbbbb") as caught:
        directory(make("abaaaaaaaaaa"), make("abbbbbbbbbbb")).find("ab")
    assert caught.value.field == "job"


def test_a_removed_job_frees_its_name() -> None:
    job = make("aaaaaaaaaaaa", "x")
    jobs = directory(job)
    assert jobs.holder_of("x") is job
    jobs.remove(job)
    assert jobs.holder_of("x") is None
    assert len(jobs) == 0
    assert list(jobs) == []
