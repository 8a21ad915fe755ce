"""The test kit: a real node in directories of its own, driven by the real command line.

::

    with NodeBox.temporary() as box:
        box.start_node()
        box.run("run", "--", "echo", "hi")

Everything started in a box is ended with it, by pid; nothing outside it is touched.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .procinfo import process_alive

PATIENCE_S = 60.0
"""A hang guard for waits on other processes; no test is about how long anything takes."""


def wait_until(true: Callable[[], Any], what: str) -> Any:
    """Poll another process's state until ``true()`` is; fails naming ``what`` if it never is."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        value = true()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"never came true: {what}")


class NodeBox:
    """One user's world: state, runtime, node, jobs.  Everything started in it is ended with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state_dir = directory / "state"
        self.runtime_dir = directory / "run"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HOLDFAST_")}
        self.env = {
            **clean,
            "HOLDFAST_STATE_DIR": str(self.state_dir),
            "HOLDFAST_RUNTIME_DIR": str(self.runtime_dir),
            "HOME": str(directory),
        }
        self.url = f"unix://{self.runtime_dir}/node.sock"
        self.node: subprocess.Popen[bytes] | None = None
        self._children: list[subprocess.Popen[bytes]] = []

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator[NodeBox]:
        """A box in a fresh directory that goes with it."""
        with tempfile.TemporaryDirectory(prefix="hf-", ignore_cleanup_errors=True) as name:
            made = cls(Path(name))
            try:
                yield made
            finally:
                made.close()

    def command(self, *arguments: str) -> list[str]:
        """The argument vector of one ``holdfast`` command."""
        return [sys.executable, "-m", "holdfast", *arguments]

    def run(
        self, *arguments: str, input: bytes = b"", code: int | None = 0, timeout_s: float = PATIENCE_S
    ) -> subprocess.CompletedProcess[bytes]:
        """One command to its end; its exit code must be ``code`` (None: any)."""
        done = subprocess.run(
            self.command(*arguments), env=self.env, input=input, capture_output=True, timeout=timeout_s, check=False
        )
        if code is not None and done.returncode != code:
            raise AssertionError(f"{arguments}: exit {done.returncode}, not {code}\n{done.stdout!r}\n{done.stderr!r}")
        return done

    def spawn(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """A command in the background."""
        child = subprocess.Popen(self.command(*arguments), env=self.env, **options)
        self._children.append(child)
        return child

    def start_node(self, *options: str, ready: bool = True) -> subprocess.Popen[bytes]:
        """``holdfast serve OPTIONS`` as our child; back when it answers."""
        self.state_dir.mkdir(mode=0o700, exist_ok=True)
        with (self.directory / "node.err").open("ab") as errors:
            self.node = self.spawn("serve", *options, stderr=errors)
        if ready:
            try:
                wait_until(self._node_answers, "the node answers")
            except AssertionError as error:
                error.add_note(f"node.err: {(self.directory / 'node.err').read_text(errors='replace')[-4000:]}")
                raise
        return self.node

    def _node_answers(self) -> bool:
        assert self.node is not None
        if self.node.poll() is not None:
            raise AssertionError(f"the node ended with {self.node.returncode}")
        found = json.loads(self.run("version", "-o", "json").stdout)["node"]
        return found is not None and found["pid"] == self.node.pid

    def listening(self, scheme: str) -> str:
        """The first address of the running node that begins so."""
        found = json.loads(self.run("version", "-o", "json").stdout)["node"]["listening"]
        return next(str(url) for url in found if url.startswith(f"{scheme}://"))

    def kill_node(self) -> None:
        """SIGKILL, as a crash would."""
        assert self.node is not None
        self.node.kill()
        self.node.wait()

    def inspect(self, job: str) -> dict[str, Any]:
        """``holdfast inspect`` as a dict."""
        info: dict[str, Any] = json.loads(self.run("inspect", job).stdout)
        return info

    def close(self) -> None:
        """End every process of this box."""
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    stream.close()
        self._end_background_node()
        for note in self.runtime_dir.glob("jobs/*/keeper.json"):
            self._end_keeper(json.loads(note.read_text()))

    def _end_background_node(self) -> None:
        """A node that a command started by itself; there is none to find where the places are unusable."""
        done = self.run("version", "-o", "json", code=None)
        found = json.loads(done.stdout)["node"] if done.returncode == 0 else None
        if found is not None:
            os.kill(found["pid"], signal.SIGKILL)

    def _end_keeper(self, note: dict[str, Any]) -> None:
        if process_alive(note["keeper_pid"], note["keeper_started"]):
            os.kill(note["keeper_pid"], signal.SIGKILL)
        if process_alive(note["pid"], note["pid_started"]):
            os.killpg(note["pid"], signal.SIGKILL)
