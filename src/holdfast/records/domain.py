"""The records of a node: the store, its collector, artifacts, and every stream that is open on them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from .artifacts import Artifacts
from .collection import Collector
from .model import RecordStats, Sealed
from .store import RecordStore

if TYPE_CHECKING:
    from ..clock import Clock
    from ..engine.base import Engine
    from ..limits import Limits


class Seals(Protocol):
    """What seals the output of jobs; the composition root gives it."""

    async def seal(self, job: str) -> Sealed:
        """See :meth:`RecordsApi.seal`."""
        ...

    async def verify(self, job: str) -> Sealed:
        """See :meth:`RecordsApi.verify`."""
        ...

    def pins(self) -> dict[bytes, str]:
        """The records that seal jobs still known, and which job each seals."""
        ...


class RecordDomain:
    """Opened and closed with the node."""

    def __init__(self, engine: Engine, *, clock: Clock, limits: Limits) -> None:
        self.store = RecordStore(engine, clock=clock, limits=limits)
        self.artifacts = Artifacts(engine, clock=clock, limits=limits)
        self.collector = Collector(self.store, engine.blobs, clock=clock, limits=limits, pins=self._pins)
        self.seals: Seals | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def _pins(self) -> dict[bytes, str]:
        return {} if self.seals is None else self.seals.pins()

    async def open(self) -> None:
        """Load what is kept in memory.  CorruptionError if it cannot be read."""
        await self.store.open()
        await self.artifacts.open()

    async def close(self) -> None:
        """End every stream."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a stream; whoever opened it may cancel it, we await it."""
        task = asyncio.create_task(work, name="records-stream")
        self._tasks.add(task)
        self.store.counts.streams += 1
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.store.counts.streams -= 1

    async def stats(self) -> RecordStats:
        """See :meth:`RecordsApi.stats`."""
        counts, store = self.store.counts, self.store
        size = await store.size()
        return RecordStats(
            records=size.records,
            record_bytes=size.record_bytes,
            referrers=len(store.referrers),
            tags=len(store.tags),
            artifacts=len(self.artifacts),
            feed_position=store.feed.next_position - 1,
            pushed=counts.pushed,
            repeated=counts.repeated,
            pulled=counts.pulled,
            looked_up=counts.looked_up,
            deleted=counts.deleted,
            failed=counts.failed,
            streams=counts.streams,
        )
