"""Every engine, for what runs on all of them; readable failures from the contract suite, which is in the package."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.engine.memory import MemoryEngine
from holdfast.engine.nats.options import NatsOptions
from holdfast.engine.sqlite import SqliteEngine
from holdfast.limits import LIMITS
from holdfast.natsbox import NatsServer

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


_SHARED_MEMORY = Path("/dev/shm")
_deployments = count(1)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """One server for all; in memory where there is a place for that, for it makes hundreds of streams."""
    with NatsServer.temporary(within=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "sqlite-tiny", "nats", "nats-tiny"])
def engine_factory(request: pytest.FixtureRequest, tmp_path: Path) -> EngineFactory:
    """Engines of one kind on this test's own storage.

    Those with a store run twice: with the limits of every day, and with tiny ones, so that reads from the store, rows
    and blobs in parts, merging and checkpoints are the normal case.
    """
    limits = TINY if request.param.endswith("-tiny") else LIMITS
    if request.param == "memory":
        memory: dict[int | None, MemoryEngine] = {}
        return lambda *, max_bytes=None: memory.setdefault(max_bytes, MemoryEngine(max_bytes=max_bytes))
    if request.param.startswith("nats"):
        from holdfast.engine.nats.engine import NatsEngine

        server: NatsServer = request.getfixturevalue("nats_server")
        options = NatsOptions(url=server.url, prefix=f"test-{next(_deployments)}")
        return lambda *, max_bytes=None: NatsEngine(options, max_bytes=max_bytes, limits=limits)

    def factory(*, max_bytes: int | None = None) -> Engine:
        return SqliteEngine(tmp_path / "engine", max_bytes=max_bytes, limits=limits)

    return factory
