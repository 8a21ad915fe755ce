"""Every profile, in every dialect it is for: participants of ours keep the causal order, however little they say."""

from __future__ import annotations

import pytest

from holdfast.simulation.sync.options import SyncOptions
from holdfast.simulation.sync.run import run_sync
from holdfast.sync.model import Dialect

SEEDS = range(6)
WORLD = SyncOptions(peers=6, messages=150, loss=0.3, duplicate=0.1, partition_s=10.0, crashes=1)


@pytest.mark.parametrize(
    ("profile", "dialect"),
    [("lan", "spec"), ("lan", "nim"), ("wan", "spec"), ("interop", "spec"), ("interop", "nim"), ("interop-nim", "nim")],
)
def test_it_converges(profile: str, dialect: Dialect) -> None:
    for seed in SEEDS:
        report = run_sync(WORLD._replace(profiles=(profile,), dialect=dialect, seed=seed))
        assert report.ok, f"{report.error}\nreplay: {report.replay}"


def test_participants_of_other_profiles_converge_together() -> None:
    for seed in SEEDS:
        report = run_sync(WORLD._replace(profiles=("interop", "lan"), seed=seed))
        assert report.ok, f"{report.error}\nreplay: {report.replay}"
