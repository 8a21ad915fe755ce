"""The command line against a real node: what each command prints, and what it exits with."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

import holdfast
from holdfast.jobs.api import JobsApi
from holdfast.procinfo import process_alive
from holdfast.rpc.commands import command_of
from holdfast.testing import PATIENCE_S, NodeBox, wait_until


def start(box: NodeBox, name: str, *command: str, options: tuple[str, ...] = ("-T",)) -> str:
    return box.run("run", "-d", *options, "--name", name, "--", *command).stdout.decode().strip()


def test_run_exits_as_the_job_did_and_prints_what_it_printed(node_box: NodeBox) -> None:
    done = node_box.run("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7", code=7)
    assert done.stdout == b"out\n"
    assert b"err\n" in done.stderr


def test_a_job_killed_by_a_signal_gives_128_and_the_number(node_box: NodeBox) -> None:
    node_box.run("run", "--", "sh", "-c", "kill -TERM $$", code=128 + signal.SIGTERM)


def test_a_missing_command_gives_127_and_leaves_no_job(node_box: NodeBox) -> None:
    done = node_box.run("run", "--", "/nosuch/command", code=127)
    assert b"/nosuch/command" in done.stderr
    assert json.loads(node_box.run("ps", "-o", "json").stdout) == []
    assert list((node_box.runtime_dir / "jobs").iterdir()) == []


def test_what_cannot_be_executed_gives_126(node_box: NodeBox) -> None:
    node_box.run("run", "--", "/", code=126)
    assert node_box.run("ps", "-q").stdout == b""


def test_a_bad_directory_is_named(node_box: NodeBox) -> None:
    done = node_box.run("run", "--cwd", "/nosuch", "--", "true", code=125)
    assert b"/nosuch" in done.stderr


def test_no_such_job_gives_3_everywhere(node_box: NodeBox) -> None:
    commands = (["attach"], ["logs"], ["inspect"], ["wait"], ["stop"], ["kill"], ["rm"], ["send", "--eof"])
    for command in commands:
        done = node_box.run(*command, "nosuch", code=3)
        assert b"nosuch" in done.stderr, command


def test_a_name_in_use_gives_4_until_its_job_is_removed(node_box: NodeBox) -> None:
    first = start(node_box, "x", "true")
    done = node_box.run("run", "-d", "--name", "x", "--", "true", code=4)
    assert first.encode() in done.stderr
    node_box.run("wait", "x")
    node_box.run("rm", "x")
    start(node_box, "x", "true")


def test_wait_gives_124_when_time_is_up_and_the_job_runs_on(node_box: NodeBox) -> None:
    start(node_box, "x", "sleep", "1000")
    done = node_box.run("wait", "--timeout", "50ms", "x", code=124)
    assert done.stderr == b"holdfast: job x has not ended within 0.05 s; it runs on\n"
    assert node_box.inspect("x")["state"] == "running"
    assert node_box.run("kill", "x").stdout == b"x\n"
    assert node_box.run("wait", "x", code=137).stdout == b"137\n"


def test_stop_asks_first_and_kills_after_the_grace(node_box: NodeBox) -> None:
    start(node_box, "polite", "sleep", "1000")
    start(node_box, "deaf", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    node_box.run("stop", "--grace", "100ms", "polite", "deaf")
    polite, deaf = node_box.inspect("polite"), node_box.inspect("deaf")
    assert (polite["exit_signal"], polite["done_reason"]) == (signal.SIGTERM, "terminated")
    assert (deaf["exit_signal"], deaf["done_reason"]) == (signal.SIGKILL, "terminated")


@pytest.mark.parametrize("options", [("-9",), ("-KILL",), ("-s", "9")])
def test_a_signal_may_be_given_as_to_kill(node_box: NodeBox, options: tuple[str, ...]) -> None:
    start(node_box, "x", "sleep", "1000")
    node_box.run("kill", *options, "--", "x")
    node_box.run("wait", "x", code=128 + signal.SIGKILL)
    assert b"No such option" in node_box.run("kill", "-nosuch", "x", code=125).stderr


def test_several_are_stopped_at_once(node_box: NodeBox) -> None:
    """The first ends when the second has been told: one after the other it would need its grace, and KILL."""
    directory = ("-T", "-w", str(node_box.directory))
    wait_for = "trap 'until [ -e told ]; do sleep 0.01; done; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    start(node_box, "first", "sh", "-c", wait_for, options=directory)
    start(
        node_box,
        "second",
        "sh",
        "-c",
        "trap 'touch told; exit 6' TERM; echo ready; while :; do sleep 0.01; done",
        options=directory,
    )
    wait_until(lambda: node_box.inspect("first")["output_bytes"], "the first can be told")
    wait_until(lambda: node_box.inspect("second")["output_bytes"], "the second can be told")
    done = node_box.run("stop", "--grace", "30s", "first", "nosuch", "second", code=3)
    assert (sorted(done.stdout.split()), done.stderr) == ([b"first", b"second"], b"holdfast: no job 'nosuch'\n")
    assert [node_box.inspect(name)["exit_code"] for name in ("first", "second")] == [5, 6]


def test_a_name_that_is_the_id_of_another_job_is_refused(node_box: NodeBox) -> None:
    job = start(node_box, "x", "true")
    done = node_box.run("run", "-d", "--name", job, "--", "true", code=4)
    assert f"job name {job!r} is in use by {job}" in done.stderr.decode()


def test_logs_from_an_offset_and_the_last_lines(node_box: NodeBox) -> None:
    start(node_box, "x", "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done")
    node_box.run("wait", "x")
    assert node_box.run("logs", "--from", "7", "x").stdout == b"line 2\nline 3\nline 4\nline 5\n"
    assert node_box.run("logs", "--from", "-7", "x").stdout == b"line 5\n"
    assert node_box.run("logs", "--tail", "2", "x").stdout == b"line 4\nline 5\n"
    assert node_box.run("logs", "--tail", "99", "x").stdout.startswith(b"line 1\n")
    assert node_box.run("logs", "--tail", "0", "x").stdout == b""
    done = node_box.run("logs", "--from", "1000", "x", code=125)
    assert b"from_offset: 1000 is beyond the tail, 35" in done.stderr


def test_send_text_a_file_and_the_end_of_input(node_box: NodeBox) -> None:
    start(node_box, "x", "cat")
    (node_box.directory / "file").write_bytes(b"from a file\n" * 1000)
    node_box.run("send", "x", "hello", "world")
    node_box.run("send", "--file", str(node_box.directory / "file"), "x")
    node_box.run("send", "x", input=b"from stdin\n")
    node_box.run("send", "--eof", "x")
    node_box.run("wait", "x")
    expected = b"hello world\n" + b"from a file\n" * 1000 + b"from stdin\n"
    assert node_box.run("logs", "x").stdout == expected


def test_a_file_cut_by_the_nodes_death_says_where_to_go_on(node_box: NodeBox) -> None:
    start(
        node_box,
        "x",
        "sh",
        "-c",
        "until [ -e go ]; do sleep 0.01; done; exec cat",
        options=("-T", "-w", str(node_box.directory)),
    )
    content = b"".join(b"%07d\n" % number for number in range(1_000_000))
    file = node_box.directory / "file"
    file.write_bytes(content)
    sending = node_box.spawn("send", "--file", str(file), "x", stderr=subprocess.PIPE)
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        wait_until(lambda: queued(node.jobs.get("x")), "a part of the file is there")
    node_box.kill_node()
    _, told = sending.communicate()
    assert sending.returncode == 75
    found = re.search(rb"(\d+) bytes are in the job's input.*; holdfast (send --file \S+ --offset (\d+) x)", told)
    assert found is not None
    assert found[1] == found[3]
    assert int(found[1]) > 300_000
    node_box.start_node()
    (node_box.directory / "go").touch()
    node_box.run(*found[2].decode().split(), "--eof")
    node_box.run("wait", "x")
    unsure = re.search(rb"the next (\d+) may be", told)
    doubled = content[: int(found[1]) + int(unsure[1])] + content[int(found[1]) :] if unsure else content
    assert node_box.run("logs", "x").stdout in (content, doubled)


def queued(job: holdfast.SyncJob) -> bool:
    """Whether much waits with the keeper."""
    return job.send(b"").queued_bytes > 300_000


def test_a_part_of_a_file_can_be_left_out(node_box: NodeBox) -> None:
    start(node_box, "x", "cat")
    file = node_box.directory / "file"
    file.write_bytes(b"0123456789")
    node_box.run("send", "--file", str(file), "--offset", "4", "x")
    node_box.run("send", "--file", "-", "--offset", "2", "--eof", "x", input=b"abcdef")
    node_box.run("wait", "x")
    assert node_box.run("logs", "x").stdout == b"456789cdef"
    assert b"beyond the end, 10" in node_box.run("send", "-f", str(file), "--offset", "11", "x", code=125).stderr
    assert b"--offset is for --file" in node_box.run("send", "--offset", "1", "x", "text", code=125).stderr


def test_a_file_for_a_job_that_ends_says_how_far_it_got(node_box: NodeBox) -> None:
    start(node_box, "x", "true")
    node_box.run("wait", "x")
    done = node_box.run("send", "--file", "-", "x", input=b"abc", code=4)
    assert b"0 bytes are in the job's input" in done.stderr


@pytest.mark.parametrize("options", [("-t",), ("-T",)])
def test_ctrl_c_by_key_interrupts_a_flood(node_box: NodeBox, options: tuple[str, ...]) -> None:
    start(node_box, "x", "yes", options=options)
    node_box.run("send", "--key", "C-c", "x")
    node_box.run("wait", "x", code=128 + signal.SIGINT)


def test_input_after_the_end_is_a_conflict(node_box: NodeBox) -> None:
    start(node_box, "x", "true")
    node_box.run("wait", "x")
    node_box.run("send", "x", "late", code=4)


def test_environment_and_directory(node_box: NodeBox) -> None:
    node_box.env["INHERITED"] = "yes"
    done = node_box.run(
        "run",
        "--env",
        "A=1",
        "--env",
        "INHERITED",
        "--cwd",
        "/tmp",
        "--",
        "sh",
        "-c",
        "echo $A $INHERITED $PWD $HOLDFAST_JOB",
    )
    words = done.stdout.split()
    assert words[:3] == [b"1", b"yes", b"/tmp"]
    assert words[3].decode() in node_box.run("ps", "-q").stdout.decode()


def test_umask_and_soft_limits_are_the_callers(node_box: NodeBox) -> None:
    def set_ours() -> None:
        os.umask(0o027)
        resource.setrlimit(resource.RLIMIT_NOFILE, (123, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    command = node_box.command("run", "-T", "--", "sh", "-c", "umask; ulimit -n; ulimit -c")
    done = subprocess.run(command, env=node_box.env, capture_output=True, check=True, preexec_fn=set_ours)
    assert done.stdout == b"0027\n123\n0\n"


def test_run_passes_its_input_on(node_box: NodeBox) -> None:
    assert node_box.run("run", "--", "cat", input=b"x" * 300_000).stdout == b"x" * 300_000


def test_json_has_the_promised_fields(node_box: NodeBox) -> None:
    start(node_box, "x", "sh", "-c", "echo hi; exit 3")
    node_box.run("wait", "x", code=3)
    info = node_box.inspect("x")
    assert info["name"] == "x"
    assert (info["state"], info["done_reason"]) == ("done", "exited")
    assert (info["exit_code"], info["exit_signal"]) == (3, None)
    assert (info["output_bytes"], info["gap_bytes"]) == (3, 0)
    assert info["command"] == ["sh", "-c", "echo hi; exit 3"]
    assert info["pid"] > 0
    assert info["keeper_pid"] > 0
    assert json.loads(node_box.run("ps", "-o", "json").stdout) == [info]
    assert json.loads(node_box.run("ps", "-o", "jsonl").stdout) == info
    assert node_box.run("ps", "-o", "name").stdout == b"x\n"


def test_rm_refuses_a_running_job_unless_forced(node_box: NodeBox) -> None:
    start(node_box, "x", "sleep", "1000")
    node_box.run("rm", "x", code=4)
    node_box.run("rm", "--force", "x")
    assert node_box.run("ps", "-q").stdout == b""


def test_ended_jobs_are_listed_and_forgotten_together(node_box: NodeBox) -> None:
    start(node_box, "live", "sleep", "1000")
    for name in ("a", "b"):
        start(node_box, name, "true")
        node_box.run("wait", name)
    names = {
        option: node_box.run("ps", *option, "-o", "name").stdout.decode().split() for option in [(), ("-a",), ("-e",)]
    }
    assert names == {(): ["live", "a", "b"], ("-a",): ["live", "a", "b"], ("-e",): ["a", "b"]}
    assert node_box.run("ps", "-r", "-o", "name").stdout == b"live\n"
    assert b"exclude each other" in node_box.run("ps", "-r", "-e", code=125).stderr
    for wrong in ((), ("--ended", "a"), ("--ended", "--force")):
        assert b"either JOB... or --ended" in node_box.run("rm", *wrong, code=125).stderr
    done = node_box.run("rm", "nosuch", "a", "live", code=3)
    assert (done.stdout, done.stderr.count(b"holdfast: ")) == (b"a\n", 2)
    start(node_box, "a", "true")
    node_box.run("wait", "a")
    assert node_box.run("rm", "--ended").stdout == b"b\na\n"
    assert node_box.run("rm", "--ended").stdout == b""
    assert node_box.run("ps", "-o", "name").stdout == b"live\n"


def test_a_cut_link_under_a_viewer_gives_75_and_says_the_job_runs_on(node_box: NodeBox) -> None:
    start(node_box, "x", "sh", "-c", "echo hello; sleep 1000")
    viewer = node_box.spawn(
        "attach", "--from", "0", "x", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert viewer.stdout is not None
    assert viewer.stdout.read(6) == b"hello\n"
    node_box.kill_node()
    _, errors = viewer.communicate(timeout=60)
    assert viewer.returncode == 75
    assert b"runs on" in errors
    node_box.start_node()
    assert node_box.inspect("x")["state"] == "running"


def test_logs_that_lose_the_link_say_where_to_go_on(node_box: NodeBox) -> None:
    start(node_box, "x", "sh", "-c", "echo hello; sleep 1000")
    viewer = node_box.spawn("logs", "-f", "x", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert viewer.stdout is not None
    assert viewer.stdout.read(6) == b"hello\n"
    node_box.kill_node()
    _, errors = viewer.communicate(timeout=60)
    assert viewer.returncode == 75
    assert b"holdfast logs -f --from 6 x\n" in errors


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_wait_that_loses_the_link_gives_75_and_says_the_job_runs_on(
    node_box: NodeBox, number: signal.Signals
) -> None:
    start(node_box, "short", "true")
    start(node_box, "long", "sleep", "1000")
    waiting = node_box.spawn("wait", "short", "long", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == b"0\n"
    assert node_box.node is not None
    node_box.node.send_signal(number)
    _, told = waiting.communicate()
    assert waiting.returncode == 75
    assert b"job long runs on; holdfast wait long" in told


def test_a_node_that_is_stopped_keeps_nobody_waiting(node_box: NodeBox) -> None:
    start(node_box, "x", "sleep", "1000")
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        connection = node.connection()
        asked = command_of(JobsApi.wait).arguments(("x",), {})
        call = connection.begin_call(asked.name, asked.params)
        node.info()  # answered after the call before it has begun
        assert node_box.node is not None
        node_box.node.terminate()
        with pytest.raises(holdfast.DisconnectedError, match="the node is ending; job x runs on"):
            while connection.take_reply(call) is None:
                connection.pump()


def test_any_command_brings_the_node_back(node_box: NodeBox) -> None:
    start(node_box, "x", "sh", "-c", "echo hello; sleep 1000")
    wait_until(lambda: node_box.inspect("x")["output_bytes"] == 6, "the output is there")
    node_box.kill_node()
    assert node_box.run("logs", "x").stdout == b"hello\n"
    assert node_box.inspect("x")["state"] == "running"


def test_asking_for_the_version_starts_nothing(box: NodeBox) -> None:
    assert json.loads(box.run("version", "-o", "json").stdout)["node"] is None
    assert not box.runtime_dir.exists()


def test_run_starts_a_node_by_itself(box: NodeBox) -> None:
    assert box.run("run", "--", "echo", "hi").stdout == b"hi\n"
    assert json.loads(box.run("version", "-o", "json").stdout)["node"] is not None


def test_many_commands_at_once_share_the_node_one_of_them_starts(box: NodeBox) -> None:
    commands = [box.spawn("run", "--", "true", stderr=subprocess.PIPE) for _ in range(6)]
    assert [(command.communicate()[1], command.returncode) for command in commands] == [(b"", 0)] * 6


def test_a_node_that_runs_already_is_no_excuse_for_losing_options(node_box: NodeBox) -> None:
    assert node_box.run("serve", "--background").stdout.decode().strip() == node_box.url
    assert b"runs already" in node_box.run("serve", "--background", "--http", "127.0.0.1:0", code=4).stderr


def test_a_node_in_the_background_can_be_stopped_and_jobs_run_on(box: NodeBox) -> None:
    start(box, "x", "cat")
    node = json.loads(box.run("version", "-o", "json").stdout)["node"]
    info = box.inspect("x")
    assert box.run("serve", "--stop").stdout == b"stopped %d\n" % node["pid"]
    assert not process_alive(node["pid"], 0.0)
    assert process_alive(info["pid"], info["pid_started"])
    none_left = box.run("serve", "--stop", code=3)
    assert b"no node runs at" in none_left.stderr
    box.run("serve", "--background")
    assert box.inspect("x")["pid"] == info["pid"]
    assert b"--stop ends a node" in box.run("serve", "--stop", "--background", code=125).stderr
    box.run("serve", "--stop")


def test_a_variable_that_is_not_utf8_is_left_out_and_named(node_box: NodeBox) -> None:
    node_box.env["ODD"] = os.fsdecode(b"\xff")
    done = node_box.run("run", "-T", "--", "sh", "-c", "echo ${ODD-unset}")
    assert done.stdout == b"unset\n"
    assert b"'ODD': not UTF-8" in done.stderr
    assert node_box.run("run", "-e", "ODD=x", "-T", "--", "true").stderr == b""


def test_an_output_that_cannot_be_written_is_told_in_one_line(node_box: NodeBox) -> None:
    start(node_box, "x", "echo", "hi")
    node_box.run("wait", "x")
    for command in (("logs", "x"), ("ps",)):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                node_box.command(*command), env=node_box.env, stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert (done.stderr, done.returncode) == (b"holdfast: No space left on device\n", 125), command


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_what_is_closed_at_the_start_is_as_the_null_device(node_box: NodeBox, closed: str) -> None:
    """The link to the node must not get the number of a standard stream, and with it the job's output."""
    for code, command in ((7, ("run", "--", "sh", "-c", "cat; echo out; echo err >&2; exit 7")), (0, ("ps",))):
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *node_box.command(*command)],
            env=node_box.env,
            input=b"typed\n",
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, (command, done.stderr)
        if command[0] == "run":
            typed = b"" if "<&-" in closed else b"typed\n"
            assert done.stdout == (b"" if closed.startswith(">") or " >" in closed else typed + b"out\n")
            assert done.stderr == (b"" if "2>" in closed else b"err\n")


