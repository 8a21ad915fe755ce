"""What the commands share: reaching the node, naming jobs, formats, sizes and times."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import HoldfastError, NotFound, UsageError
from ..quantities import parse_duration

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..client.jobs.sync import SyncJob
    from ..client.sync import SyncNode
    from ..jobs.model import JobInfo
    from ..rpc.blocking.connection import BlockingConnection
    from ..status.model import NodeInfo

F = TypeVar("F", bound=Callable[..., Any])


def reach_node(*, autostart: bool = True, reconnect_s: float = 0.0) -> SyncNode:
    """The user's node, started in the background if none runs: after a crash that is how jobs are found again."""
    from ..client.sync import connect_sync

    return connect_sync(autostart=autostart, reconnect_s=reconnect_s)


def payload_of(words: Iterable[str]) -> bytes:
    """Words of the command line, joined by spaces: the bytes that were typed, be they UTF-8 or not."""
    return os.fsencode(" ".join(words))


class JobName(click.ParamType[str]):
    """A job by name, id or prefix; completes to the names and ids the node knows."""

    name = "job"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Candidates from the running node; none if none runs."""
        try:
            with reach_node(autostart=False) as node:
                infos = [job.info for job in node.jobs.list()]
        except HoldfastError:
            return []
        from click.shell_completion import CompletionItem

        candidates = [(info.name or info.id, " ".join(info.command)) for info in infos]
        return [CompletionItem(name, help=about) for name, about in candidates if name.startswith(incomplete)]


JOB = JobName()

RUNNING = ("starting", "running")
"""States of a job that has not ended."""


class CommandWord(click.types.UnprocessedParamType):
    """A word of the command to run, passed on as it is: completes to programs first, then to files."""

    name = "command"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Programs on the path for the first word; for a path, and for every other word, the shell's own files."""
        from click.shell_completion import CompletionItem

        if ctx.params.get(param.name or "") or "/" in incomplete:
            return [CompletionItem(incomplete, type="file")]
        found = set()
        for directory in os.get_exec_path():
            try:
                with os.scandir(directory) as entries:
                    found |= {entry.name for entry in entries if entry.name.startswith(incomplete)}
            except OSError:
                continue
        return [CompletionItem(name) for name in sorted(found)]


COMMAND = CommandWord()


class Key(click.ParamType[str]):
    """A key by name."""

    name = "key"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of keys."""
        from .jobs.keys import KEY_NAMES

        return _completions(KEY_NAMES, incomplete)


KEY = Key()


class Signal(click.ParamType[str]):
    """A signal by name or number; which there are is for the job's machine to say."""

    name = "signal"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of this machine's signals, with SIG if it was typed."""
        from signal import Signals

        names = [one.name for one in Signals]
        if not incomplete.upper().startswith("SIG"):
            names = [name.removeprefix("SIG") for name in names]
        return _completions(names, incomplete)


SIGNAL = Signal()


def _completions(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem  # for the shell's sake only, not on the way of each command

    return [CompletionItem(name) for name in names if name.lower().startswith(incomplete.lower())]


class Duration(click.ParamType[float]):
    """Seconds, or a number with ms, s, m, h or d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse_duration(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()


class Whole(click.ParamType[int]):
    """A whole number that is ``what``, at least ``least``; refused in words that say so, not that it is no integer."""

    name = "integer"

    def __init__(self, what: str, least: int = 0) -> None:
        self._what = what
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        try:
            number = int(value)
        except ValueError:
            number = self._least - 1
        if number < self._least:
            self.fail(f"{value!r} is not {self._what}: a whole number from {self._least} on", param, ctx)
        return number


def format_option(*formats: str) -> Callable[[F], F]:
    """``-o``, with the given formats; the first is the default."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="How to print the result.",
    )


def info_as_dict(info: JobInfo | NodeInfo) -> dict[str, Any]:
    """A model with all its fields as plain builtins, ready for JSON."""
    from dataclasses import asdict

    return asdict(info)


def print_json(value: Any) -> None:
    """One indented JSON document."""
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_lines(values: Iterable[Any]) -> None:
    """One compact JSON object a line."""
    import json

    for value in values:
        click.echo(json.dumps(value, ensure_ascii=False))


class JsonArray:
    """JSON values that come one by one, as one array with a value on each line; ``put`` prints a line."""

    def __init__(self, put: Callable[[str], object]) -> None:
        self._put = put
        self._mark = "["

    def add(self, text: str) -> None:
        """One more value, which is JSON already."""
        self._put(self._mark + text)
        self._mark = ","

    def end(self) -> None:
        """That was all."""
        self._put("[]" if self._mark == "[" else "]")


def print_table(head: tuple[str, ...], rows: list[tuple[str, ...]], *, right: frozenset[int] = frozenset()) -> None:
    """Columns two spaces apart; those in ``right`` aligned to the right.  The last one is never padded."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    for row in [head, *rows]:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def age_text(since: float) -> str:
    """How long ago ``since`` (seconds since the epoch) was: ``45s``, ``12m``, ``3h``, ``5d``."""
    seconds = max(0, int(time.time() - since))
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // divisor}{unit}"
    return f"{seconds // 86_400}d"


def state_text(info: JobInfo) -> str:
    """The state as a person reads it: ``running``, ``exited 0``, ``killed 9``, ``gone``; in brackets what is odd."""
    if info.state in ("draining", "done"):
        return f"{ending_text(info)} (draining)" if info.state == "draining" else ending_text(info)
    return info.state if info.link == "connected" else f"{info.state} ({info.link})"


def ending_text(info: JobInfo) -> str:
    """How the command ended: ``exited 0``, ``killed 9``, ``gone``."""
    if info.exit_signal is not None:
        return f"killed {info.exit_signal}"
    if info.exit_code is not None:
        return f"exited {info.exit_code}"
    return info.done_reason


def check_not_removed(connection: BlockingConnection, job: SyncJob) -> None:
    """The job's output broke off.  NotFound if the link is well and the job is what is gone."""
    if connection.closed_by is None:
        try:
            job.refresh()
        except NotFound:
            raise NotFound(f"job {job.name or job.id} was removed", kind="job", name=job.id) from None


def exit_code_of_job(info: JobInfo) -> int:
    """What a command that stands for the job exits with: its own code, 128+n for signal n, 125 if it has none."""
    if info.exit_signal is not None:
        return 128 + info.exit_signal
    if info.exit_code is not None:
        return info.exit_code
    return 125
