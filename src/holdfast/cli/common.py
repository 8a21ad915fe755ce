"""What the commands share: reaching the node, naming jobs, formats, sizes and times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..errors import HoldfastError, UsageError

if TYPE_CHECKING:
    from ..client.sync import SyncNode
    from ..jobs.model import JobInfo
    from ..status.model import NodeInfo

F = TypeVar("F", bound=Callable[..., Any])


def reach_node(*, autostart: bool = False) -> SyncNode:
    """The user's node.  Only commands that start jobs start a node; the others find none and say so."""
    from ..client.sync import connect_sync

    return connect_sync(autostart=autostart, reconnect_s=0.0)


class JobName(click.ParamType[str]):
    """A job by name, id or prefix; completes to the names and ids the node knows."""

    name = "job"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Candidates from the running node; none if none runs."""
        try:
            with reach_node() as node:
                infos = [job.info for job in node.jobs.list()]
        except HoldfastError:
            return []
        candidates = [(info.name or info.id, " ".join(info.command)) for info in infos]
        return [CompletionItem(name, help=about) for name, about in candidates if name.startswith(incomplete)]


JOB = JobName()


class Duration(click.ParamType[float]):
    """Seconds, or a number with ms, s, m, h or d."""

    name = "duration"
    _UNITS = (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        number, factor = value, 1.0
        for suffix, unit_s in self._UNITS:
            if value.endswith(suffix):
                number, factor = value[: -len(suffix)], unit_s
                break
        try:
            seconds = float(number) * factor
        except ValueError:
            self.fail(f"{value!r} is not a duration such as 10, 1.5s, 200ms, 5m or 2h", param, ctx)
        if not 0 <= seconds < float("inf"):
            self.fail(f"{value!r} is negative or endless", param, ctx)
        return seconds


DURATION = Duration()


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


def print_table(head: tuple[str, ...], rows: list[tuple[str, ...]], *, right: frozenset[int] = frozenset()) -> None:
    """Columns two spaces apart; those in ``right`` aligned to the right.  The last one is never padded."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    for row in [head, *rows]:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def size_text(count: int) -> str:
    """``1.5 MiB`` and the like."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


_SIZE_UNITS = {
    "": 1,
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "K": 1024,
    "M": 1024**2,
    "G": 1024**3,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
}


def to_bytes(text: str, field: str) -> int:
    """``64KiB``, ``1GB``, ``4096`` in bytes; UsageError naming ``field``."""
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = text.strip()[len(number) :].strip().upper()
    try:
        return int(float(number) * _SIZE_UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise UsageError(f"{field}: {text!r} is not a size such as 4096, 64KiB or 1GB", field=field) from None


def age_text(since: float) -> str:
    """How long ago ``since`` (seconds since the epoch) was: ``45s``, ``12m``, ``3h``, ``5d``."""
    seconds = max(0, int(time.time() - since))
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // divisor}{unit}"
    return f"{seconds // 86_400}d"


def state_text(info: JobInfo) -> str:
    """The state as a person reads it: ``running``, ``exited 0``, ``killed 9``, ``gone``."""
    if info.state != "done":
        return info.state if info.link in ("connected", "stalled") else f"{info.state} ({info.link})"
    if info.exit_signal is not None:
        return f"killed {info.exit_signal}"
    if info.exit_code is not None:
        return f"exited {info.exit_code}"
    return info.done_reason


def exit_code_of_job(info: JobInfo) -> int:
    """What a command that stands for the job exits with: its own code, 128+n for signal n, 125 if it has none."""
    if info.exit_signal is not None:
        return 128 + info.exit_signal
    if info.exit_code is not None:
        return info.exit_code
    return 125
