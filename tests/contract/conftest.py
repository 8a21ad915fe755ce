"""Every engine, for what runs on all of them; readable failures from the contract suite, which is in the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.engine.memory import MemoryEngine
from holdfast.engine.sqlite import SqliteEngine
from holdfast.limits import LIMITS

if TYPE_CHECKING:
    from holdfast.engine.base import Engine
    from holdfast.engine.contract import EngineFactory

pytest.register_assert_rewrite("holdfast.engine.contract")

TINY = LIMITS._replace(
    engine_cache_bytes=600,
    log_cache_bytes=500,
    commit_bytes_max=2_000,
    row_bytes=256,
    merge_rows=3,
    merge_bytes=100,
    wal_bytes=40_000,
    blob_part_bytes=500,
)


@pytest.fixture(params=["memory", "sqlite", "sqlite-tiny"])
def engine_factory(request: pytest.FixtureRequest, tmp_path: Path) -> EngineFactory:
    """Engines of one kind on this test's own storage.

    SQLite runs twice: with the limits of every day, and with tiny ones, so that reads from disk, rows and blobs in
    parts, merging and checkpoints are the normal case.
    """
    memory: dict[int | None, MemoryEngine] = {}

    def factory(*, max_bytes: int | None = None) -> Engine:
        if request.param == "memory":
            return memory.setdefault(max_bytes, MemoryEngine(max_bytes=max_bytes))
        limits = TINY if request.param == "sqlite-tiny" else LIMITS
        return SqliteEngine(tmp_path / "engine", max_bytes=max_bytes, limits=limits)

    return factory
