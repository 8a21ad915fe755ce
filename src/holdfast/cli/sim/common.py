"""What the commands under ``holdfast sim`` share: quantities, and where pictures go."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from ...errors import HoldfastError, UsageError


class Quantity(click.ParamType[float]):
    """A size, a rate or a time as people write it; ``kind`` names the parser in holdfast.quantities."""

    def __init__(self, kind: str) -> None:
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Bytes, bytes per second, or seconds."""
        from ... import quantities

        if not isinstance(value, str):
            return float(value)
        parse: Callable[[str, str], float] = getattr(quantities, f"parse_{self.name}")
        try:
            return parse(value.removeprefix("±"), self.name)
        except UsageError as error:
            return self.fail(error.message.partition(": ")[2], param, ctx)


SIZE = Quantity("size")
RATE = Quantity("rate")
TIME = Quantity("duration")


def prepare_plot(path: str) -> list[tuple[float, int]]:
    """Where samples go; fails now rather than after the run if no picture can be made of them."""
    from ...simulation.plot import check_plot_available

    try:
        check_plot_available()
    except HoldfastError as error:
        raise click.ClickException(error.message) from None
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise click.BadParameter(f"{path}: no directory {folder}", param_hint="--plot")
    return []
