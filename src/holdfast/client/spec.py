"""A job's description from what a caller gave; shared by both clients."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ..errors import UsageError
from ..jobs.model import JobSpec, OnFull


def make_spec(
    command: Sequence[str],
    *,
    name: str = "",
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    tty: bool = False,
    rows: int = 24,
    columns: int = 80,
    on_full: OnFull = "block",
    spill_bytes_max: int = 0,
) -> JobSpec:
    """The JobSpec for ``command``: in this process's directory and environment unless told otherwise.

    UsageError if ``command`` is one string: there is no shell to split it.
    """
    if isinstance(command, str):
        raise UsageError(
            'command: must be a list of arguments, like ["sh", "-c", "..."], not one string', field="command"
        )
    return JobSpec(
        command=[os.fspath(part) for part in command],
        name=name,
        cwd=os.path.abspath(cwd if cwd is not None else os.getcwd()),
        env=dict(os.environ if env is None else env),
        tty=tty,
        rows=rows,
        columns=columns,
        on_full=on_full,
        spill_bytes_max=spill_bytes_max,
    )
