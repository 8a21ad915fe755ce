"""A job's description from what a caller gave; shared by both clients."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from ..errors import UsageError
from ..jobs.model import JobSpec, OnFull


class JobOptions(TypedDict, total=False):
    """How a job is run; all of it optional."""

    name: str
    """Unique until the job is removed; without one the id serves."""
    cwd: str | os.PathLike[str]
    """Directory to run in; default: this process's own."""
    env: Mapping[str, str]
    """The whole environment; default: this process's own."""
    tty: bool
    """Give the command a terminal; default False: pipes, and its standard error is told apart."""
    rows: int
    columns: int
    """Size of the terminal, by default 24 x 80."""
    on_full: OnFull
    """When nobody takes the output and the spill is full: the command waits (``block``, the default), or the
    oldest output is lost as a counted gap (``drop-oldest``)."""
    spill_bytes_max: int
    """Undelivered output kept on disk at most, in bytes; default: the node's limit."""
    channels: Sequence[str]
    """Names of channels to make with the job, before its command starts; it is their executor."""


def make_spec(command: Sequence[str], **options: Unpack[JobOptions]) -> JobSpec:
    """The JobSpec for ``command``: in this process's directory and environment unless told otherwise.

    UsageError if ``command`` is one string: there is no shell to split it; if the current directory is gone; if
    a word, the directory or a variable is not UTF-8.
    """
    if isinstance(command, str):
        raise UsageError(
            'command: must be a list of arguments, like ["sh", "-c", "..."], not one string', field="command"
        )
    cwd = options.pop("cwd", None)
    env = options.pop("env", None)
    words = [os.fspath(part) for part in command]
    for place, word in enumerate(words):
        _check_text(word, f"command[{place}]")
    return JobSpec(
        command=words,
        cwd=_directory(cwd),
        env=_environment(os.environ if env is None else env),
        **{"tty": False, **options, "channels": list(options.get("channels", ()))},  # type: ignore[arg-type]
    )


def _directory(cwd: str | os.PathLike[str] | None) -> str:
    try:
        path = os.path.abspath(cwd or os.getcwd())
    except FileNotFoundError:
        raise UsageError("cwd: the current directory is gone; name another", field="cwd") from None
    return _check_text(path, "cwd")


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """Without our own credentials: the job has its own."""
    for name, value in env.items():
        _check_text(name, "env", f"variable {name!r} ")
        _check_text(value, "env", f"variable {name!r} ")
    return {name: value for name, value in env.items() if name not in ("HOLDFAST_TOKEN", "HOLDFAST_TOKEN_FILE")}


def _check_text(text: str, field: str, what: str = "") -> str:
    """``text``, unless it has bytes that are no UTF-8: it travels as JSON, which cannot hold them."""
    if not isinstance(text, str):
        raise UsageError(f"{field}: {what or repr(text) + ' '}is not text", field=field)
    if not is_utf8(text):
        raise UsageError(f"{field}: {what or repr(text) + ' '}is not UTF-8", field=field)
    return text


def is_utf8(text: str) -> bool:
    """False for what Python read from bytes that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def job_in(env: Mapping[str, str]) -> tuple[str, str | None]:
    """The id and the token of the job that ``env`` is the environment of.  UsageError if there is none."""
    job_id = env.get("HOLDFAST_JOB", "")
    if not job_id:
        raise UsageError("HOLDFAST_JOB is not set: this process is not part of a Holdfast job", field="HOLDFAST_JOB")
    return job_id, env.get("HOLDFAST_TOKEN")
