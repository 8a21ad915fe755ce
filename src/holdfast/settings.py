"""Limits as an operator sets them: ``HOLDFAST_LIMIT_SPILL_BYTES_MAX=256MiB`` in the environment.

Every limit of ``limits.py`` can be set so, by its name in capitals; sizes and durations may carry units.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .errors import UsageError
from .limits import LIMITS, Limits, check_limits
from .quantities import parse_duration, parse_size

PREFIX = "HOLDFAST_LIMIT_"


def limits_from(env: Mapping[str, str] = os.environ) -> Limits:
    """The default limits with what ``env`` sets replaced.

    UsageError, naming the variable, for one that is no limit, for a value that is none, and for values that
    contradict each other.
    """
    changes: dict[str, Any] = {}
    for variable, text in env.items():
        if variable.startswith(PREFIX):
            name = variable[len(PREFIX) :].lower()
            changes[name] = _value(variable, name, text)
    if not changes:
        return LIMITS
    try:
        return check_limits(LIMITS._replace(**changes))
    except AssertionError:
        names = ", ".join(sorted(changes))
        raise UsageError(f"{PREFIX}*: {names} contradict another limit, or cannot be at all", field="limits") from None


def _value(variable: str, name: str, text: str) -> float:
    default = getattr(LIMITS, name, None) if name in Limits._fields else None
    if default is None:
        from difflib import get_close_matches

        near = get_close_matches(name, Limits._fields, n=1)
        hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else ""
        raise UsageError(f"{variable}: there is no limit {name}{hint}", field=variable)
    if isinstance(default, float):
        return parse_duration(text, variable)
    return parse_size(text, variable)
