from __future__ import annotations

import io

import pytest
from rich.console import Console

from holdfast.cli.record import bar as record_bar
from holdfast.cli.record.bar import Bar


def test_away_from_terminals_there_are_only_results(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("pushing", 100) as bar:
        assert bar.patience_s() is None
        for number in range(501):
            bar.print(f"line {number}")
        bar.complain("file:3: broken")
        bar.print("last")
        bar.show(502, 1, 50)
        bar.show_bytes(5, 10)
    said = capsys.readouterr()
    assert said.out.splitlines() == [*(f"line {number}" for number in range(501)), "last"]
    assert said.err == "file:3: broken\n"


@pytest.mark.parametrize("size_bytes", [0, 1_000])
def test_on_a_terminal_results_stand_above_the_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], size_bytes: int
) -> None:
    monkeypatch.setattr(record_bar, "stderr_is_tty", lambda: True)
    monkeypatch.setattr(record_bar, "stdout_is_tty", lambda: True)
    screen = io.StringIO()
    monkeypatch.setattr(
        "rich.console.Console", lambda stderr: Console(file=screen, force_terminal=True, width=100, color_system=None)
    )
    with Bar("pushing", size_bytes) as bar:
        assert bar.on_terminal
        assert bar.patience_s()
        bar.print("[one]")
        bar.show(1, 0, 500)
        bar.complain("file:2: [broken]")
    shown = screen.getvalue()
    assert shown.index("[one]") < shown.index("file:2: [broken]")
    assert "pushing" in shown
    assert ("50 %" in shown) == bool(size_bytes)
    assert capsys.readouterr().out == ""


def test_a_bar_that_is_not_wanted_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_bar, "stderr_is_tty", lambda: True)
    with Bar("pushing", 100, wanted=False) as bar:
        assert bar.patience_s() is None
