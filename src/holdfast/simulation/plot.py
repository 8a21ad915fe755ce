"""Pictures of simulated worlds, over time.  Need matplotlib, the extra ``plot``."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import HoldfastError

_POINTS_MAX = 4000
"""More points than a picture has columns only cost time."""


class PlotUnavailable(HoldfastError):
    """matplotlib is not installed."""


def check_plot_available() -> None:
    """PlotUnavailable, saying what to install, unless pictures can be drawn."""
    try:
        import matplotlib as mpl  # noqa: F401 - only asked for
    except ImportError:
        raise PlotUnavailable("--plot needs matplotlib: pip install 'holdfast[plot]'") from None


def draw_in_flight(samples: list[tuple[float, int]], path: str, title: str) -> None:
    """Write a PNG of ``samples`` (seconds, bytes in flight) to ``path``; OSError if that cannot be written."""
    _draw([(moment, size / 1024) for moment, size in thin(samples)], path, title, "KiB in flight")


def draw_undelivered(samples: list[tuple[float, int]], path: str, title: str) -> None:
    """Write a PNG of ``samples`` (seconds, deliveries still to come) to ``path``; OSError if that cannot be written."""
    _draw(list(thin(samples)), path, title, "deliveries still to come")


def _draw(points: Sequence[tuple[float, float]], path: str, title: str, label: str) -> None:
    check_plot_available()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.step([moment for moment, _ in points], [value for _, value in points], where="post", linewidth=0.8)
    axes.set_xlabel("seconds")
    axes.set_ylabel(label)
    axes.set_title(title)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, format="png")


def thin(samples: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """At most ``_POINTS_MAX`` of the samples, with the peak and the trough of each stretch kept."""
    if len(samples) <= _POINTS_MAX:
        return samples
    stride = -(-2 * len(samples) // _POINTS_MAX)
    kept: list[tuple[float, int]] = []
    for start in range(0, len(samples), stride):
        stretch = samples[start : start + stride]
        low = min(stretch, key=lambda sample: sample[1])
        high = max(stretch, key=lambda sample: sample[1])
        kept.extend(sorted({low, high}))
    return kept
