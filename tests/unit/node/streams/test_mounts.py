"""Callers of the stream commands, and what a path means to the policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.clock import VirtualClock
from holdfast.errors import NotFound, PermissionDenied
from holdfast.limits import LIMITS
from holdfast.node.rpc.permits import PERMITS, meant
from holdfast.node.streams.mounts import PathCaller
from holdfast.security.audit import AuditLog
from holdfast.security.identity import Identity, owner

READER = frozenset({"streams:read"})


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditLog]:
    log = AuditLog(str(tmp_path), clock=VirtualClock(), limits=LIMITS)
    log.open()
    yield log
    log.close()


@pytest.mark.parametrize(
    ("identity", "seen", "error"),
    [
        (owner(0), True, None),
        (Identity("a", READER), True, None),
        (Identity("a", frozenset({"streams:write"})), True, PermissionDenied),
        (Identity("a", READER, job="j"), False, NotFound),
        (Identity("a", READER, channel="p/c"), False, NotFound),
    ],
)
def test_reach(audit: AuditLog, tmp_path: Path, identity: Identity, seen: bool, error: type[Exception] | None) -> None:
    caller = PathCaller(identity, audit, "peer:1")
    assert caller.sees("s") == seen
    if error is None:
        caller.check_read("s")
    else:
        with pytest.raises(error):
            caller.check_read("s")
    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    noted = [(line["action"], line["resource"], line["peer"]) for line in lines]
    assert noted == ([] if error is None else [("streams.read", "s", "peer:1")])


@pytest.mark.parametrize(
    ("command", "path", "action", "resource"),
    [
        ("streams.read", "a/b", "streams.read", "a/b"),
        ("streams.info", "jobs/train/output", "jobs.read", "train"),
        ("streams.read", "jobs", "jobs.read", ""),
        ("streams.read", "channels/p/c", "channels.read", "p/c"),
        ("streams.read", "__ds/x", "streams.read", "__ds/x"),
        ("streams.append", "jobs/train/output", "streams.write", "jobs/train/output"),
        ("channels.read", "jobs/c", "channels.read", "jobs/c"),
    ],
)
def test_what_a_path_means(command: str, path: str, action: str, resource: str) -> None:
    permit, named = meant(PERMITS[command], path)
    assert (permit.action, named) == (action, resource)
