"""What the commands under ``holdfast stream`` share: paths, positions, times."""

from __future__ import annotations

import time
from typing import Any

import click
from click.shell_completion import CompletionItem

from ...errors import HoldfastError
from ..common import reach_node

RECONNECT_S = 60.0
"""How long who appends or follows waits for a node that restarts."""


class StreamPath(click.ParamType[str]):
    """A stream's path; completes to those the node knows."""

    name = "path"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Candidates from the running node, the first so many; none if none runs."""
        try:
            with reach_node(autostart=False) as node:
                return [CompletionItem(info.path, help=info.content_type) for info in node.streams.page(incomplete)]
        except HoldfastError:
            return []


PATH = click.argument("path", type=StreamPath(), metavar="PATH")
PATHS = click.argument("paths", type=StreamPath(), metavar="PATH...", nargs=-1, required=True)


class Offset(click.ParamType[int]):
    """A position: a number or, as HTTP shows it, two numbers with an underscore between them."""

    name = "offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        text = str(value)
        first, underscore, second = text.rpartition("_")
        digits = second if underscore and not first.strip("0") else text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            self.fail(f"{text!r} is not an offset", param, ctx)
        return -int(digits) if text.startswith("-") else int(digits)


OFFSET = Offset()


class Moment(click.ParamType[float]):
    """Unix seconds, or a date and time as RFC 3339 has them."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds since the epoch."""
        from datetime import datetime

        text = str(value)
        try:
            return float(text)
        except ValueError:
            pass
        try:
            return datetime.fromisoformat(text.upper()).timestamp()  # without a zone it is this machine's
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is neither a time like 2030-01-31T12:00:00Z nor seconds since 1970", param, ctx)


MOMENT = Moment()


def left_text(expires_at_s: float) -> str:
    """How long until then: ``45s``, ``12m``, ``3h``, ``5d``."""
    seconds = max(0, int(expires_at_s - time.time()))
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // divisor}{unit}"
    return f"{seconds // 86_400}d"