def zygote_of(node_pid: int) -> int:
    """The node's process that keepers are forked from."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == node_pid and b"zygote" in (entry / "cmdline").read_bytes():
                return int(entry.name)
    raise AssertionError("the node has no zygote")


def test_a_ctrl_c_while_the_job_is_started_is_for_the_job(node_box: NodeBox) -> None:
    """Nobody interrupts a command and finds it running."""
    node_box.run("run", "--", "true")
    assert node_box.node is not None
    zygote = zygote_of(node_box.node.pid)
    os.kill(zygote, signal.SIGSTOP)
    try:
        runner = node_box.spawn("run", "--name", "x", "--", "sleep", "1000", stdin=subprocess.DEVNULL)
        with holdfast.connect_sync(node_box.url, autostart=False) as node:
            wait_until(lambda: any(job.info.name == "x" for job in node.jobs.list()), "it is being started")
        runner.send_signal(signal.SIGINT)
    finally:
        os.kill(zygote, signal.SIGCONT)
    assert runner.wait(PATIENCE_S) == 128 + signal.SIGINT
    assert node_box.inspect("x")["exit_signal"] == signal.SIGINT


def test_a_viewer_under_nohup_is_not_ended_by_hangup(node_box: NodeBox) -> None:
    command = ["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh", *node_box.command("run", "-n", "x", "--", "cat")]
    with subprocess.Popen(command, env=node_box.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as viewer:
        assert viewer.stdin is not None and viewer.stdout is not None
        viewer.stdin.write(b"before\n")
        viewer.stdin.flush()
        assert viewer.stdout.readline() == b"before\n"
        viewer.send_signal(signal.SIGHUP)
        viewer.send_signal(signal.SIGINT)
        viewer.stdin.write(b"after\n")
        viewer.stdin.flush()
        assert viewer.stdout.readline() == b"after\n"
        viewer.stdin.close()
        assert viewer.wait(PATIENCE_S) == 0


def test_a_format_for_a_job_that_is_watched_is_refused(node_box: NodeBox) -> None:
    assert b"--output is for --detach" in node_box.run("run", "-o", "json", "--", "true", code=125).stderr
    assert node_box.run("ps", "-q").stdout == b""


def test_the_last_lines_are_not_more_because_the_job_prints_on(node_box: NodeBox) -> None:
    start(node_box, "x", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; done")
    wait_until(lambda: node_box.inspect("x")["output_bytes"] > 100_000, "it has printed")
    assert node_box.run("logs", "-n", "2", "x").stdout.count(b"\n") <= 2
    node_box.run("rm", "-f", "x")


def test_a_name_no_path_can_have_is_refused(node_box: NodeBox) -> None:
    done = node_box.run("run", "--", "x" * 100_000, code=125)
    assert b"spec.command: a program's name of 100000 bytes" in done.stderr and len(done.stderr) < 1000
    assert node_box.run("ps", "-q").stdout == b""


def test_one_job_is_one_line_without_control_characters(node_box: NodeBox) -> None:
    start(node_box, "x", "true", "a\nb\x1b[31m")
    lines = node_box.run("ps").stdout.splitlines()
    assert len(lines) == 2
    assert rb"a\nb\x1b[31m" in lines[1]


def test_a_mistyped_command_gets_a_hint(box: NodeBox) -> None:
    assert b"Did you mean 'inspect'?" in box.run("inspekt", "x", code=125).stderr


def test_help_is_a_word_too(box: NodeBox) -> None:
    assert box.run("help").stdout == box.run("--help").stdout
    assert box.run("help", "run").stdout == box.run("run", "--help").stdout
    assert box.run("help", "record", "push").stdout == box.run("record", "push", "--help").stdout
    assert b"no command 'nosuch'" in box.run("help", "nosuch", code=125).stderr


def test_completion_scripts(box: NodeBox) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert b"_HOLDFAST_COMPLETE" in box.run("completion", shell).stdout


@pytest.mark.parametrize(
    "command",
    [
        ("logs", "many"),
        ("logs", "-f", "many"),
        ("stream", "read", "jobs/many/output"),
        ("attach", "--from", "0", "many"),
    ],
)
def test_a_reader_that_leaves_early_ends_the_command_quietly(node_box: NodeBox, command: tuple[str, ...]) -> None:
    start(node_box, "many", "seq", "1000000")
    node_box.run("wait", "many")
    with node_box.spawn(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as viewer:
        assert viewer.stdout is not None and viewer.stderr is not None
        assert viewer.stdout.read(2) == b"1\n"
        viewer.stdout.close()
        assert viewer.stderr.read() == b""
    assert viewer.returncode == 141


@pytest.mark.parametrize("command", [("logs", "-f", "quiet"), ("stream", "tail", "jobs/quiet/output")])
def test_who_follows_a_quiet_job_ends_with_its_reader(node_box: NodeBox, command: tuple[str, ...]) -> None:
    start(node_box, "quiet", "sh", "-c", "echo here; exec sleep 1000")
    with node_box.spawn(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as viewer:
        assert viewer.stdout is not None and viewer.stderr is not None
        assert viewer.stdout.read(5) == b"here\n"
        viewer.stdout.close()
        assert viewer.stderr.read() == b""
    assert viewer.returncode == 141
