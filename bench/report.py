"""The results as a page, as a table on a terminal, and as a plot; all made from ``bench/results.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.causes import cause_of
from bench.figures import Figure, share_of_goal

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results.json"
PLOT = ROOT / "docs" / "benchmarks.png"

Results = dict[str, dict[str, Any]]
"""Topic → ``machine``, ``measured``, ``figures``."""

HEAD = """\
# Benchmarks

`make bench` measures these, each beside its peer in the same run, and writes this page; `make bench BENCH="topic …"`
measures some topics and leaves the others as they were. Values are medians over the number of runs given (pairs of runs
where there is a peer: ours, theirs, ours, theirs …). Differences below 1.3 times are noise on a shared machine; where
the load at the start is above one or two, others worked on it meanwhile, and only ratios within a run say something.
A goal is written here whether it is reached or not.
"""

COLUMNS = ("figure", "value", "goal", "reached", "peer", "ratio", "runs")


def load() -> Results:
    """The kept results; empty before the first run."""
    if not RESULTS.exists():
        return {}
    results: Results = json.loads(RESULTS.read_text("utf-8"))
    return results


def save(results: Results) -> None:
    """Keep them."""
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")


def page() -> str:
    """The text of docs/benchmarks.md."""
    results = load()
    if not results:
        return f"{HEAD}\nNothing has been measured yet.\n"
    figures = [figure for topic in results.values() for figure in topic["figures"]]
    judged = [figure for figure in figures if figure.get("reached") is not None]
    reached = sum(bool(figure["reached"]) for figure in judged)
    summary = f"{reached} of {len(judged)} goals are reached."
    picture = f"![each value as a multiple of its goal]({PLOT.name})"
    return "\n".join([HEAD, summary, "", picture, "", *(_section(topic, results[topic]) for topic in sorted(results))])


def _section(topic: str, result: dict[str, Any]) -> str:
    figures = result["figures"]
    rows = ["| " + " | ".join(_escaped(cell) for cell in cells(figure)) + " |" for figure in figures]
    head = ["| " + " | ".join(COLUMNS) + " |", "| " + " | ".join("---" for _ in COLUMNS) + " |"]
    notes = [f"* {figure['name']}: {_words(figure)}" for figure in figures if _words(figure)]
    measured = f"Measured {result['measured']} on {describe(result['machine'])}."
    lines = [f"## {topic}", "", measured, "", *head, *rows, ""]
    return "\n".join([*lines, *notes, ""] if notes else lines)


def _words(figure: Figure) -> str:
    cause = cause_of(figure)
    parts = [figure.get("note") or "", f"not reached: {cause}" if cause else ""]
    return "; ".join(part for part in parts if part)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;")


def describe(machine: dict[str, Any]) -> str:
    """The machine in a few words."""
    parts = [f"{machine['cores']} cores of {machine['cpu']}", machine["system"], f"Python {machine['python']}"]
    return ", ".join(parts) + f"; load {machine['load']:.1f} at the start"


def cells(figure: Figure) -> list[str]:
    """One row, in the order of COLUMNS."""
    unit = figure["unit"]
    peer = figure.get("peer")
    theirs = f"{peer}: {number(figure.get('peer_value'))} {unit}" if peer else ""
    reached = {True: "yes", False: "**no**", None: ""}[figure.get("reached")]
    goal = figure.get("goal")
    shown_goal = "" if goal is None else goal if isinstance(goal, str) else f"{number(goal)} {unit}"
    ratio, runs = figure.get("ratio"), figure.get("runs")
    value = f"{number(figure['value'])} {unit}" if figure["value"] is not None else "not measured"
    return [figure["name"], value, shown_goal, reached, theirs, number(ratio), str(runs or "")]


def number(value: float | None) -> str:
    """Three or four significant digits, thousands separated."""
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(topic: str, figures: list[Figure]) -> str:
    """The figures of a topic for a terminal."""
    rows = [list(COLUMNS), *(cells(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"  {figure['name']}: {figure['note']}" for figure in figures if figure.get("note")]
    return "\n".join([f"== {topic}", *lines, *notes])


def plot(results: Results) -> None:
    """Draw docs/benchmarks.png: a bar for each figure with a goal, as a multiple of that goal."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = [
        (figure["name"], share_of_goal(figure)) for topic in sorted(results) for figure in results[topic]["figures"]
    ]
    bars = [(name, share) for name, share in reversed(found) if share is not None]
    figure, axes = plt.subplots(figsize=(10, 1 + 0.3 * len(bars)), layout="constrained")
    colours = ["#2a7f62" if share >= 1 else "#c8553d" for _, share in bars]
    axes.barh([name for name, _ in bars], [share for _, share in bars], color=colours)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("times the goal (logarithmic; right of the line: reached)")
    figure.savefig(PLOT, dpi=100, metadata={"Software": None})
    plt.close(figure)
