"""How far readers are behind, for Prometheus.

There can be tens of thousands of readers, so each has no series of its own: there is how many are how far behind, and
the ``WORST`` of them by name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from heapq import nlargest
from typing import TYPE_CHECKING, NamedTuple

from ...errors import HoldfastError
from ...http.metrics import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...channels.router import ChannelRouter
    from ...http.live import Lasting
    from ...jobs.controller import JobController

WORST = 10
"""Readers shown by name: those furthest behind."""
_BOUNDS = {
    "entries": (0, 1, 10, 100, 1_000, 10_000, 100_000),
    "bytes": (0, 1 << 10, 1 << 14, 1 << 18, 1 << 20, 1 << 24, 1 << 28, 1 << 30),
}


class Reader(NamedTuple):
    """One reader, and how far it is behind."""

    door: str
    unit: str
    lag: int
    stream: str
    """``jobs/<id>/output``, ``channels/<process>/<name>``, or a stream's path."""


async def find_readers(jobs: JobController, channels: ChannelRouter, lasting: Lasting) -> list[Reader]:
    """Everyone who follows something now."""
    found = [Reader("rpc", "bytes", viewer.lag_bytes, f"jobs/{viewer.job_id}/output") for viewer in jobs.viewers]
    found += [Reader("rpc", "entries", entries, f"channels/{channel}") for channel, entries, _ in channels.lags()]
    return found + [reader async for reader in _over_http(lasting)]


async def _over_http(lasting: Lasting) -> AsyncIterator[Reader]:
    for reading in lasting.readings():
        try:
            info = await reading.store.info(reading.path)
        except HoldfastError:  # it is being removed
            continue
        lag = max(0, info.tail - reading.reader.position)
        yield Reader("http", "entries" if info.mode == "entries" else "bytes", lag, reading.shown)


def reader_figures(readers: Sequence[Reader]) -> Iterator[Figure]:
    """How many are how far behind, and who is furthest."""
    doors = ("http", "rpc")
    counts = [((door,), float(sum(reader.door == door for reader in readers))) for door in doors]
    yield Figure("holdfast_readers", "Readers that follow a stream, a channel or a job's output.", ("door",), counts)
    for unit, bounds in _BOUNDS.items():
        rows: list[tuple[tuple[str, ...], float]] = []
        for door in doors:
            lags = [reader.lag for reader in readers if reader.door == door and reader.unit == unit]
            ends = [(f"{bound}", sum(lag <= bound for lag in lags)) for bound in bounds]
            rows += [((door, end), float(count)) for end, count in (*ends, ("+Inf", len(lags)))]
        text = f"Readers that are at most so many {unit} behind."
        yield Figure(f"holdfast_readers_behind_{unit}", text, ("door", "le"), rows)
        yield _worst(unit, [reader for reader in readers if reader.unit == unit and reader.lag])


def _worst(unit: str, readers: list[Reader]) -> Figure:
    worst = nlargest(WORST, readers, key=lambda reader: reader.lag)
    rows = [
        ((str(place), reader.door, reader.stream), float(reader.lag)) for place, reader in enumerate(worst, start=1)
    ]
    text = f"How many {unit} behind the readers are that are furthest behind, {WORST} at most."
    return Figure(f"holdfast_reader_lag_{unit}", text, ("place", "door", "stream"), rows)
