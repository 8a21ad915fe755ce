"""The birth certificate: all a keeper is told about its job, on its standard input, once.

Written by the node, read by the keeper, both through this file.  It carries the job's secret, so it never
appears in argv, an environment, a log or a file; its ``repr`` leaves the secret out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import UsageError
from ...limits import LIMITS

SECRET_BYTES = 32
SIDE_MAX = 65_535
"""A terminal's rows and columns are 16-bit numbers in the kernel."""


class Certificate(NamedTuple):
    """What to run and how to keep it; the keeper has no other configuration."""

    job: str
    secret: bytes
    """32 bytes that node and keeper prove to each other, without sending them."""
    command: list[str]
    runtime_dir: str
    """This job's own directory, made with mode 0700: ``keeper.sock``, ``keeper.json``, ``keeper.log``."""
    spill_dir: str
    """This job's own directory for output no node has taken yet, made with mode 0700."""
    env: dict[str, str] = {}  # noqa: RUF012 - a NamedTuple's default is never changed
    """The command's whole environment."""
    cwd: str = "/"
    tty: bool = True
    rows: int = 24
    columns: int = 80
    on_full: str = "block"
    """``block`` or ``drop-oldest``: what happens to output when ring and spill are full."""
    ring_bytes: int = LIMITS.ring_bytes
    spill_bytes_max: int = LIMITS.spill_bytes_max
    spill_segment_bytes: int = LIMITS.spill_segment_bytes
    retention_s: float = LIMITS.keeper_retention_s
    """How long the keeper waits for a node once the command ended."""
    grace_s: float = LIMITS.stop_grace_s
    """From TERM to KILL when the keeper itself is told to end."""
    input_items_max: int = LIMITS.input_items_max
    input_bytes_max: int = LIMITS.input_bytes_max
    input_hold_s: float = LIMITS.input_hold_s
    handshake_s: float = LIMITS.handshake_s
    umask: int = 0o022
    """The command's file mode mask; the keeper's own is 077."""
    ulimits: dict[str, int] = {}  # noqa: RUF012 - as above
    """The command's soft resource limits by name; -1: none."""

    def __repr__(self) -> str:
        return f"Certificate(job={self.job!r}, command={self.command!r}, secret=...)"


def encode(certificate: Certificate) -> bytes:
    """``certificate`` as the JSON bytes that :func:`decode` reads."""
    body = certificate._asdict()
    body["secret"] = certificate.secret.hex()
    return json.dumps(body, separators=(",", ":")).encode()


def decode(data: bytes) -> Certificate:
    """The certificate in ``data``.

    Raises UsageError, naming the field, for anything missing, unknown, of the wrong type or out of range.
    The message never shows a value of the field ``secret``.
    """
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"certificate: not JSON: {type(error).__name__}", field="certificate") from None
    if not isinstance(body, dict):
        raise UsageError("certificate: must be an object", field="certificate")
    for name in body:
        if name not in _CHECKS:
            raise UsageError(f"{name}: no such field", field=str(name))
    for name in Certificate._fields:
        if name not in body:
            if name not in Certificate._field_defaults:
                raise UsageError(f"{name}: missing", field=name)
        else:
            body[name] = _CHECKS[name](name, body[name])
    return Certificate(**body)


_SIZE_MAX = 1 << 50
_SECONDS_MAX = 1 << 50


def _refuse(name: str, wanted: str) -> UsageError:
    return UsageError(f"{name}: must be {wanted}", field=name)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise _refuse(name, "text without NUL")
    return value


def _job(name: str, value: Any) -> str:
    if not _text(name, value):
        raise _refuse(name, "a job id")
    return str(value)


def _secret(name: str, value: Any) -> bytes:
    try:
        secret = bytes.fromhex(value)
    except (TypeError, ValueError):
        raise _refuse(name, f"{SECRET_BYTES} bytes in hexadecimal") from None
    if len(secret) != SECRET_BYTES:
        raise _refuse(name, f"{SECRET_BYTES} bytes in hexadecimal")
    return secret


def _command(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        raise _refuse(name, "a list of at least one text")
    for place, part in enumerate(value):
        _text(f"{name}[{place}]", part)
    if not value[0]:
        raise UsageError(f"{name}[0]: must not be empty", field=f"{name}[0]")
    return value


def _environment(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _refuse(name, "an object of texts")
    for key, text in value.items():
        if not key or "=" in key or "\0" in key:
            raise UsageError(f"{name}: {key!r} is no name of a variable", field=name)
        _text(f"{name}.{key}", text)
    return value


def _ulimits(name: str, value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        raise _refuse(name, "an object of whole numbers")
    check = _integer(-1, (1 << 63) - 1)
    return {key: check(f"{name}.{key}", number) for key, number in value.items()}


def _directory(name: str, value: Any) -> str:
    if not _text(name, value).startswith("/"):
        raise _refuse(name, "an absolute path")
    return str(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse(name, "true or false")
    return value


def _policy(name: str, value: Any) -> str:
    if value not in ("block", "drop-oldest"):
        raise _refuse(name, "block or drop-oldest")
    return str(value)


def _integer(low: int, high: int) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _refuse(name, f"a whole number from {low} to {high}")
        return value

    return check


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _SECONDS_MAX:
        raise _refuse(name, f"a number of seconds from 0 to {_SECONDS_MAX}")
    return float(value)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "job": _job,
    "secret": _secret,
    "command": _command,
    "runtime_dir": _directory,
    "spill_dir": _directory,
    "env": _environment,
    "cwd": _directory,
    "tty": _flag,
    "rows": _integer(0, SIDE_MAX),
    "columns": _integer(0, SIDE_MAX),
    "on_full": _policy,
    "ring_bytes": _integer(1, _SIZE_MAX),
    "spill_bytes_max": _integer(0, _SIZE_MAX),
    "spill_segment_bytes": _integer(1, _SIZE_MAX),
    "retention_s": _seconds,
    "grace_s": _seconds,
    "input_items_max": _integer(1, _SIZE_MAX),
    "input_bytes_max": _integer(1, _SIZE_MAX),
    "input_hold_s": _seconds,
    "handshake_s": _seconds,
    "umask": _integer(0, 0o777),
    "ulimits": _ulimits,
}
assert set(_CHECKS) == set(Certificate._fields)
