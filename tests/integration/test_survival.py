"""What everything else is for: the node dies, viewers freeze, disks fill, and not a byte of output is lost."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from random import Random

import holdfast
from holdfast.procinfo import process_alive
from holdfast.testing import NodeBox, wait_until

MIB = 1024 * 1024

WRITER = """
import hashlib, sys
total, seed = int(sys.argv[1]), b'holdfast'
out, check, left = sys.stdout.buffer, hashlib.sha256(), total
while left:
    seed = hashlib.sha256(seed).digest()
    block = (seed * 2048)[:left]
    check.update(block)
    out.write(block)
    left -= len(block)
out.flush()
sys.stderr.write(check.hexdigest())
"""
"""Writes argv[1] bytes, each 64 KiB block other than the last, as fast as it can; then their digest to stderr."""


def digest(total: int) -> str:
    """What the writer prints at its end."""
    seed, check, left = b"holdfast", hashlib.sha256(), total
    while left:
        seed = hashlib.sha256(seed).digest()
        block = (seed * 2048)[:left]
        check.update(block)
        left -= len(block)
    return check.hexdigest()


def logged(box: NodeBox, job: str) -> tuple[str, int, str]:
    """Digest and length of the job's standard output as logged, and its standard error."""
    child = box.spawn("logs", job, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    check, length = hashlib.sha256(), 0
    while part := child.stdout.read(MIB):
        check.update(part)
        length += len(part)
    errors = child.stderr.read().decode()
    assert child.wait() == 0
    return check.hexdigest(), length, errors


def start_writer(box: NodeBox, total: int, *options: str) -> None:
    box.run("run", "-d", "-T", "--name", "w", *options, "--", sys.executable, "-c", WRITER, str(total))


def store_at_least(box: NodeBox, target: int) -> int:
    """Wait until so many bytes are in the log; how many are."""
    with holdfast.connect_sync(box.url, autostart=False) as node:
        job = node.jobs.get("w")
        wait_until(lambda: job.refresh().output_bytes >= target, f"{target} bytes stored")
        return job.info.output_bytes


def test_200_megabytes_through_five_deaths_of_the_node(node_box: NodeBox) -> None:
    total = 200 * MIB
    start_writer(node_box, total)
    pid = node_box.inspect("w")["pid"]
    random = Random(5)
    seen = 0
    for _ in range(5):
        seen = store_at_least(node_box, min(seen + random.randrange(5 * MIB, 20 * MIB), total))
        node_box.kill_node()
        node_box.start_node()
        assert node_box.inspect("w")["pid"] == pid
    node_box.run("wait", "w")
    info = node_box.inspect("w")
    assert (info["pid"], info["gap_bytes"], info["output_bytes"]) == (pid, 0, total + 64)
    assert logged(node_box, "w") == (digest(total), total, digest(total))


def test_100_megabytes_while_the_node_is_away(node_box: NodeBox) -> None:
    total = 100 * MIB
    start_gated(node_box, total)
    node_box.kill_node()
    (node_box.directory / "go").touch()
    wait_until((node_box.directory / "gone").exists, "the writer has written everything")
    node_box.start_node()
    node_box.run("wait", "w")
    assert node_box.inspect("w")["gap_bytes"] == 0
    assert logged(node_box, "w") == (digest(total), total, digest(total))


def start_gated(box: NodeBox, total: int, *options: str) -> None:
    """A writer that waits for the file ``go`` and leaves the file ``gone`` when all is written."""
    program = box.directory / "writer.py"
    program.write_text(WRITER)
    go, gone = box.directory / "go", box.directory / "gone"
    script = f"until [ -e {go} ]; do sleep 0.01; done; {sys.executable} {program} {total}; touch {gone}"
    box.run("run", "-d", "-T", "--name", "w", *options, "--", "sh", "-c", script)


def test_a_small_spill_that_drops_the_oldest_counts_the_gap_exactly(node_box: NodeBox) -> None:
    total = 20 * MIB
    start_gated(node_box, total, "--spill", "1MiB", "--on-full", "drop-oldest")
    node_box.kill_node()
    (node_box.directory / "go").touch()
    wait_until((node_box.directory / "gone").exists, "the writer has written everything")
    node_box.start_node()
    node_box.run("wait", "w")
    info = node_box.inspect("w")
    assert info["output_bytes"] == total + 64
    assert info["gap_bytes"] > 10 * MIB
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        chunks = list(node.jobs.get("w").output())
    gaps = [chunk for chunk in chunks if chunk.gap_bytes]
    assert sum(chunk.gap_bytes for chunk in gaps) == info["gap_bytes"]
    assert sum(len(chunk.data) for chunk in chunks) == total + 64 - info["gap_bytes"]
    stdout = b"".join(chunk.data for chunk in chunks if chunk.source == "stdout")
    assert stdout == expected_tail(total, len(stdout))
    errors = node_box.run("logs", "w").stderr.decode()
    assert f"gap: {gaps[0].gap_bytes} bytes of output at offset {gaps[0].offset} are lost" in errors


def expected_tail(total: int, length: int) -> bytes:
    """The last ``length`` bytes of what the writer writes."""
    seed, blocks, left = b"holdfast", [], total
    while left:
        seed = hashlib.sha256(seed).digest()
        blocks.append((seed * 2048)[:left])
        left -= len(blocks[-1])
    return b"".join(blocks)[-length:]


def test_with_a_small_spill_that_blocks_the_job_waits_and_nothing_is_lost(node_box: NodeBox) -> None:
    total = 20 * MIB
    start_gated(node_box, total, "--spill", "1MiB")
    node_box.kill_node()
    (node_box.directory / "go").touch()
    node_box.start_node()
    node_box.run("wait", "w")
    assert node_box.inspect("w")["gap_bytes"] == 0
    assert logged(node_box, "w") == (digest(total), total, digest(total))


def test_a_frozen_viewer_delays_neither_another_viewer_nor_the_job(node_box: NodeBox) -> None:
    node_box.run("run", "-d", "-T", "--name", "y", "--", "yes")
    frozen = node_box.spawn("logs", "-f", "y", stdout=subprocess.PIPE)
    assert frozen.stdout is not None
    frozen.stdout.read(1)
    frozen.send_signal(signal.SIGSTOP)
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        received = 0
        for chunk in node.jobs.get("y").output(1_000_000):
            received += len(chunk.data)
            if received > 64 * MIB:
                break
    assert node_box.inspect("y")["viewers"] >= 1
    node_box.run("send", "--key", "C-c", "y")
    node_box.run("wait", "y", code=128 + signal.SIGINT)
    frozen.send_signal(signal.SIGCONT)
    assert frozen.stdout.read(2 * MIB).startswith(b"\ny\ny")


def test_nothing_runs_twice_when_the_node_dies_while_starting_jobs(node_box: NodeBox) -> None:
    """SIGKILL in the middle of many starts: each job's command ran once or never, and its record says which."""
    marks = node_box.directory / "marks"
    marks.mkdir()
    starters = [
        node_box.spawn(
            "run",
            "-d",
            "-T",
            "--name",
            f"j{n}",
            "--",
            "sh",
            "-c",
            f"echo x >> {marks}/{n}; sleep 1000",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for n in range(12)
    ]
    wait_until(lambda: len(list(marks.iterdir())) >= 3, "some jobs have started")
    node_box.kill_node()
    codes = [starter.wait() for starter in starters]
    node_box.run("ps")  # if none of them came late enough to start the next node, this does
    with holdfast.connect_sync(node_box.url) as node:
        jobs = {job.name: job.refresh() for job in node.jobs.list()}
        for number, code in enumerate(codes):
            ran = (marks / str(number)).read_text() if (marks / str(number)).exists() else ""
            info = jobs.get(f"j{number}")
            assert ran in ("", "x\n"), (number, ran)
            if code == 0:
                assert info is not None
            if ran:
                assert info is not None
                assert info.state == "running"


def test_the_end_of_a_job_during_the_nodes_absence_is_known_afterwards(node_box: NodeBox) -> None:
    node_box.run("run", "-d", "-T", "--name", "x", "--", "sh", "-c", "read line; echo $line; exit 5")
    node_box.run("run", "-d", "-T", "--name", "z", "--", "sleep", "1000")
    node_box.run("send", "x", "hello")
    node_box.kill_node()
    node_box.start_node()
    node_box.run("wait", "x", code=5)
    assert node_box.run("logs", "x").stdout == b"hello\n"
    os.kill(node_box.inspect("z")["pid"], signal.SIGTERM)
    node_box.run("wait", "z", code=128 + signal.SIGTERM)


def test_a_job_whose_keeper_was_killed_is_gone_and_its_output_kept(node_box: NodeBox) -> None:
    node_box.run("run", "-d", "-T", "--name", "x", "--", "sh", "-c", "echo kept; sleep 1000")
    wait_until(lambda: node_box.inspect("x")["output_bytes"] == 5, "the output is stored")
    info = node_box.inspect("x")
    os.kill(info["keeper_pid"], signal.SIGKILL)
    os.kill(info["pid"], signal.SIGKILL)
    told = b"holdfast: job x has no exit code, it is gone: its keeper is gone"
    assert node_box.run("wait", "x", code=125).stderr.startswith(told)
    assert node_box.run("attach", "x", code=125).stderr.startswith(told)
    after = node_box.inspect("x")
    assert (after["state"], after["done_reason"]) == ("done", "gone")
    assert "keeper" in after["error"]
    assert node_box.run("logs", "x").stdout == b"kept\n"
    node_box.run("rm", "x")


def test_a_command_that_a_killed_keeper_left_is_named_and_can_be_killed(node_box: NodeBox) -> None:
    node_box.run("run", "-d", "-T", "--name", "x", "--", "sleep", "1000")
    info = node_box.inspect("x")
    os.kill(info["keeper_pid"], signal.SIGKILL)
    node_box.run("wait", "x", code=125)
    assert f"its command, process {info['pid']}, still ran then" in node_box.inspect("x")["error"]
    node_box.run("rm", "--force", "x")
    assert not process_alive(info["pid"], info["pid_started"])


def test_what_a_killed_keeper_had_spilled_is_brought_home(node_box: NodeBox) -> None:
    """With the node away 20 MB go to the keeper, its memory holds 2 MiB, the rest is on disk: that much is kept."""
    total = 20 * MIB
    start_gated(node_box, total)
    info = node_box.inspect("w")
    node_box.kill_node()
    (node_box.directory / "go").touch()
    wait_until((node_box.directory / "gone").exists, "the writer has written everything")
    os.kill(info["keeper_pid"], signal.SIGKILL)
    node_box.start_node()
    node_box.run("wait", "w", code=125)
    after = node_box.inspect("w")
    assert after["done_reason"] == "gone"
    assert after["gap_bytes"] == 0
    assert after["output_bytes"] >= total - 4 * MIB
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        kept = b"".join(chunk.data for chunk in node.jobs.get("w").output() if chunk.source == "stdout")
    assert kept == expected_tail(total, total)[: len(kept)]
    assert not list((node_box.state_dir / "spill").iterdir())


def test_a_keeper_that_gave_up_waiting_left_everything_behind(node_box: NodeBox) -> None:
    node_box.kill_node()
    node_box.env["HOLDFAST_LIMIT_KEEPER_RETENTION_S"] = "0"
    node_box.start_node()
    total = 5 * MIB
    start_gated(node_box, total)
    info = node_box.inspect("w")
    node_box.kill_node()
    (node_box.directory / "go").touch()
    wait_until(lambda: not process_alive(info["keeper_pid"], info["keeper_started"]), "the keeper left")
    node_box.start_node()
    node_box.run("wait", "w")
    after = node_box.inspect("w")
    assert (after["done_reason"], after["exit_code"], after["gap_bytes"]) == ("exited", 0, 0)
    assert logged(node_box, "w") == (digest(total), total, digest(total))


def test_a_stop_asked_for_while_the_keeper_is_away_is_done_when_it_is_back(node_box: NodeBox) -> None:
    node_box.run("run", "-d", "-T", "--name", "x", "--", "sleep", "1000")
    keeper = node_box.inspect("x")["keeper_pid"]
    os.kill(keeper, signal.SIGSTOP)
    node_box.kill_node()
    node_box.start_node()
    stopper = node_box.spawn("stop", "x", stdout=subprocess.DEVNULL)
    wait_until(lambda: node_box.inspect("x")["stop_requested"], "the wish is noted")
    os.kill(keeper, signal.SIGCONT)
    assert stopper.wait(60) == 0
    assert node_box.inspect("x")["done_reason"] == "terminated"


def test_jobs_are_reached_though_the_runtime_directory_was_taken_away(node_box: NodeBox) -> None:
    """As a logout does: the node makes its socket anew, and so do keepers that a new node looks for."""
    job = node_box.run("run", "-d", "-T", "--name", "x", "--", "cat").stdout.decode().strip()
    shutil.rmtree(node_box.runtime_dir)
    wait_until(lambda: os.path.exists(node_box.runtime_dir / "node.sock"), "the node listens again")
    assert node_box.run("ps", "-q").stdout.decode().split() == [job]
    node_box.kill_node()
    wait_until((node_box.runtime_dir / "jobs" / job / "keeper.json").exists, "its keeper listens again")
    node_box.start_node()
    node_box.run("send", "x", "hello")
    node_box.run("send", "--eof", "x")
    node_box.run("wait", "x")
    assert node_box.run("logs", "x").stdout == b"hello\n"
