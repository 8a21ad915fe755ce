"""Jobs whose output cannot be stored, or whose keeper does not answer: told, stopped, and gone when they shall be."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest

import holdfast
from holdfast.procinfo import process_alive
from holdfast.testing import NodeBox, wait_until

FULL = "no room left"
TOO_MUCH = 1_000_000


@pytest.fixture
def full_box(box: NodeBox) -> NodeBox:
    """A node with room for 3 MB and a job ``full`` that has printed more, as its output tells, and runs on."""
    box.env["HOLDFAST_LIMIT_STATE_BYTES_MAX"] = "3000000"
    box.start_node()
    script = f"seq 1 {TOO_MUCH}; trap 'exit 3' TERM; echo ready >&2; while :; do sleep 0.05; done"
    box.run("run", "-d", "-T", "--name", "full", "--", "sh", "-c", script)
    wait_until(lambda: FULL in box.inspect("full")["trouble"], "the store is full")
    return box


def processes(info: dict[str, Any]) -> list[bool]:
    """Whether the keeper, and whether the command, lives."""
    return [
        process_alive(info["keeper_pid"], info["keeper_started"]),
        process_alive(info["pid"], info["pid_started"]),
    ]


def test_a_full_store_is_named_and_the_job_can_be_used(full_box: NodeBox) -> None:
    info = full_box.inspect("full")
    assert (info["state"], info["link"]) == ("running", "connected")
    listed = full_box.run("ps")
    assert b"running" in listed.stdout
    assert b"full: " in listed.stderr
    assert FULL.encode() in listed.stderr
    full_box.run("send", "full", "hello")
    full_box.run("kill", "-s", "USR2", "full")
    wait_until(lambda: full_box.inspect("full")["exit_signal"] == signal.SIGUSR2, "the end is known")


def test_who_watches_a_job_whose_output_cannot_be_stored_is_told(full_box: NodeBox) -> None:
    viewer = full_box.spawn(
        "attach", "full", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert viewer.stderr is not None
    assert FULL.encode() in viewer.stderr.readline()
    full_box.run("rm", "-f", "full")
    assert viewer.wait() == 3
    assert viewer.stderr.read() == b"holdfast: job full was removed\n"


def test_stop_returns_though_nothing_can_be_stored_and_room_completes_the_output(full_box: NodeBox) -> None:
    done = full_box.run("stop", "full")
    assert done.stdout == b"full\n"
    assert b"has ended (exited 3)" in done.stderr
    assert b"wait to be stored" in done.stderr
    info = full_box.inspect("full")
    assert (info["state"], info["exit_code"], info["done_reason"]) == ("draining", 3, "terminated")
    assert info["pending_bytes"] > 0
    assert info["ended_at"] > info["started_at"]
    assert b"--force" in full_box.run("rm", "full", code=4).stderr
    full_box.kill_node()
    del full_box.env["HOLDFAST_LIMIT_STATE_BYTES_MAX"]
    full_box.start_node()
    full_box.run("wait", "full", code=3)
    info = full_box.inspect("full")
    assert (info["state"], info["trouble"], info["pending_bytes"], info["gap_bytes"]) == ("done", "", 0, 0)
    wanted = b"".join(b"%d\n" % number for number in range(1, TOO_MUCH + 1))
    assert full_box.run("logs", "full").stdout == wanted


def test_room_made_by_removing_another_job_is_used(box: NodeBox) -> None:
    box.env["HOLDFAST_LIMIT_STATE_BYTES_MAX"] = "3000000"
    box.start_node()
    box.run("run", "-T", "--name", "old", "--", "seq", "1", "200000")
    box.run("run", "-d", "-T", "--name", "new", "--", "seq", "1", "300000")
    wait_until(lambda: FULL in box.inspect("new")["trouble"], "the store is full")
    box.run("rm", "old")
    box.run("wait", "new")
    assert box.run("logs", "-n", "1", "new").stdout == b"300000\n"


@pytest.mark.parametrize("stop_first", [False, True])
def test_rm_force_forgets_a_job_whose_output_cannot_be_stored(full_box: NodeBox, *, stop_first: bool) -> None:
    info = full_box.inspect("full")
    if stop_first:
        full_box.run("stop", "full")
    full_box.run("rm", "-f", "full")
    assert full_box.run("ps", "-q").stdout == b""
    assert processes(info) == [False, False]
    assert list((full_box.runtime_dir / "jobs").iterdir()) == []
    assert list((full_box.state_dir / "spill").iterdir()) == []
    assert full_box.run("run", "--", "echo", "room again").stdout == b"room again\n"


def test_a_keeper_that_dies_with_the_store_full_is_no_obstacle(full_box: NodeBox) -> None:
    info = full_box.inspect("full")
    os.kill(info["keeper_pid"], signal.SIGKILL)
    wait_until(lambda: full_box.inspect("full")["done_reason"] == "gone", "the node noticed")
    found = full_box.inspect("full")
    assert found["state"] == "draining"
    assert FULL in found["trouble"]
    full_box.run("stop", "full")
    full_box.run("rm", "-f", "full")
    assert processes(info) == [False, False]


@pytest.fixture
def frozen_box(box: NodeBox) -> NodeBox:
    """A node that waits a second for keepers, and a job ``ice`` whose keeper is stopped."""
    box.env["HOLDFAST_LIMIT_KEEPER_ANSWER_S"] = "1"
    box.start_node()
    box.run("run", "-d", "-T", "--name", "ice", "--", "sleep", "1000")
    os.kill(box.inspect("ice")["keeper_pid"], signal.SIGSTOP)
    return box


def test_what_a_frozen_keeper_does_not_answer_is_bounded_and_says_so(frozen_box: NodeBox) -> None:
    info = frozen_box.inspect("ice")
    try:
        told = frozen_box.run("stop", "ice", code=124).stderr
        assert b"process %d, does not answer" % info["keeper_pid"] in told
        assert b"does not answer" in frozen_box.run("kill", "-s", "HUP", "ice", code=124).stderr
        assert b"does not answer" in frozen_box.run("send", "ice", "hello", code=124).stderr
        assert frozen_box.inspect("ice")["stop_requested"]
    finally:
        os.kill(info["keeper_pid"], signal.SIGCONT)
    frozen_box.run("wait", "ice", code=143)


def test_rm_force_kills_a_frozen_keeper_and_its_command(frozen_box: NodeBox) -> None:
    info = frozen_box.inspect("ice")
    frozen_box.run("rm", "-f", "ice")
    assert processes(info) == [False, False]
    assert frozen_box.run("ps", "-q").stdout == b""


def test_who_waits_for_a_job_that_is_removed_hears_of_it(node_box: NodeBox) -> None:
    node_box.run("run", "-d", "-T", "--name", "x", "--", "sleep", "1000")
    waiting = node_box.spawn("wait", "x", stderr=subprocess.PIPE)
    following = node_box.spawn("logs", "-f", "x", stderr=subprocess.PIPE)
    wait_until(lambda: node_box.inspect("x")["viewers"] == 1, "somebody watches")
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        node.jobs.get("x").remove(force=True)
    assert waiting.stderr is not None
    assert following.stderr is not None
    assert (waiting.wait(), following.wait()) == (3, 3)
    assert b"removed" in waiting.stderr.read()
    assert b"removed" in following.stderr.read()
