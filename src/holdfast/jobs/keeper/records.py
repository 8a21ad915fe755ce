"""What a keeper writes down about itself: ``keeper.json`` at birth, ``final.json`` if it leaves unasked.

Neither holds the job's secret.  Shared with the node, which reads them when the keeper does not answer.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from ...procinfo import process_start_time

SOCKET = "keeper.sock"
LOG = "keeper.log"
BIRTH = "keeper.json"
FINAL = "final.json"


class BirthReceipt(NamedTuple):
    """Who was born: a pid and its start time are what tell a process from a later one of the same pid."""

    keeper_pid: int
    keeper_started: float
    pid: int
    """The command's process, which is also its process group and session."""
    pid_started: float
    started_at: float
    """Seconds since the Unix epoch."""


class ExitRecord(NamedTuple):
    """How the command ended."""

    exit_code: int | None
    exit_signal: int | None
    ended_at: float
    reason: str
    """``exited``: by itself; ``terminated``: because the keeper was asked to end it."""
    user_s: float = 0.0
    system_s: float = 0.0
    rss_bytes_max: int = 0

    def to_wire(self) -> dict[str, Any]:
        """The JSON form, usage in an object of its own."""
        return {
            "exit_code": self.exit_code,
            "exit_signal": self.exit_signal,
            "ended_at": self.ended_at,
            "reason": self.reason,
            "usage": {"user_s": self.user_s, "system_s": self.system_s, "rss_bytes_max": self.rss_bytes_max},
        }


class FinalState(NamedTuple):
    """What was left when the keeper went without having been released."""

    job: str
    exit: dict[str, Any] | None
    """The exit record's JSON form; None if the command's end was not seen."""
    head: int
    """Offset of the oldest byte of output kept in the spill directory."""
    total: int
    """Offset after the last byte of output."""
    complete: bool
    """Whether all of ``[head, total)`` is in the spill directory."""


def birth_receipt(pid: int, started_at: float) -> BirthReceipt:
    """The receipt for the command ``pid``, with the calling process as its keeper."""
    keeper_pid = os.getpid()
    return BirthReceipt(keeper_pid, process_start_time(keeper_pid), pid, process_start_time(pid), started_at)


def write_birth(runtime_dir: str, job: str, receipt: BirthReceipt) -> None:
    """Write ``keeper.json``, atomically.  After this the command may run; before, it certainly does not."""
    path = os.path.join(runtime_dir, BIRTH)
    _write(path + ".new", {"job": job, **receipt._asdict()})
    os.replace(path + ".new", path)


def read_birth(runtime_dir: str) -> BirthReceipt | None:
    """Who was born in ``runtime_dir``; None: nobody, and no command was started there."""
    body = _read(os.path.join(runtime_dir, BIRTH))
    if body is None:
        return None
    return BirthReceipt(**{name: body[name] for name in BirthReceipt._fields})


def write_final(runtime_dir: str, final: FinalState) -> None:
    """Write ``final.json``, atomically, and flushed to disk: nobody will be there to write it again."""
    path = os.path.join(runtime_dir, FINAL)
    _write(path + ".new", final._asdict(), sync=True)
    os.replace(path + ".new", path)


def read_final(runtime_dir: str) -> FinalState | None:
    """What the keeper of ``runtime_dir`` wrote when it left; None if it did not, or if that was destroyed."""
    try:
        body = _read(os.path.join(runtime_dir, FINAL)) or {}
        return FinalState(**{name: body[name] for name in FinalState._fields})
    except (ValueError, LookupError, TypeError):
        return None


def _write(path: str, body: dict[str, Any], *, sync: bool = False) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(body, separators=(",", ":")).encode())
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            body: dict[str, Any] = json.loads(file.read())
    except FileNotFoundError:
        return None
    return body
