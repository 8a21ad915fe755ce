"""What a job is, as everyone who speaks of jobs sees it: the caller, the node, the store.

Plain frozen classes: they import without msgspec, and every field has a type that JSON can carry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

JobState = Literal["starting", "running", "draining", "done"]
"""``starting``: the keeper is being born.  ``running``: its command runs, or may.  ``draining``: the command has
ended, and not all of its output is in the node's log yet.  ``done``: it has ended, and its output is complete."""

DoneReason = Literal["", "exited", "terminated", "startup-error", "gone"]
"""``exited``: by itself.  ``terminated``: because we were asked to stop or kill it.  ``startup-error``: it never
ran.  ``gone``: its keeper died with it, or was lost; what was output before is kept."""

LinkState = Literal["disconnected", "connecting", "connected", "stalled"]
"""The node's link to the job's keeper, computed from what was acknowledged, never assumed."""

OnFull = Literal["block", "drop-oldest"]
"""What the keeper does when ring and spill are full: make the command wait, or lose the oldest bytes as a gap."""

STDOUT = 0
"""Tag of bytes from the terminal or from standard output."""
STDERR = 1
"""Tag of bytes from standard error of a job without a terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What to run, and how."""

    command: list[str]
    """Program and arguments; no shell is involved."""
    name: str = ""
    """Unique among the node's jobs until removed; empty: the id serves."""
    cwd: str = ""
    """Absolute directory to run in; empty: the node's owner's home."""
    env: dict[str, str] = field(default_factory=dict)
    """The command's whole environment; the node adds ``HOLDFAST_JOB`` and ``HOLDFAST_URL``."""
    tty: bool = True
    """Give the command a terminal; False: pipes, with standard error told apart."""
    rows: int = 24
    columns: int = 80
    umask: int = 0o022
    """The command's file mode mask, 0 to 0o777."""
    ulimits: dict[str, int] = field(default_factory=dict)
    """The command's soft resource limits by name, such as ``nofile``; -1: none.  The node's hard limits hold; what is
    not named is as the node has it."""
    on_full: OnFull = "block"
    channels: list[str] = field(default_factory=list)
    """Names of the channels to make with it; they close when it ends."""
    spill_bytes_max: int = 0
    """Cap of the keeper's spill on disk in bytes; 0: the node's limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Resources the command used, as the kernel counted them at its end."""

    user_s: float = 0.0
    system_s: float = 0.0
    rss_bytes_max: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """A job as it stands."""

    id: str
    name: str
    state: JobState
    done_reason: DoneReason = ""
    link: LinkState = "disconnected"
    command: list[str] = field(default_factory=list)
    cwd: str = ""
    tty: bool = True
    on_full: OnFull = "block"
    rows: int = 24
    columns: int = 80
    pid: int | None = None
    """Process id of the command; it never changes in a job's life.  None: none was started."""
    pid_started: float | None = None
    """Start time of ``pid`` in seconds since boot (Linux) or the epoch: guards against a reused pid."""
    keeper_pid: int | None = None
    keeper_started: float | None = None
    exit_code: int | None = None
    exit_signal: int | None = None
    error: str = ""
    """Why a startup-error or a gone job is so."""
    trouble: str = ""
    """What keeps the node from storing its output or from reaching its keeper, while it lasts."""
    created_at: float = 0.0
    """Seconds since the Unix epoch, as all times here."""
    started_at: float | None = None
    ended_at: float | None = None
    """When the command ended; None: it has not."""
    usage: Usage | None = None
    output_bytes: int = 0
    """Offset after the last byte of output that the node has, gaps included."""
    oldest_offset: int = 0
    """First offset that can still be read."""
    gap_bytes: int = 0
    """Bytes of output lost, all gaps together."""
    pending_bytes: int = 0
    """Bytes of output that wait at its keeper for the node to store them, as the keeper last told."""
    output_ended: bool = False
    """The output has ended and all of it is in the node's log."""
    viewers: int = 0
    stop_requested: bool = False
    channels: list[str] = field(default_factory=list)
    """Names of the channels made with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputStart:
    """Where an opened output stream begins and what is known of its end."""

    start_offset: int
    """First offset the stream gives."""
    oldest_offset: int
    tail_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InputReceipt:
    """How many input bytes were given to the command's terminal or pipe."""

    applied: bool
    queued_bytes: int = 0
    """Bytes still waiting in the keeper, because the command does not read."""
