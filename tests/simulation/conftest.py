"""``make soak`` chooses how many seeds, and which."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread

import pytest

from holdfast.simulation.sync.many import Worlds
from holdfast.simulation.sync.options import HARD
from holdfast.simulation.sync.report import SyncReport

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


class FullWorlds:
    """Full worlds of groups, in processes that give way to the tests beside which they run; most of those only wait."""

    def __init__(self, seeds: Iterable[int]) -> None:
        self._reports: dict[int, Future[SyncReport]] = {seed: Future() for seed in seeds}
        self._worlds = Worlds(nice=19)
        self._coming = self._worlds.run(HARD._replace(seed=seed) for seed in seeds)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def reports(self, seeds: range) -> list[SyncReport]:
        """Theirs; waits for those that have not ended."""
        return [self._reports[seed].result() for seed in seeds]

    def end(self) -> None:
        """End those that still run."""
        self._worlds.end()
        self._thread.join()

    def _run(self) -> None:
        try:
            for report in self._coming:
                self._reports[report.seed].set_result(report)
        except Exception as error:  # noqa: BLE001 - whoever waits for the others raises it
            for waiting in self._reports.values():
                if not waiting.done():
                    waiting.set_exception(error)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of full worlds go last."""
    items.sort(key=_is_of_full_worlds)


_BEGUN = pytest.StashKey[FullWorlds]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """They begin when all others do."""
    wanted = [item for item in session.items if _is_of_full_worlds(item)]
    if wanted and not session.config.option.collectonly:
        parts: list[range] = [item.callspec.params["full_seeds"] for item in wanted]  # type: ignore[attr-defined]
        session.config.stash[_BEGUN] = FullWorlds([seed for part in parts for seed in part])


def pytest_sessionfinish(session: pytest.Session) -> None:
    with suppress(KeyError):
        session.config.stash[_BEGUN].end()


def _is_of_full_worlds(item: pytest.Item) -> bool:
    return "full_worlds" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def full_worlds(request: pytest.FixtureRequest) -> FullWorlds:
    """Those of all seeds, begun already."""
    return request.config.stash[_BEGUN]
