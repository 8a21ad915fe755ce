"""Goals are read as they are meant, and results become a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import report
from bench.figures import Figure, Goal, check, goal_of, share_of_goal


def figure(**fields: Any) -> Figure:
    return {"name": "n", "value": 10.0, "unit": "ms", **fields}


@pytest.mark.parametrize(
    ("fields", "goal"),
    [
        ({"goal": 5, "reached": True}, Goal(5, False, False)),
        ({"goal": 20, "reached": True}, Goal(20, False, True)),
        ({"goal": 5, "reached": False}, Goal(5, False, True)),
        ({"goal": 20, "reached": False}, Goal(20, False, False)),
        ({"goal": ">= 0.8 x peer"}, Goal(0.8, True, False)),
        ({"goal": "<= peer"}, Goal(1.0, True, True)),
        ({"goal": "<= tmux", "peer": "tmux"}, Goal(1.0, True, True)),
        ({"goal": "<= 60 ms"}, Goal(60, False, True)),
        ({"goal": ">= 50,000/s"}, Goal(50_000, False, False)),
        ({"goal": "as fast as can be"}, None),
        ({"goal": None}, None),
        ({}, None),
    ],
)
def test_goals_are_read(fields: dict[str, Any], goal: Goal | None) -> None:
    assert goal_of(figure(**fields)) == goal


@pytest.mark.parametrize(
    ("fields", "share"),
    [
        ({"goal": 5, "reached": True}, 2.0),
        ({"goal": 20, "reached": True}, 2.0),
        ({"goal": ">= 0.8 x peer", "ratio": 0.4}, 0.5),
        ({"goal": "<= peer", "ratio": 0.5}, 2.0),
        ({"goal": "<= peer"}, None),
        ({"goal": 5, "value": None}, None),
    ],
)
def test_the_share_of_a_goal(fields: dict[str, Any], share: float | None) -> None:
    assert share_of_goal(figure(**fields)) == share


@pytest.mark.parametrize("wrong", [{"name": "n", "value": 1}, figure(colour="red")])
def test_what_is_no_figure_is_refused(wrong: Figure) -> None:
    with pytest.raises(ValueError, match="figure 'n'"):
        check(wrong)


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0.1234, "0.123"), (12.34, "12.3"), (999.4, "999"), (1234567.8, "1,234,568")]
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert report.number(value) == text


def test_results_become_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = {"cores": 2, "cpu": "abacus", "system": "Linux 6", "python": "3.11.7", "load": 0.5}
    figures = [
        figure(goal=5, reached=False, note="too slow", runs=5),
        figure(name="m", value=None, goal="<= peer", reached=None, note="peer not installed"),
    ]
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"t": {"machine": machine, "measured": "2026-01-02", "figures": figures}}))
    monkeypatch.setattr(report, "RESULTS", results)
    page = report.page()
    assert "0 of 1 goals are reached." in page
    assert "| n | 10 ms | 5 ms | **no** |  |  | 5 |" in page
    assert "| m | not measured | &lt;= peer |" in page
    assert "* n: too slow" in page
    assert "Measured 2026-01-02 on 2 cores of abacus, Linux 6, Python 3.11.7" in page
