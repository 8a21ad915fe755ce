from __future__ import annotations

import sys
from pathlib import Path

import pytest

from holdfast.simulation.plot import PlotUnavailable, check_plot_available, draw_in_flight, thin


def test_peaks_and_troughs_survive_thinning() -> None:
    samples = [(float(at), at % 7) for at in range(100_000)]
    samples[12_345] = (12_345.0, 999)
    kept = thin(samples)
    assert len(kept) <= 4_000
    assert (12_345.0, 999) in kept
    assert kept == sorted(kept)
    assert thin(samples[:100]) == samples[:100]


def test_a_png_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "flight.png"
    draw_in_flight([(0.0, 0), (1.0, 65536), (2.0, 0)], str(path), "a title")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotUnavailable, match=r"pip install 'holdfast\[plot\]'"):
        check_plot_available()
