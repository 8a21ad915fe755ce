"""Starting a node in the background when none answers, as tmux does."""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from ..errors import BusyError, DeadlineExceeded, StorageError, from_wire
from ..paths import Places, make_private_dir

START_S = 20.0
"""How long a node may take to be ready; it reconciles ten thousand jobs in two."""

_RIVAL_S = 10.0
"""How long a directory may be held by a node that does not answer: one that starts, or one that drains its calls."""
_RIVAL_CHECK_S = 1.0
"""After so long without an answer our own node is tried again: the other may have ended."""
_PROBE_S = 0.02

_NODE_READY_FD = 3


def start_node(places: Places, options: Sequence[str] = ()) -> dict[str, Any]:
    """Start ``holdfast serve OPTIONS`` detached from this process and wait until it is ready; what it says then.

    Another process that starts one at the same moment is no error: one of the two nodes wins, both callers
    get it, and one hears nothing.  The same for one that was about to end: ours is tried again.  Raises what
    kept the node from starting: BusyError if who holds the directory answers nowhere, DeadlineExceeded after
    ``START_S``.  Blocks.
    """
    until = time.monotonic() + _RIVAL_S
    while True:
        try:
            return _start_once(places, options)
        except BusyError:
            if _answers_within(places.socket_path, _RIVAL_CHECK_S):
                return {}
            if time.monotonic() > until:
                raise


def _start_once(places: Places, options: Sequence[str]) -> dict[str, Any]:
    make_private_dir(places.state_dir)
    read_fd, write_fd = os.pipe()
    try:
        _spawn(places, write_fd, options)
    finally:
        os.close(write_fd)
    try:
        answer = _read_line(read_fd, time.monotonic() + START_S, places.log_path)
    finally:
        os.close(read_fd)
    if answer.get("ok"):
        return answer
    raise from_wire(answer["error"])


def _answers_within(socket_path: str, patience_s: float) -> bool:
    """Whether somebody listens there by then."""
    until = time.monotonic() + patience_s
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(socket_path)
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > until:
                    return False
            else:
                return True
        time.sleep(_PROBE_S)


def _spawn(places: Places, ready_fd: int, options: Sequence[str]) -> None:
    """Spawn ``holdfast serve --background``, which goes to the background by itself, and reap what it leaves."""
    arguments = [sys.executable, "-m", "holdfast", "serve", "--background", "--ready-fd", str(_NODE_READY_FD), *options]
    environment = {
        **os.environ,
        "HOLDFAST_STATE_DIR": places.state_dir,
        "HOLDFAST_RUNTIME_DIR": places.runtime_dir,
        "HOLDFAST_URL": places.url,
    }
    actions = [
        (os.POSIX_SPAWN_DUP2, ready_fd, _NODE_READY_FD),
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, places.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    child = os.posix_spawn(sys.executable, arguments, environment, file_actions=actions)
    os.waitpid(child, 0)


def _read_line(fd: int, until: float, log_path: str) -> dict[str, Any]:
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([fd], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise DeadlineExceeded(phase="start of a node", after_s=START_S)
        part = os.read(fd, 65_536)
        if not part:
            raise StorageError(f"the node ended while it was starting; see {log_path}")
        line += part
    answer: dict[str, Any] = json.loads(line)
    return answer
