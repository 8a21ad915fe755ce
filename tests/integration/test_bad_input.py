"""What goes wrong around a node: each gets a clear error, nothing crashes, nothing is lost."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable

import pytest

import holdfast
from holdfast.errors import UsageError
from holdfast.testing import NodeBox, wait_until

MIB = 1024 * 1024


def test_a_second_node_on_the_same_state_is_refused_and_names_the_first(node_box: NodeBox) -> None:
    assert node_box.node is not None
    done = node_box.run("serve", code=4)
    assert str(node_box.node.pid).encode() in done.stderr
    node_box.run("run", "--", "true")


def test_a_second_node_on_the_same_socket_is_refused(node_box: NodeBox) -> None:
    node_box.env["HOLDFAST_STATE_DIR"] = str(node_box.directory / "other")
    done = node_box.run("serve", code=4)
    assert b"node.sock" in done.stderr
    node_box.run("run", "--", "true")


def test_a_stale_socket_file_is_no_obstacle(box: NodeBox) -> None:
    box.runtime_dir.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{box.runtime_dir}/node.sock")
    box.start_node()
    box.run("run", "--", "true")


def test_something_else_where_the_socket_should_be_is_left_alone(box: NodeBox) -> None:
    box.runtime_dir.mkdir(mode=0o700)
    precious = box.runtime_dir / "node.sock"
    precious.write_text("precious")
    done = box.run("serve", code=None)
    assert done.returncode in (4, 125)
    assert b"node.sock" in done.stderr
    assert precious.read_text() == "precious"


def test_an_unusable_state_directory_is_named(box: NodeBox) -> None:
    box.state_dir.write_text("a file")
    for command in (["serve"], ["run", "--", "true"]):
        done = box.run(*command, code=125)
        assert str(box.state_dir).encode() in done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the test above covers the message")
def test_an_unwritable_state_directory_is_named(box: NodeBox) -> None:
    box.state_dir.mkdir(mode=0o500)
    assert str(box.state_dir).encode() in box.run("serve", code=125).stderr


def test_a_state_directory_others_may_enter_is_refused(box: NodeBox) -> None:
    box.state_dir.mkdir()
    (box.state_dir / "file").touch()
    box.state_dir.chmod(0o755)
    assert b"chmod 700" in box.run("serve", code=125).stderr


def test_a_runtime_directory_too_long_for_sockets_names_the_limit(box: NodeBox) -> None:
    box.env["HOLDFAST_RUNTIME_DIR"] = str(box.directory / ("x" * 120))
    done = box.run("run", "--", "true", code=125)
    assert b"socket_path_bytes_max" in done.stderr
    assert b"HOLDFAST_RUNTIME_DIR" in done.stderr


def test_bad_addresses_and_limits_are_named(box: NodeBox) -> None:
    box.env["HOLDFAST_URL"] = "http://example"
    assert b"url: 'http://example'" in box.run("ps", code=125).stderr
    del box.env["HOLDFAST_URL"]
    box.env["HOLDFAST_LIMIT_JOBS"] = "1"
    assert b"HOLDFAST_LIMIT_JOBS_MAX" in box.run("serve", code=125).stderr


def test_a_full_state_directory_loses_nothing(box: NodeBox) -> None:
    """The database may not grow: output waits with the keeper, the node answers, and room makes it all durable."""
    box.env["HOLDFAST_LIMIT_STATE_BYTES_MAX"] = "4MiB"
    box.start_node()
    program = f"import sys; sys.stdout.buffer.write(bytes(range(256)) * {12 * MIB // 256})"
    box.run("run", "-d", "-T", "--name", "x", "--", sys.executable, "-c", program)
    errors = box.directory / "node.err"
    wait_until(lambda: "not_stored" in errors.read_text(), "the node says that it cannot store")
    assert box.inspect("x")["state"] == "draining"
    assert b"x" in box.run("ps").stdout
    done = box.run("run", "-d", "--name", "y", "--", "true", code=None)
    assert done.returncode in (0, 125)
    assert b"Traceback" not in done.stderr
    box.kill_node()
    del box.env["HOLDFAST_LIMIT_STATE_BYTES_MAX"]
    box.start_node()
    box.run("wait", "x")
    assert box.inspect("x")["gap_bytes"] == 0
    assert box.run("logs", "x").stdout == bytes(range(256)) * (12 * MIB // 256)


def test_a_full_node_takes_no_more_jobs_and_names_the_limit(box: NodeBox) -> None:
    box.env["HOLDFAST_LIMIT_JOBS_MAX"] = "2"
    box.start_node()
    for _ in range(2):
        box.run("run", "-d", "--", "true")
    assert b"jobs_max: 3 is over the limit of 2" in box.run("run", "-d", "--", "true", code=125).stderr


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HFR1\xff\xff\xff\xff",
        b"HFR1\x00\x00\x00\x06\x06\x00\x00\x00\x00\x00",
        b"HFR1\x00\x00\x00\x02\x00\x00",
        b"\x00" * 100,
        b"HF",
    ],
)
def test_garbage_on_the_socket_ends_that_connection_only(node_box: NodeBox, garbage: bytes) -> None:
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        assert node.info().jobs == 0
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(f"{node_box.runtime_dir}/node.sock")
            stranger.sendall(garbage)
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(65_536):
                pass
        assert node.info().connections == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user to knock as one")
@pytest.mark.parametrize("stream", [-1, 1 << 32])
def test_a_stream_number_that_no_frame_can_carry_is_refused(node_box: NodeBox, stream: int) -> None:
    node_box.run("run", "--name", "x", "--", "true")
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        with pytest.raises(UsageError, match=f"stream {stream} is not within"):
            node.connection().call("jobs.output", {"job": "x", "stream": stream})
        assert node.jobs.get("x").info.viewers == 0


def test_another_users_connection_is_refused(node_box: NodeBox) -> None:
    """The directory keeps others out; this opens it, to see that the socket's own check does too."""
    for directory in (node_box.directory, node_box.runtime_dir):
        directory.chmod(0o711)
    (node_box.runtime_dir / "node.sock").chmod(0o777)
    assert knock(node_box.url) == "let in"
    said = as_another_user(lambda: knock(node_box.url))
    assert "65534" in said
    node_box.run("run", "--", "true")


def knock(url: str) -> str:
    """What a connection is refused with."""
    try:
        with holdfast.connect_sync(url, autostart=False):
            return "let in"
    except holdfast.PermissionDenied as error:
        return str(error)


def as_another_user(act: Callable[[], str]) -> str:
    """``act()`` in a forked child that has become *nobody*; everything it needs is imported already."""
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65_534)
            os.setuid(65_534)
            os.write(write_fd, act().encode())
        finally:
            os._exit(0)
    os.close(write_fd)
    with open(read_fd, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(child, 0)
    return said


def test_the_nodes_log_is_json_lines(node_box: NodeBox) -> None:
    node_box.run("run", "--", "true")
    events = [json.loads(line)["event"] for line in (node_box.directory / "node.err").read_text().splitlines()]
    assert events.index("node.ready") < events.index("job.exited")
