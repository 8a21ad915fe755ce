"""The audit log: one line a denial, the owner's alone, bounded."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import VirtualClock
from holdfast.errors import StorageError
from holdfast.limits import LIMITS, Limits
from holdfast.security.audit import AuditLog
from holdfast.security.identity import Identity, owner

Lines = Callable[[], list[dict[str, Any]]]

SMALL = LIMITS._replace(audit_bytes_max=1000, audit_denials_per_s_max=3)


@pytest.fixture
def make_audit(state_dir: Path, clock: VirtualClock) -> Iterator[Callable[[Limits], AuditLog]]:
    made: list[AuditLog] = []

    def make(limits: Limits = LIMITS) -> AuditLog:
        made.append(AuditLog(str(state_dir), clock=clock, limits=limits))
        made[-1].open()
        return made[-1]

    yield make
    for audit in made:
        audit.close()


def test_who_what_why(make_audit: Callable[[], AuditLog], audit_lines: Lines, alice: Identity) -> None:
    audit = make_audit()
    audit.denied(alice, "jobs.start", "", "lacks the scope", "127.0.0.1:7")
    audit.denied(None, "connect", "", "no token", "127.0.0.1:8")
    audit.minted(owner(7), alice)
    audit.revoked(owner(7), "t")
    denied, stranger, minted, revoked = audit_lines()
    assert denied == {
        "time": 1_700_000_000.0,
        "event": "denied",
        "action": "jobs.start",
        "reason": "lacks the scope",
        "peer": "127.0.0.1:7",
        "by": "alice",
        "by_token": "t",
    }
    assert (stranger["by"], stranger["peer"]) == ("", "127.0.0.1:8")
    assert (minted["by"], minted["token"], minted["scope"], minted["expires_at"]) == (
        "local:7",
        "t",
        "jobs:read",
        1_700_003_600.0,
    )
    assert (revoked["event"], revoked["token"]) == ("token.revoked", "t")


def test_it_is_the_owners_alone_even_if_it_was_not(
    make_audit: Callable[[], AuditLog], state_dir: Path, audit_lines: Lines
) -> None:
    path = state_dir / "audit.log"
    path.write_text("")
    path.chmod(0o644)
    make_audit()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_is_appended_to(make_audit: Callable[[], AuditLog], audit_lines: Lines, alice: Identity) -> None:
    for _ in range(2):
        audit = make_audit()
        audit.revoked(alice, "t")
        audit.close()
    assert len(audit_lines()) == 2


def test_what_a_stranger_chose_is_one_line_and_short(
    make_audit: Callable[[], AuditLog], audit_lines: Lines, alice: Identity
) -> None:
    make_audit().denied(alice, "jobs.read", 'x\n{"event": "token.minted"}\n' + "y" * 10_000, "no")
    (line,) = audit_lines()
    assert line["event"] == "denied"
    assert len(line["resource"]) == 200


def test_a_full_one_is_put_aside(
    make_audit: Callable[[Limits], AuditLog], state_dir: Path, audit_lines: Lines, alice: Identity
) -> None:
    audit = make_audit(SMALL)
    for number in range(50):
        audit.revoked(alice, str(number))
    kept = (state_dir / "audit.log.1").read_text().splitlines()
    assert sorted(name for name in os.listdir(state_dir)) == ["audit.log", "audit.log.1"]
    assert all((state_dir / name).stat().st_size <= 1000 for name in os.listdir(state_dir))
    assert all(stat.S_IMODE((state_dir / name).stat().st_mode) == 0o600 for name in os.listdir(state_dir))
    assert audit_lines()[-1]["token"] == "49"
    assert len(kept) > 1


def test_a_flood_is_counted(
    make_audit: Callable[[Limits], AuditLog], audit_lines: Lines, clock: VirtualClock, alice: Identity
) -> None:
    audit = make_audit(SMALL)
    for _ in range(10):
        audit.denied(alice, "a", "", "no")
    clock.advance(1)
    audit.denied(alice, "b", "", "no")
    lines = audit_lines()
    assert [line["action"] for line in lines] == ["a", "a", "a", "b"]
    assert lines[-1]["left_out"] == "7"


def test_a_place_that_cannot_be_written(state_dir: Path, clock: VirtualClock) -> None:
    (state_dir / "audit.log").mkdir()
    with pytest.raises(StorageError, match=r"audit\.log"):
        AuditLog(str(state_dir), clock=clock, limits=LIMITS).open()


def test_a_link_is_not_followed(state_dir: Path, clock: VirtualClock) -> None:
    (state_dir / "audit.log").symlink_to(state_dir / "elsewhere")
    with pytest.raises(StorageError):
        AuditLog(str(state_dir), clock=clock, limits=LIMITS).open()
    assert not (state_dir / "elsewhere").exists()


def test_a_full_disk_does_not_get_in_the_way(make_audit: Callable[[], AuditLog], alice: Identity) -> None:
    audit = make_audit()
    audit.close()  # writes fail from here on
    audit.denied(alice, "a", "", "no")
