from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from holdfast.cli.main import cli
from holdfast.cli.sim.commands import sim
from holdfast.errors import UsageError
from holdfast.simulation.sync.options import HARD, SyncOptions, check_options, draw_options, replay_command
from holdfast.simulation.sync.run import run_sync

SMALL = SyncOptions(peers=4, messages=20, over_s=2.0, seed=3)


def run(*arguments: str) -> Result:
    """As the shell would: usage errors come back as exit code 2."""
    return CliRunner().invoke(cli, ["sim", "sync", "--peers=4", "--messages=20", "--over=2s", "--seed=3", *arguments])


def test_a_quiet_network_needs_no_repair() -> None:
    report = run_sync(SMALL)
    assert report.ok
    assert (report.messages, report.deliveries, report.packets_repair, report.duplicates) == (20, 60, 0, 0)
    assert report.convergence_s < 0.1
    assert report.history_largest == 20


def test_losses_a_partition_and_crashes_are_made_up_for() -> None:
    report = run_sync(SMALL._replace(loss=0.3, duplicate=0.1, partition_s=5.0, crashes=2, seed=4))
    assert report.ok
    assert report.deliveries == 60
    assert report.crashes == 2
    assert report.packets_repair > 0
    assert report.copies_lost > 0
    assert report.writes > 0


def test_the_same_seed_gives_the_same_numbers() -> None:
    options = SMALL._replace(loss=0.3, crashes=1)
    assert run_sync(options) == run_sync(options)
    assert run_sync(options) != run_sync(options._replace(seed=4))


def test_what_went_wrong_is_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    from holdfast.sync.peer import SyncPeer

    monkeypatch.setattr(SyncPeer, "packets", lambda self: [])
    report = run_sync(SMALL._replace(loss=0.5))
    assert not report.ok
    assert "FAILED: " in report.summary()
    assert report.replay in report.summary()


def test_the_command_that_replays_a_world_runs_just_that() -> None:
    options = HARD._replace(seed=9, one_way=True, profiles=("lan", "wan"), dialect="nim", messages=30)
    words = shlex.split(replay_command(options))
    assert words[:3] == ["holdfast", "sim", "sync"]
    command = sim.commands["sync"]
    chosen: dict[str, Any] = command.make_context("sync", words[3:]).params
    from holdfast.cli.sim.sync import _options

    for name in ("as_json", "plot"):
        del chosen[name]
    assert _options(chosen) == options


def test_drawn_worlds_are_possible_and_differ() -> None:
    drawn = [draw_options(seed) for seed in range(200)]
    assert all(check_options(options) == options for options in drawn)
    assert len({options._replace(seed=0) for options in drawn}) > 190
    assert draw_options(7) == draw_options(7)


def test_the_command_prints_the_figures() -> None:
    result = run("--loss=0.2", "--partition=3s")
    assert result.exit_code == 0
    assert "all peers have all messages, in causal order" in result.output
    for word in ("converged", "repairs", "duplicates", "per message", "per delivery"):
        assert word in result.output


def test_as_json() -> None:
    result = run("--json", "--loss=0.2")
    report = json.loads(result.output)
    assert report["ok"] is True
    assert report["deliveries"] == 60
    assert report["replay"].startswith("holdfast sim sync ")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--peers", "1"),
        ("--messages", "0"),
        ("--size", "0"),
        ("--size", "2MiB"),
        ("--over", "soon"),
        ("--loss", "0.95"),
        ("--duplicate", "2"),
        ("--partition", "-1s"),
        ("--crashes", "-1"),
        ("--clock-skew", "1e9s"),
        ("--profile", "moon"),
        ("--dialect", "rust"),
    ],
)
def test_bad_values_name_the_option(option: str, value: str) -> None:
    result = run(option, value)
    assert result.exit_code == 2
    assert option in result.output


def test_bad_options_are_named() -> None:
    with pytest.raises(UsageError, match="profile"):
        check_options(SMALL._replace(profiles=("moon",)))
    with pytest.raises(UsageError, match="dialect"):
        check_options(SMALL._replace(dialect="rust"))  # type: ignore[arg-type]


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "group.png"
    assert run("--plot", str(path)).exit_code == 0
    assert path.stat().st_size > 1000
    result = run("--plot", str(tmp_path / "missing" / "group.png"))
    assert result.exit_code == 2
    assert "no directory" in result.output


def test_plot_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("--plot", "group.png")
    assert result.exit_code == 1
    assert "pip install 'holdfast[plot]'" in result.output


def test_it_is_one_of_the_simulations() -> None:
    assert isinstance(sim, click.Group)
    assert sorted(sim.commands) == ["stream", "sync"]
