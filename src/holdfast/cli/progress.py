"""How far a long transfer is, for who looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int], None]
"""Is told how many bytes are done."""

SHOWN_FROM_BYTES = 1 << 20
"""Fewer are done before a bar is read."""


@contextmanager
def transfer_bar(total_bytes: int, done_bytes: int = 0) -> Iterator[Progress]:
    """A bar on standard error for ``total_bytes``; nothing if they are few, or if that is no terminal."""
    if total_bytes - done_bytes < SHOWN_FROM_BYTES or not sys.stderr.isatty():
        yield lambda _done_bytes: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total_bytes, completed=done_bytes)
        yield lambda done_bytes: bar.update(task, completed=done_bytes)
