"""What of a job's description is refused, and with which words."""

from __future__ import annotations

import os
import signal

from ..errors import LimitExceeded, UsageError
from ..ids import check_name
from ..limits import Limits
from ..procinfo import SOFT_LIMITS, UNLIMITED
from .model import JobSpec

_PATH_BYTES_MAX = 4095  # PATH_MAX without its NUL
_UMASK_MAX = 0o777
_ULIMIT_MAX = (1 << 63) - 1
_SIDE_MAX = 65_535  # struct winsize holds unsigned shorts


def check_spec(spec: JobSpec, limits: Limits) -> JobSpec:
    """``spec`` itself; UsageError naming the field, or LimitExceeded naming the limit."""
    if not spec.command or not spec.command[0]:
        raise UsageError("spec.command: must name a program", field="spec.command")
    size = len(os.fsencode(spec.command[0]))
    if size > _PATH_BYTES_MAX:
        raise UsageError(
            f"spec.command: a program's name of {size} bytes, and a path has at most {_PATH_BYTES_MAX}",
            field="spec.command",
        )
    if spec.name:
        check_name(spec.name, "spec.name")
    _check_cwd(spec.cwd)
    for place, name in enumerate(spec.channels):
        check_name(name, f"spec.channels[{place}]")
    if len(set(spec.channels)) < len(spec.channels):
        raise UsageError("spec.channels: a name is there twice", field="spec.channels")
    _check_texts(spec)
    _check_size(spec, limits)
    check_window_size(spec.rows, spec.columns, "spec.")
    if not 0 <= spec.umask <= _UMASK_MAX:
        raise UsageError(f"spec.umask: {spec.umask} is not between 0 and {_UMASK_MAX} (0o777)", field="spec.umask")
    for name, value in spec.ulimits.items():
        if name not in SOFT_LIMITS or not UNLIMITED <= value <= _ULIMIT_MAX:
            known = ", ".join(SOFT_LIMITS)
            raise UsageError(f"spec.ulimits: {name}={value} is none of {known} from -1 on", field="spec.ulimits")
    if spec.spill_bytes_max < 0:
        raise UsageError(f"spec.spill_bytes_max: {spec.spill_bytes_max} is no size", field="spec.spill_bytes_max")
    if spec.spill_bytes_max > limits.spill_bytes_max:
        raise LimitExceeded(name="spill_bytes_max", limit=limits.spill_bytes_max, value=spec.spill_bytes_max)
    return spec


def _check_cwd(cwd: str) -> None:
    size = len(os.fsencode(cwd))
    if size > _PATH_BYTES_MAX:
        raise UsageError(f"spec.cwd: {size} bytes, and a path has at most {_PATH_BYTES_MAX}", field="spec.cwd")
    if cwd and not os.path.isabs(cwd):
        raise UsageError(f"spec.cwd: {cwd!r} is not an absolute path", field="spec.cwd")


def _check_texts(spec: JobSpec) -> None:
    for argument in spec.command:
        if "\0" in argument:
            raise UsageError("spec.command: an argument holds a NUL byte", field="spec.command")
    if "\0" in spec.cwd:
        raise UsageError("spec.cwd: holds a NUL byte", field="spec.cwd")
    for key, value in spec.env.items():
        if not key or "=" in key or "\0" in key or "\0" in value:
            raise UsageError(f"spec.env: {key!r} is not a valid variable, or its value holds NUL", field="spec.env")


def _check_size(spec: JobSpec, limits: Limits) -> None:
    size = sum(len(os.fsencode(part)) + 1 for part in spec.command)
    size += sum(len(os.fsencode(key)) + len(os.fsencode(value)) + 2 for key, value in spec.env.items())
    if size > limits.command_bytes_max:
        raise LimitExceeded(name="command_bytes_max", limit=limits.command_bytes_max, value=size)


def check_window_size(rows: int, columns: int, prefix: str = "") -> None:
    """UsageError unless both are 1 to 65,535."""
    for field, value in (("rows", rows), ("columns", columns)):
        if not 1 <= value <= _SIDE_MAX:
            raise UsageError(f"{prefix}{field}: {value} is not between 1 and {_SIDE_MAX}", field=prefix + field)


def signal_number(text: str) -> int:
    """The number of ``INT``, ``SIGINT``, ``int`` or ``2``; UsageError for no signal of this machine."""
    name = text.upper()
    try:
        if name.isascii() and name.isdigit():
            return int(signal.Signals(int(name)))
        return int(signal.Signals[name if name.startswith("SIG") else "SIG" + name])
    except (KeyError, ValueError):
        raise UsageError(f"signal: {text[:40]!r} is not a signal of this machine", field="signal") from None
