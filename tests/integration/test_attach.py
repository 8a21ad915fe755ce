"""``run`` and ``attach`` from a real terminal: raw mode, keys, sizes, detaching, coming back."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest

from holdfast.testing import PATIENCE_S, NodeBox, wait_until


class Terminal:
    """A terminal of ours with one ``holdfast`` command in it; ``screen`` is all it was sent so far."""

    def __init__(self, box: NodeBox, *arguments: str, rows: int = 33, columns: int = 101) -> None:
        self.master, slave = os.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.child = subprocess.Popen(
            box.command(*arguments),
            env={**box.env, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - this test has one thread
        )
        self.slave = slave
        self.screen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Type once the command has the terminal in raw mode: before, the terminal itself would echo."""
        wait_until(lambda: not termios.tcgetattr(self.slave)[3] & termios.ECHO, "the terminal is in raw mode")
        os.write(self.master, keys)

    def expect(self, text: bytes) -> None:
        """Wait until the screen shows ``text``; what came up to it is taken off."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.screen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{text!r} never came; there is {self.screen!r}"
            self.screen += os.read(self.master, 65_536)
        self.screen = self.screen.partition(text)[2]

    def exit_code(self) -> int:
        """Its exit code; the screen then shows all that it wrote."""
        while True:
            ended = self.child.poll() is not None
            ready, _, _ = select.select([self.master], [], [], 0 if ended else 0.01)
            if ready:
                self.screen += os.read(self.master, 65_536)
            elif ended:
                return self.child.returncode

    def close(self, *, kill: bool = True) -> None:
        """Close it; its kernel tells the command with a hangup, if that was not killed."""
        if kill:
            if self.child.poll() is None:
                self.child.kill()
            self.child.wait()
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_a_shell_in_a_terminal_is_like_a_shell(node_box: NodeBox, terminals: list[Terminal]) -> None:
    terminal = Terminal(node_box, "run", "--name", "sh", "--env", "PS1=ready> ", "--", "sh")
    terminals.append(terminal)
    terminal.expect(b"ready> ")
    terminal.type(b"stty size\r")
    terminal.expect(b"33 101")
    terminal.resize(20, 60)
    os.kill(terminal.child.pid, signal.SIGWINCH)
    wait_until(lambda: node_box.inspect("sh")["rows"] == 20, "the size reached the job")
    terminal.type(b"stty size\r")
    terminal.expect(b"20 60")
    terminal.type(b"sleep 1000\r")
    terminal.expect(b"sleep 1000\r\n")
    terminal.type(b"\x03")
    terminal.expect(b"ready> ")
    terminal.type(b"exit 9\r")
    assert terminal.exit_code() == 9
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_detach_and_come_back_at_the_offset_it_told(node_box: NodeBox, terminals: list[Terminal]) -> None:
    first = Terminal(node_box, "run", "--name", "c", "--", "cat")
    terminals.append(first)
    first.type(b"one\r")
    first.expect(b"one\r\none\r\n")
    first.type(b"\x1dd")
    first.expect(b"runs on; holdfast attach --from 10 c")
    assert first.exit_code() == 0
    assert termios.tcgetattr(first.slave) == first.before
    node_box.run("send", "c", "two")
    wait_until(lambda: node_box.inspect("c")["output_bytes"] == 20, "the job echoed")
    second = Terminal(node_box, "attach", "--from", "10", "c")
    terminals.append(second)
    second.expect(b"attached to c at offset 10; ctrl-] d detaches")
    second.expect(b"two\r\ntwo\r\n")
    assert b"one" not in second.screen
    second.type(b"\x04")
    assert second.exit_code() == 0


def test_ctrl_c_stops_a_flood(node_box: NodeBox, terminals: list[Terminal]) -> None:
    terminal = Terminal(node_box, "run", "--", "yes")
    terminals.append(terminal)
    terminal.expect(b"y\r\ny\r\n")
    terminal.type(b"\x03")
    assert terminal.exit_code() == 128 + signal.SIGINT


def test_a_read_only_viewer_types_nothing_and_leaves_with_ctrl_c(node_box: NodeBox, terminals: list[Terminal]) -> None:
    node_box.run("run", "-d", "-t", "--name", "c", "--", "cat")
    viewer = Terminal(node_box, "attach", "-r", "c")
    terminals.append(viewer)
    viewer.expect(b"attached to c")
    viewer.type(b"hello\r")
    node_box.run("send", "c", "from elsewhere")
    viewer.expect(b"from elsewhere\r\n")
    viewer.type(b"\x03")
    assert viewer.exit_code() == 130
    info = node_box.inspect("c")
    assert info["state"] == "running"
    assert info["output_bytes"] == 2 * len("from elsewhere\r\n")


def test_other_detach_keys_and_the_dead_link_escape(node_box: NodeBox, terminals: list[Terminal]) -> None:
    node_box.run("run", "-d", "-t", "--name", "c", "--", "cat")
    for options, keys in ((("--detach-keys", "ctrl-p,ctrl-q"), b"\x10\x11"), ((), b"\r~.")):
        terminal = Terminal(node_box, "attach", *options, "c")
        terminals.append(terminal)
        terminal.expect(b"attached to c")
        terminal.type(keys)
        terminal.expect(b"detached; job c runs on")
        assert terminal.exit_code() == 0
    refused = node_box.run("attach", "--detach-keys", "ctrl-nosuch", "c", code=125)
    assert b"there is no control key 'ctrl-nosuch'" in refused.stderr


def test_who_detaches_from_a_full_screen_program_gets_the_terminal_back(
    node_box: NodeBox, terminals: list[Terminal]
) -> None:
    script = r"printf '\033[?1049h\033[?1000;1006h\033[?2004h\033[?25lfull screen'; exec cat"
    terminal = Terminal(node_box, "run", "--name", "c", "--", "sh", "-c", script)
    terminals.append(terminal)
    terminal.expect(b"full screen")
    terminal.type(b"\x1dd")
    terminal.expect(b"\x1b[?1000l\x1b[?1006l\x1b[?2004l\x1b[?1049l\x1b[?25h")
    terminal.expect(b"detached; job c runs on")
    assert terminal.exit_code() == 0


def test_the_last_writer_decides_the_size(node_box: NodeBox, terminals: list[Terminal]) -> None:
    first = Terminal(node_box, "run", "--name", "c", "--", "cat", rows=10, columns=40)
    terminals.append(first)
    wait_until(lambda: node_box.run("ps", "-q").stdout, "the job is there")
    wait_until(lambda: node_box.inspect("c")["rows"] == 10, "the first size")
    second = Terminal(node_box, "attach", "c", rows=50, columns=120)
    terminals.append(second)
    wait_until(lambda: node_box.inspect("c")["rows"] == 50, "the second size")
    second.expect(b"attached to c")
    for typist, keys, size in ((first, b"one\r", 10), (second, b"two\r", 50), (first, b"three\r", 10)):
        typist.type(keys)
        typist.expect(keys.rstrip() + b"\r\n")
        info = node_box.inspect("c")
        assert (info["rows"], info["columns"]) == (size, {10: 40, 50: 120}[size])
    watcher = Terminal(node_box, "attach", "-r", "c", rows=5, columns=7)
    terminals.append(watcher)
    watcher.expect(b"three")
    watcher.type(b"nothing")
    assert node_box.inspect("c")["rows"] == 10


def test_a_node_killed_under_a_terminal_gives_75_and_the_terminal_back(
    node_box: NodeBox, terminals: list[Terminal]
) -> None:
    terminal = Terminal(node_box, "run", "--name", "c", "--", "cat")
    terminals.append(terminal)
    terminal.type(b"hello\r")
    terminal.expect(b"hello\r\nhello\r\n")
    node_box.kill_node()
    assert terminal.exit_code() == 75
    assert b"job c runs on; holdfast attach --from 14 c" in terminal.screen
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_a_killed_viewer_leaves_the_job_and_other_viewers_alone(node_box: NodeBox, terminals: list[Terminal]) -> None:
    first = Terminal(node_box, "run", "--name", "c", "--", "cat")
    terminals.append(first)
    first.type(b"one\r")
    first.expect(b"one\r\none\r\n")
    second = Terminal(node_box, "attach", "c")
    terminals.append(second)
    second.expect(b"one\r\none\r\n")
    first.child.kill()
    first.child.wait()
    second.type(b"two\r")
    second.expect(b"two\r\ntwo\r\n")


def test_a_viewer_that_is_told_to_end_leaves_the_terminal_as_it_was(
    node_box: NodeBox, terminals: list[Terminal]
) -> None:
    node_box.run("run", "-d", "-t", "--name", "c", "--", "cat")
    viewer = Terminal(node_box, "attach", "--detach-keys", "ctrl-p ctrl-q", "c")
    terminals.append(viewer)
    viewer.expect(b"ctrl-p ctrl-q detaches")
    wait_until(lambda: termios.tcgetattr(viewer.slave) != viewer.before, "the terminal is raw")
    viewer.child.send_signal(signal.SIGTERM)
    viewer.expect(b"told to end; job c runs on; holdfast attach --from 0 c")
    assert viewer.exit_code() == 128 + signal.SIGTERM
    assert termios.tcgetattr(viewer.slave) == viewer.before
    assert node_box.inspect("c")["state"] == "running"


def test_a_window_that_is_closed_ends_its_viewer_and_not_the_job(node_box: NodeBox) -> None:
    node_box.run("run", "-d", "-t", "--name", "c", "--", "cat")
    viewer = Terminal(node_box, "attach", "c")
    viewer.expect(b"detaches")
    wait_until(lambda: termios.tcgetattr(viewer.slave) != viewer.before, "the terminal is raw")
    viewer.close(kill=False)
    assert viewer.child.wait(PATIENCE_S) == 128 + signal.SIGHUP
    assert node_box.inspect("c")["state"] == "running"
