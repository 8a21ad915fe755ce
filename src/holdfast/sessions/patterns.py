"""Sets of patterns: which are valid, and what one set changes about another.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_args

from ..errors import LimitExceeded, UsageError
from ..limits import Limits
from ..subjects import check_pattern
from .model import PatternSpec, Policy, Start

PatternSet = dict[str, PatternSpec]
"""The patterns of a session, by pattern, in the order they were given."""


class Diff(NamedTuple):
    """What one set of patterns changes about another."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    kept: list[str]


def provider_of(pattern: str) -> str:
    """The name of the provider that ``pattern``, or a subject, belongs to: its first word."""
    return pattern.partition(".")[0]


def check_specs(specs: Sequence[PatternSpec], limits: Limits) -> PatternSet:
    """``specs`` as a set; UsageError naming the field, LimitExceeded(session_patterns_max)."""
    limit = limits.session_patterns_max
    if len(specs) > limit:
        raise LimitExceeded(name="session_patterns_max", limit=limit, value=len(specs))
    found: PatternSet = {}
    for place, spec in enumerate(specs):
        field = f"patterns[{place}]"
        _check_spec(spec, field)
        if spec.pattern in found:
            raise UsageError(f"{field}: {spec.pattern!r} is given twice", field=field)
        found[spec.pattern] = spec
    return found


def _check_spec(spec: PatternSpec, field: str) -> None:
    check_pattern(spec.pattern, f"{field}.pattern")
    if provider_of(spec.pattern) in ("*", ">"):
        raise UsageError(
            f"{field}.pattern: {spec.pattern!r} must begin with the name of a provider", field=f"{field}.pattern"
        )
    for name, value, known in (
        ("policy", spec.policy, get_args(Policy)),
        ("start", spec.start, get_args(Start)),
    ):
        if value not in known:
            raise UsageError(f"{field}.{name}: {value!r} is none of {', '.join(known)}", field=f"{field}.{name}")
    for name, number in (("buffer_messages", spec.buffer_messages), ("buffer_bytes", spec.buffer_bytes)):
        if number < 0:
            raise UsageError(f"{field}.{name}: {number} is negative", field=f"{field}.{name}")


def compare(old: PatternSet, new: PatternSet) -> Diff:
    """What going from ``old`` to ``new`` means; every pattern of either is in exactly one of the four."""
    return Diff(
        added=[pattern for pattern in new if pattern not in old],
        changed=[pattern for pattern, spec in new.items() if pattern in old and old[pattern] != spec],
        removed=[pattern for pattern in old if pattern not in new],
        kept=[pattern for pattern, spec in new.items() if old.get(pattern) == spec],
    )
