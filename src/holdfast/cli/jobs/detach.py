"""``--detach-keys``, apart from the watching itself: a job that is left at once needs no more than this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ...errors import UsageError
from .keys import parse_detach_keys

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_DETACH_KEYS = "ctrl-] d"


def _parse_keys(ctx: click.Context, param: click.Parameter, value: str) -> bytes:
    try:
        return parse_detach_keys(value)
    except UsageError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def detach_keys_option(function: F) -> F:
    """``--detach-keys``, also from ``HOLDFAST_DETACH_KEYS``."""
    return click.option(
        "--detach-keys",
        default=DEFAULT_DETACH_KEYS,
        show_default=True,
        envvar="HOLDFAST_DETACH_KEYS",
        callback=_parse_keys,
        help="Keys that detach, by name; none: no keys do.",
    )(function)
