"""Groups in seeded worlds: nothing is lost, doubled or out of causal order, and everybody has everything in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdfast.simulation.seeds import UnsafeError
from holdfast.simulation.sync.options import HARD
from holdfast.simulation.sync.run import main, run_seed, run_sync
from holdfast.sync.peer import SyncPeer

if TYPE_CHECKING:
    from tests.simulation.conftest import FullWorlds

REGRESSIONS = (18, 145, 267, 505, 21_858, 22_498)
"""Seeds that once failed, whatever of; they stay."""
CROWD_EVERY = 50
"""So many small worlds for each of 20 peers and 100 messages."""


def test_every_small_world_converges(seeds: range) -> None:
    broken = {}
    for seed in seeds:
        try:
            run_seed(seed)
        except UnsafeError as error:
            broken[seed] = str(error)
    assert not broken, "\n".join(broken.values())


def test_twenty_peers_converge_through_loss_a_partition_and_crashes(seeds: range) -> None:
    reports = [run_sync(HARD._replace(messages=100, seed=seed)) for seed in seeds[::CROWD_EVERY]]
    assert not [f"{report.error}\nreplay: {report.replay}" for report in reports if not report.ok]


@pytest.mark.timeout(1_200)
def test_full_worlds_converge(full_seeds: range, full_worlds: FullWorlds) -> None:
    """20 peers, 1,000 messages, 30 % loss, 10 % doubled, reordered, 30 s of partition and three crashes."""
    assert (HARD.peers, HARD.messages, HARD.crashes, HARD.partition_s) == (20, 1_000, 3, 30.0)
    assert (HARD.loss, HARD.duplicate) == (0.3, 0.1) and HARD.skew_s > 0.0
    reports = full_worlds.reports(full_seeds)
    assert [report.seed for report in reports] == list(full_seeds)
    assert not [f"{report.error}\nreplay: {report.replay}" for report in reports if not report.ok]
    for report in reports:
        # That none came twice, and the order, is judged where it happens; a world that breaks it is not ok.
        assert (report.messages, report.deliveries, report.crashes) == (1_000, 19 * 1_000, 3), report.replay
        assert report.history_largest == 1_000, report.replay


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_seeds_that_once_failed(seed: int) -> None:
    run_seed(seed)


def test_a_seed_always_gives_the_same_world() -> None:
    first, second = run_seed(31), run_seed(31)
    assert (first.world.steps, first.world.now(), first.packets) == (
        second.world.steps,
        second.world.now(),
        second.packets,
    )
    assert first.report() == second.report()


def test_a_broken_promise_names_the_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(SyncPeer, "packets", lambda self: [])
    assert main([str(seed) for seed in range(1, 6)]) == 1
    said = capsys.readouterr().out
    assert "no convergence" in said
    assert "replay: python -m holdfast.simulation.sync " in said
