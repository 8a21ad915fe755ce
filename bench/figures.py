"""What a figure is, and how far it reaches its goal.

Each ``bench/<topic>.py`` has ``figures(quick: bool) -> list[Figure]``; ``bench/run.py`` finds it by that name.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

Figure = dict[str, Any]
"""name, value, unit: what was measured (value None: it could not be, and note says why).

goal: a number, or words such as ``">= 0.8 x peer"``, ``"<= 60 ms"``, ``"<= peer"``, ``"<= tmux"``; None: there is none.
reached: bool, or None without a goal or a value.  peer, peer_value: what it is compared with, in the same run.
ratio: value / peer_value, the median over pairs.  runs: how many (pairs of) runs the medians are of.  note: words.
"""

FIELDS = {"name", "value", "unit", "goal", "reached", "peer", "peer_value", "ratio", "runs", "note"}
_GOAL = re.compile(r"(?P<sign>[<>]=?)?\s*(?P<number>\d[\d.,]*)?\s*(?P<words>.*)")


class Goal(NamedTuple):
    """A goal in a form one can calculate with."""

    number: float
    of_peer: bool
    """The number is a multiple of the peer's value."""
    less_is_better: bool


def check(figure: Figure) -> Figure:
    """``figure`` itself; ValueError if it is not one."""
    unknown = set(figure) - FIELDS
    missing = {"name", "value", "unit"} - set(figure)
    if unknown or missing:
        raise ValueError(f"figure {figure.get('name')!r}: unknown fields {sorted(unknown)}, missing {sorted(missing)}")
    return figure


def goal_of(figure: Figure) -> Goal | None:
    """The figure's goal; None if it has none, or none that can be read."""
    goal = figure.get("goal")
    if goal is None:
        return None
    if isinstance(goal, (int, float)):
        return Goal(float(goal), False, _less_is_better(figure, float(goal)))
    match = _GOAL.fullmatch(str(goal).strip())
    of_peer = match is not None and match["words"].removeprefix("x").strip() in {"peer", figure.get("peer")}
    if match is None or not (match["number"] or of_peer):
        return None
    number = float(match["number"].replace(",", "")) if match["number"] else 1.0
    less = match["sign"].startswith("<") if match["sign"] else _less_is_better(figure, number)
    return Goal(number, of_peer, less)


def share_of_goal(figure: Figure) -> float | None:
    """How far the goal is reached: 1.0 just so, 2.0 twice as good; None if that cannot be said."""
    goal, value = goal_of(figure), figure.get("value")
    if goal is None or value is None:
        return None
    measured = figure.get("ratio") if goal.of_peer else value
    if not measured or not goal.number:
        return None
    return float(goal.number / measured if goal.less_is_better else measured / goal.number)


def _less_is_better(figure: Figure, number: float) -> bool:
    """A goal without a sign: whether it was reached tells which side of it is the good one."""
    value, reached = figure.get("value"), figure.get("reached")
    if value is None or reached is None or value == number:
        return False
    return bool(reached == (value < number))
