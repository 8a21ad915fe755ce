"""The main job, end to end: everything around a running command dies, and not one line of its output is lost.

Runs the installed ``holdfast`` command in a temporary directory, with its own node; touches nothing of yours.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LINES = 4_000
HOLDFAST = [sys.executable, "-m", "holdfast"]
PROGRAM = f"""
import time
for number in range(1, {LINES} + 1):
    print(f"line {{number}}", flush=True)
    time.sleep(0.002)
"""


def say(words: str) -> None:
    """Tell what was done."""
    print(f"  {words}", flush=True)


def holdfast(*arguments: str) -> str:
    """Run one command and give what it printed."""
    done = subprocess.run([*HOLDFAST, *arguments], check=True, stdout=subprocess.PIPE, timeout=60)
    return done.stdout.decode()


def inspect() -> dict[str, Any]:
    """All that is known of the job."""
    info: dict[str, Any] = json.loads(holdfast("inspect", "demo"))
    return info


def start_node() -> subprocess.Popen[bytes]:
    """A node as our own child, so that we know its pid and may kill it."""
    node = subprocess.Popen([*HOLDFAST, "serve"], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        asked = subprocess.run([*HOLDFAST, "version", "-o", "json"], check=True, stdout=subprocess.PIPE)
        found = json.loads(asked.stdout)["node"]
        if found is not None and found["pid"] == node.pid:
            return node
        time.sleep(0.05)
    raise SystemExit("the node did not become ready")


def watch_until(path: Path, lines: int) -> int:
    """Follow the job into ``path`` as a separate viewer, kill it with SIGKILL after ``lines`` lines; bytes seen."""
    with path.open("wb") as file:
        viewer = subprocess.Popen([*HOLDFAST, "logs", "--follow", "demo"], stdout=file)
        while path.read_bytes().count(b"\n") < lines:
            time.sleep(0.02)
        viewer.kill()
        viewer.wait()
    return path.stat().st_size


def play(directory: Path) -> None:
    """The whole story."""
    node = start_node()
    say(f"node started                        pid {node.pid}")
    holdfast("run", "-d", "-T", "--name", "demo", "--", sys.executable, "-c", PROGRAM)
    before = inspect()
    say(f"job started: {LINES} numbered lines    pid {before['pid']}, keeper {before['keeper_pid']}")

    first = directory / "first"
    seen = watch_until(first, 300)
    say(f"viewer killed with SIGKILL          it had {seen} bytes")

    node.send_signal(signal.SIGKILL)
    node.wait()
    say("node killed with SIGKILL            the job prints on, nobody listens")
    time.sleep(1.5)
    node = start_node()
    after = inspect()
    say(f"node started again                  pid {node.pid}")
    if after["pid"] != before["pid"]:
        raise SystemExit(f"the job's pid changed: {before['pid']} -> {after['pid']}")
    say(f"same job, same process              pid {after['pid']}, state {after['state']}")

    rest = holdfast("logs", "--follow", "--from", str(seen), "demo")
    lines = (first.read_bytes().decode() + rest).splitlines()
    if lines != [f"line {number}" for number in range(1, LINES + 1)]:
        raise SystemExit(f"the output is not what was printed: {len(lines)} lines, expected {LINES}")
    code = holdfast("wait", "demo").strip()
    final = inspect()
    say(f"reattached at byte {seen:<16} got the rest: {len(rest)} bytes")
    say(f"proved: {len(lines)} lines, each once, in order; gap {final['gap_bytes']} bytes; exit code {code}")
    holdfast("rm", "demo")
    node.terminate()
    node.wait(30)


def main() -> None:
    """Play it in places of its own."""
    print("holdfast demo: kill the viewer, kill the node, lose nothing")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hf-") as name:
        os.environ["HOLDFAST_STATE_DIR"] = f"{name}/state"
        os.environ["HOLDFAST_RUNTIME_DIR"] = f"{name}/run"
        os.environ.pop("HOLDFAST_URL", None)
        play(Path(name))
    print(f"success in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
