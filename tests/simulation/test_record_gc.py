"""Records are collected while they are pushed, pulled, tagged and deleted: no live one is lost, whatever the order.

Regression 19: garbage collection during push and pull.
"""

from __future__ import annotations

import pytest

from holdfast.records.collection import Collector
from holdfast.simulation.records.gc import main, run_seed
from holdfast.simulation.seeds import UnsafeError

WORLDS_A_SEED = 4
"""They are short: a smoke run is 1,000 worlds, in some seconds."""
REGRESSIONS = (28, 30, 51, 107, 201, 341, 422, 427, 464, 601, 661, 4390)
"""Seeds that once failed, whatever of; they stay."""


def test_no_live_record_is_ever_lost(seeds: range) -> None:
    broken, collected, crashed = {}, 0, 0
    for seed in range(seeds.start, seeds.start + len(seeds) * WORLDS_A_SEED):
        try:
            world = run_seed(seed)
        except UnsafeError as error:
            broken[seed] = str(error)
        else:
            collected += world.collected
            crashed += world.crashes
    assert not broken, "\n".join(broken.values())
    assert len(seeds) < 200 or (collected > 500 and crashed > 50)


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_seeds_that_once_failed(seed: int) -> None:
    run_seed(seed)


def test_a_seed_always_gives_the_same_world() -> None:
    first, second = run_seed(7), run_seed(7)
    assert (first.gates.steps, first.collected, first.tags, first.pushed_at) == (
        second.gates.steps,
        second.collected,
        second.tags,
        second.pushed_at,
    )


def test_a_broken_promise_names_the_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Collector, "_keeps", lambda *_: False)
    assert main([str(seed) for seed in range(1, 20)]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("replay: ")]
    assert failed
    assert failed[0].startswith("replay: python -m holdfast.simulation.records.gc ")
