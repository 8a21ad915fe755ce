"""However many readers there are, the series stay few."""

from __future__ import annotations

from holdfast.http.metrics import Figure
from holdfast.node.http.reader_figures import WORST, Reader, reader_figures


def figures(readers: list[Reader]) -> dict[str, Figure]:
    return {figure.name: figure for figure in reader_figures(readers)}


def test_a_thousand_readers_are_a_few_series() -> None:
    readers = [Reader("rpc", "entries", lag, f"channels/p/c{lag}") for lag in range(1_000)]
    found = figures(readers)
    assert sum(len(figure.values) for figure in found.values()) < 50 + WORST
    worst = dict(found["holdfast_reader_lag_entries"].values)
    assert worst["1", "rpc", "channels/p/c999"] == 999 and len(worst) == WORST
    behind = dict(found["holdfast_readers_behind_entries"].values)
    assert behind["rpc", "0"] == 1 and behind["rpc", "100"] == 101 and behind["rpc", "+Inf"] == 1_000
    assert behind["http", "+Inf"] == 0


def test_who_has_everything_is_not_among_the_worst() -> None:
    readers = [Reader("http", "bytes", 0, "s"), Reader("http", "bytes", 5, "s"), Reader("http", "bytes", 7, "s")]
    found = figures(readers)
    assert dict(found["holdfast_reader_lag_bytes"].values) == {("1", "http", "s"): 7.0, ("2", "http", "s"): 5.0}
    assert dict(found["holdfast_readers"].values) == {("http",): 3.0, ("rpc",): 0.0}
