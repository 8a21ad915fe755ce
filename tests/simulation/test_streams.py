"""Streams in seeded worlds: every seed is safe at each step and comes to rest once the network heals."""

from __future__ import annotations

import pytest

from holdfast.simulation.seeds import UnsafeError
from holdfast.simulation.streams.run import main, run_seed
from holdfast.streams import Data, OutputSender

REGRESSIONS = (4, 5, 14, 130, 192, 295, 340, 391, 401)
"""Seeds that once failed, whatever of; they stay."""


def test_every_seed_is_safe_and_comes_to_rest(seeds: range) -> None:
    broken = {}
    for seed in seeds:
        try:
            run_seed(seed)
        except UnsafeError as error:
            broken[seed] = str(error)
    assert not broken, "\n".join(broken.values())


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_seeds_that_once_failed(seed: int) -> None:
    run_seed(seed)


def test_a_seed_always_gives_the_same_world() -> None:
    first, second = run_seed(21), run_seed(21)
    assert (first.world.steps, first.world.now(), first.cuts) == (second.world.steps, second.world.now(), second.cuts)


def test_a_broken_promise_names_the_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def skip_in_silence(self: OutputSender, offset: int, length: int, now: float) -> Data | None:
        self.sent = offset + length
        return self.next_packet(now)

    monkeypatch.setattr(OutputSender, "_gap_packet", skip_in_silence)
    seeds = [str(seed) for seed in range(1, 40)]
    assert main(seeds) == 1
    said = capsys.readouterr().out
    failed = [line for line in said.splitlines() if line.startswith("replay: ")]
    assert failed
    assert failed[0].startswith("replay: python -m holdfast.simulation.streams ")
