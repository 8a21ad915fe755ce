"""A progress bar on the terminal's error output: how much, how fast, how many failed."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from ...quantities import format_size
from ..jobs.terminal import stderr_is_tty, stdout_is_tty

_DRAW_S = 0.1


class Bar:
    """Prints results, and draws where it is worth it: on a terminal.  ``size_bytes``: of the input; 0: not known.

    Where results go to the same terminal they are printed above the bar.
    """

    def __init__(self, what: str, size_bytes: int, *, wanted: bool = True) -> None:
        self._what = what
        self._size_bytes = size_bytes
        self._wanted = wanted and stderr_is_tty()
        self.on_terminal = stdout_is_tty()
        """People read the results."""
        self._shared = self._wanted and self.on_terminal
        self._progress: Any = None
        self._task: Any = None
        self._began = time.monotonic()
        self._drawn_at = 0.0
        self._end = 0
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        if self._wanted:
            self._progress = _make_progress(known=bool(self._size_bytes))
            self._task = self._progress.add_task(self._what, total=self._size_bytes or None, done=0, rate="", failed="")
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        if self._progress is not None:
            self._progress.stop()

    def patience_s(self) -> float | None:
        """How long a turn may wait."""
        return _DRAW_S if self._progress is not None else None

    def print(self, line: str) -> None:
        """A line of the results."""
        self._lines.append(line)
        if len(self._lines) >= 500:
            self.flush()

    def complain(self, line: str) -> None:
        """A line on standard error, behind the results before it."""
        self.flush()
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stderr.write(f"{line}\n")

    def show(self, done: int, failed: int, end: int) -> None:
        """So much is done now, up to ``end`` bytes of the input."""
        self._end = max(self._end, end)
        now = time.monotonic()
        if now - self._drawn_at < _DRAW_S and not self._lines:
            return
        if not self._shared or now - self._drawn_at >= _DRAW_S:
            self.flush()
        if self._progress is None or now - self._drawn_at < _DRAW_S:
            return
        self._drawn_at = now
        rate = done / max(now - self._began, 1e-6)
        self._progress.update(
            self._task,
            completed=self._end if self._size_bytes else done,
            done=f"{done:,}",
            rate=f"{rate:,.0f}/s",
            failed=f"[red]{failed:,} failed[/red]" if failed else "",
            refresh=True,
        )

    def show_bytes(self, done_bytes: int, all_bytes: int) -> None:
        """So much of one large thing is done; 0 of ``all_bytes``: that is not known."""
        now = time.monotonic()
        if self._progress is None or (now - self._drawn_at < _DRAW_S and done_bytes != all_bytes):
            return
        self._drawn_at = now
        rate = format_size(done_bytes / max(now - self._began, 1e-6))
        total = all_bytes or None
        done = format_size(done_bytes)
        self._progress.update(self._task, total=total, completed=done_bytes, done=done, rate=f"{rate}/s", refresh=True)

    def flush(self) -> None:
        """Have the lines of the results out now."""
        if not self._lines:
            return
        text, self._lines = "\n".join(self._lines), []
        if self._shared and self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()


def _make_progress(*, known: bool) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    how_far: list[Any] = (
        [BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn()] if known else [SpinnerColumn()]
    )
    return Progress(
        TextColumn("{task.description}"),
        *how_far,
        TextColumn("{task.fields[done]}"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[failed]}"),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
