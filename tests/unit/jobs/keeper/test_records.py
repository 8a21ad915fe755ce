"""What a keeper writes down is read back by the node, and a torn or missing file is nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from holdfast.jobs.keeper.records import (
    BirthReceipt,
    ExitRecord,
    FinalState,
    birth_receipt,
    read_birth,
    read_final,
    write_birth,
    write_final,
)

RECEIPT = BirthReceipt(keeper_pid=10, keeper_started=1.25, pid=11, pid_started=1.5, started_at=1_700_000_000.5)
FINAL = FinalState(job="j", exit=ExitRecord(3, None, 5.0, "exited").to_wire(), head=7, total=9, complete=True)


def test_a_birth_is_read_back(tmp_path: Path) -> None:
    assert read_birth(str(tmp_path)) is None
    write_birth(str(tmp_path), "j", RECEIPT)
    assert read_birth(str(tmp_path)) == RECEIPT
    assert os.listdir(tmp_path) == ["keeper.json"]


def test_a_final_state_is_read_back(tmp_path: Path) -> None:
    assert read_final(str(tmp_path)) is None
    write_final(str(tmp_path), FINAL)
    assert read_final(str(tmp_path)) == FINAL
    assert os.listdir(tmp_path) == ["final.json"]


def test_a_final_state_that_was_destroyed_is_none(tmp_path: Path) -> None:
    write_final(str(tmp_path), FINAL)
    path = tmp_path / "final.json"
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert read_final(str(tmp_path)) is None
    for other in (bytes(len(whole)), b"\xff", b"[]", b"7", b'"text"', b"null", b"{}"):
        path.write_bytes(other)
        assert read_final(str(tmp_path)) is None


def test_files_are_private(tmp_path: Path) -> None:
    write_birth(str(tmp_path), "j", RECEIPT)
    write_final(str(tmp_path), FINAL)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_newer_keepers_extra_fields_do_not_matter(tmp_path: Path) -> None:
    write_birth(str(tmp_path), "j", RECEIPT)
    path = tmp_path / "keeper.json"
    path.write_text(path.read_text().replace("{", '{"mood":"good",', 1))
    assert read_birth(str(tmp_path)) == RECEIPT


def test_the_receipt_says_who_is_who() -> None:
    receipt = birth_receipt(os.getppid(), 5.0)
    assert (receipt.keeper_pid, receipt.pid, receipt.started_at) == (os.getpid(), os.getppid(), 5.0)
    assert receipt.keeper_started >= receipt.pid_started


def test_the_wire_form_of_an_exit() -> None:
    assert ExitRecord(None, 9, 5.0, "terminated", 0.5, 0.25, 1024).to_wire() == {
        "exit_code": None,
        "exit_signal": 9,
        "ended_at": 5.0,
        "reason": "terminated",
        "usage": {"user_s": 0.5, "system_s": 0.25, "rss_bytes_max": 1024},
    }
