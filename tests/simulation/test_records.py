"""Streams of records in seeded worlds: each item has one result, whatever the store does, and nothing hangs."""

from __future__ import annotations

from collections import Counter

import pytest

from holdfast.records.streaming.core import StreamCore
from holdfast.simulation.records.run import RecordWorld, main, run_seed
from holdfast.simulation.seeds import UnsafeError

WORLDS_A_SEED = 8
"""They are short: a smoke run is 2,000 worlds, in some seconds."""
REGRESSIONS = (131, 329, 506, 635)
"""Seeds that once failed, whatever of; they stay."""


def test_every_seed_is_safe_and_comes_to_rest(seeds: range) -> None:
    broken, met = {}, Counter[str]()
    for seed in range(seeds.start, seeds.start + len(seeds) * WORLDS_A_SEED):
        try:
            note(run_seed(seed), met)
        except UnsafeError as error:
            broken[seed] = str(error)
    assert not broken, "\n".join(broken.values())
    assert len(seeds) < 200 or all(met[what] for what in ("complete", "failed", "left", "cuts", "retried", "postponed"))


def note(world: RecordWorld, met: Counter[str]) -> None:
    met["left" if world.left else "failed" if world.core.failure else "complete"] += 1
    met.update({name: getattr(world.core.metrics, name) for name in ("cuts", "retried", "postponed")})


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_seeds_that_once_failed(seed: int) -> None:
    run_seed(seed)


def test_a_seed_always_gives_the_same_world() -> None:
    first, second = run_seed(7), run_seed(7)
    assert (first.world.steps, first.world.now(), first.results) == (
        second.world.steps,
        second.world.now(),
        first.results,
    )


def test_a_broken_promise_names_the_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StreamCore, "room", property(lambda self: 1))
    assert main([str(seed) for seed in range(1, 40)]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("replay: ")]
    assert failed
    assert failed[0].startswith("replay: python -m holdfast.simulation.records ")
