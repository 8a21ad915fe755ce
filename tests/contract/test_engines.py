"""Every engine of ours against the one contract.

SQLite runs twice: with the limits of every day, and with tiny ones, so that reads from disk, rows in parts, merging
and checkpoints are the normal case.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.engine import contract
from holdfast.engine.base import Engine
from holdfast.engine.contract import EngineFactory
from holdfast.engine.memory import MemoryEngine
from holdfast.engine.sqlite import SqliteEngine
from holdfast.limits import LIMITS

TINY = LIMITS._replace(
    engine_cache_bytes=600,
    log_cache_bytes=500,
    commit_bytes_max=2_000,
    row_bytes=256,
    merge_rows=3,
    merge_bytes=100,
    wal_bytes=40_000,
)


@pytest.fixture(params=["memory", "sqlite", "sqlite-tiny"])
def engine_factory(request: pytest.FixtureRequest, tmp_path: Path) -> EngineFactory:
    """Engines of one kind on this test's own storage."""
    memory = MemoryEngine()

    def factory(*, max_bytes: int | None = None) -> Engine:
        if request.param == "memory":
            return memory if max_bytes is None else MemoryEngine(max_bytes=max_bytes)
        limits = TINY if request.param == "sqlite-tiny" else LIMITS
        return SqliteEngine(tmp_path / "engine", max_bytes=max_bytes, limits=limits)

    return factory


class TestLogs(contract.LogContract):
    """Logs."""


class TestRuns(contract.RunsContract):
    """Logs of blobs."""


class TestMeta(contract.MetaContract):
    """Meta, and appends that close."""


class TestProducers(contract.ProducerContract):
    """Appends with a sequence."""


class TestForks(contract.ForkContract):
    """Logs that begin as others do."""


class TestFollowing(contract.FollowContract):
    """Followers."""


class TestRoom(contract.RoomContract):
    """Full stores."""


class TestModel(contract.ModelContract):
    """Random lives."""


class TestKeys(contract.KeyContract):
    """Keys."""


class TestWatching(contract.WatchContract):
    """Watchers."""


class TestBus(contract.BusContract):
    """The bus."""


class TestBlobs(contract.BlobContract):
    """Blobs."""
