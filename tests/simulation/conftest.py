"""``make soak`` chooses how many seeds, and which."""

from __future__ import annotations

import pytest

SMOKE_SEEDS = 250


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-seeds", type=int, default=SMOKE_SEEDS, help="simulated worlds to run")
    parser.addoption("--soak-first", type=int, default=1, help="the first seed")


@pytest.fixture(scope="session")
def seeds(request: pytest.FixtureRequest) -> range:
    # Options declared here are known only when this directory is named on the command line.
    first: int = request.config.getoption("--soak-first", default=1)
    count: int = request.config.getoption("--soak-seeds", default=SMOKE_SEEDS)
    return range(first, first + count)
