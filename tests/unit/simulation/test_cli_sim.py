"""``holdfast sim stream`` as its user types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdfast.cli.main import cli
from holdfast.streams import Data, Reader


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["sim", "stream", *arguments])


def test_the_summary_and_exit_0() -> None:
    result = run("--size", "1MiB", "--delay", "10ms", "--skew", "5ms", "--seed", "3")
    assert result.exit_code == 0
    assert "every byte arrived, in order" in result.output
    assert "seed             3" in result.output


def test_json_is_the_same_to_the_byte_for_one_seed() -> None:
    arguments = ("--size", "2MB", "--delay", "10ms", "--skew", "±5ms", "--loss", "0.01", "--seed", "3", "--json")
    first, second = run(*arguments), run(*arguments)
    assert first.output == second.output
    report = json.loads(first.output)
    assert report["ok"]
    assert (report["received"], report["seed"], report["mismatches"]) == (2_000_000, 3, 0)


def test_every_option_together() -> None:
    result = run(
        "--mode=writer", "--size=300KiB", "--delay=1ms", "--skew=1ms", "--window=auto", "--slow-reader=5MBps",
        "--loss=0.05", "--duplicate=0.05", "--bandwidth=10MBps", "--disconnect-every=50ms", "--half-open", "--seed=1",
        "--clock=virtual", "--verbose", "--json", "--packet=4KiB",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["ok"]
    assert "the link is half open" in result.stderr


def test_a_mismatch_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Reader.receive_data

    def flip(self: Reader, packet: Data, now: float) -> None:
        receive(self, packet._replace(payload=bytes(len(packet.payload))), now)

    monkeypatch.setattr(Reader, "receive_data", flip)
    result = run("--size=100KiB")
    assert result.exit_code == 1
    assert "FAILED" in result.output
    assert "the first at offset 0" in result.output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--size", "big"),
        ("--window", "-5"),
        ("--delay", "soon"),
        ("--skew", "5ms"),
        ("--bandwidth", "fast"),
        ("--slow-reader", "x"),
        ("--loss", "2"),
        ("--duplicate", "7"),
        ("--packet", "1GB"),
        ("--disconnect-every", "never"),
        ("--disconnect-every", "0"),
        ("--slow-reader", "0"),
        ("--bandwidth", "0MBps"),
        ("--mode", "reader"),
        ("--clock", "sundial"),
        ("--seed", "x"),
    ],
)
def test_bad_values_name_the_option(option: str, value: str) -> None:
    result = run(option, value)
    assert result.exit_code == 2
    assert option in result.output


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "flight.png"
    assert run("--size=100KiB", "--delay=10ms", "--plot", str(path)).exit_code == 0
    assert path.stat().st_size > 1000
    result = run("--plot", str(tmp_path / "missing" / "flight.png"))
    assert result.exit_code == 2
    assert "no directory" in result.output
    (tmp_path / "taken.png").symlink_to(tmp_path / "missing" / "there.png")
    result = run("--size=1", "--plot", str(tmp_path / "taken.png"))
    assert result.exit_code == 2
    assert "--plot" in result.output


def test_plot_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("--plot", "flight.png")
    assert result.exit_code == 1
    assert "pip install 'holdfast[plot]'" in result.output


def test_the_progress_bar_is_for_terminals_and_long_real_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from holdfast.cli.sim import commands as module
    from holdfast.simulation.transfer.options import StreamOptions

    slow = StreamOptions(clock="real", delay_s=0.01)
    assert not module._wants_progress(slow)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert module._wants_progress(slow)
    assert not module._wants_progress(slow._replace(clock="virtual"))
    assert not module._wants_progress(StreamOptions(clock="real", size=1000))
    monkeypatch.setattr(module, "_wants_progress", lambda options: True)
    assert "every byte arrived" in run("--clock=real", "--size=1MiB").output
