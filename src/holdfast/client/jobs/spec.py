"""A job's description from what a caller gave; shared by both clients."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from ...errors import UsageError
from ...jobs.model import JobSpec, OnFull
from ...procinfo import own_soft_limits, own_umask


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
    umask: int
    """File mode mask of the command; default: this process's own."""
    ulimits: Mapping[str, int]
    """Soft resource limits of the command by name, such as ``nofile``; -1: none.  Default: this process's own."""
    on_full: OnFull
    """When nobody takes the output and the spill is full: the command waits (``block``, the default), or the
    oldest output is lost as a counted gap (``drop-oldest``)."""
    spill_bytes_max: int
    """Undelivered output kept on disk at most, in bytes; default: the node's limit."""
    channels: Sequence[str]
    """Names of channels to make with the job, before its command starts; it is their executor."""


def make_spec(command: Sequence[str], **options: Unpack[JobOptions]) -> JobSpec:
    """The JobSpec for ``command``; where it does not say otherwise, it is run as this process is.

    That is in its directory, with its environment, umask and soft resource limits.  TypeError for an unknown
    option.  UsageError if ``command`` is one string: there is no shell to split it; if the current directory is
    gone; if a word, the directory or a variable is not UTF-8.
    """
    if isinstance(command, str):
        raise UsageError(
            'command: must be a list of arguments, like ["sh", "-c", "..."], not one string', field="command"
        )
    if isinstance(options.get("channels"), str):
        raise UsageError('channels: must be a list of names, like ["steer"], not one string', field="channels")
    for name in options:
        if name not in JobOptions.__annotations__:
            known = ", ".join(JobOptions.__annotations__)
            raise TypeError(f"start() got an unexpected keyword argument {name!r}; it takes {known}")
    cwd = options.pop("cwd", None)
    env = options.pop("env", None)
    words = [os.fspath(part) for part in command]
    for place, word in enumerate(words):
        _check_text(word, f"command[{place}]")
    return JobSpec(
        command=words,
        cwd=_directory(cwd),
        env=_environment(os.environ if env is None else env),
        **{  # type: ignore[arg-type]
            "tty": False,
            "umask": own_umask(),
            **options,
            "ulimits": dict(options["ulimits"]) if "ulimits" in options else own_soft_limits(),
            "channels": list(options.get("channels", ())),
        },
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


def signal_text(signal: str | int) -> str:
    """How a signal travels: its name, or its number in digits."""
    return str(int(signal)) if isinstance(signal, int) else signal
