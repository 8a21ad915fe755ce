"""``make soak`` chooses how many seeds, and which."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.simulation.sync_many import Worlds

SMOKE_SEEDS = 250
SMOKE_FULL = 200
FULL_AT_ONCE = 50
"""Full worlds of one test: long enough that no core waits, short enough to show how far they are."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-seeds", type=int, default=SMOKE_SEEDS, help="simulated worlds to run")
    parser.addoption("--soak-full", type=int, default=SMOKE_FULL, help="full worlds of groups to run")
    parser.addoption("--soak-first", type=int, default=1, help="the first seed")


@pytest.fixture(scope="session")
def seeds(request: pytest.FixtureRequest) -> range:
    # Options declared here are known only when this directory is named on the command line.
    first: int = request.config.getoption("--soak-first", default=1)
    count: int = request.config.getoption("--soak-seeds", default=SMOKE_SEEDS)
    return range(first, first + count)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``full_seeds``: the seeds of some full worlds; together the tests have all."""
    if "full_seeds" in metafunc.fixturenames:
        first: int = metafunc.config.getoption("--soak-first", default=1)
        count: int = metafunc.config.getoption("--soak-full", default=SMOKE_FULL)
        every = range(first, first + count)
        parts = [every[start : start + FULL_AT_ONCE] for start in range(0, count, FULL_AT_ONCE)]
        metafunc.parametrize("full_seeds", parts, ids=[f"{part[0]}-{part[-1]}" for part in parts])


@pytest.fixture(scope="session")
def worlds() -> Iterator[Worlds]:
    """Runs worlds on all cores we may use."""
    with Worlds() as made:
        yield made
