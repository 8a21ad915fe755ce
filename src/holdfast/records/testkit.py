"""For tests: the records of a node on any engine, under a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from ..clock import VirtualClock
from ..errors import HoldfastError
from ..limits import LIMITS, Limits
from .domain import RecordDomain

if TYPE_CHECKING:
    from types import TracebackType

    from ..engine.base import Engine
    from .collection import Collector
    from .store import RecordStore


class RecordRoom:
    """A domain and its engine.  ``async with`` it; :meth:`restart` is a node that went and came again."""

    def __init__(self, make_engine: Callable[[], Engine], limits: Limits = LIMITS) -> None:
        self._make_engine = make_engine
        self._limits = limits
        self.clock = VirtualClock()
        self.engine: Engine
        self.domain: RecordDomain

    async def __aenter__(self) -> Self:
        self.engine = self._make_engine()
        await self.engine.start()
        self.domain = RecordDomain(self.engine, clock=self.clock, limits=self._limits)
        await self.domain.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.domain.close()
        await self.engine.stop()

    async def restart(self) -> None:
        """Stop, and begin again on what is stored."""
        await self.__aexit__(None, None, None)
        await self.__aenter__()

    @property
    def store(self) -> RecordStore:
        """The store."""
        return self.domain.store

    @property
    def collector(self) -> Collector:
        """The collector."""
        return self.domain.collector

    async def push(self, *records: Any) -> list[str]:
        """Push them; their CIDs.  Raises the first error."""
        results = await self.store.push_many([json.dumps(record).encode() for record in records])
        cids = []
        for result in results:
            if isinstance(result, HoldfastError):
                raise result
            cids.append(result.cid)
        return cids

    async def pull(self, *cids: str) -> list[Any]:
        """Each record's content, or its error."""
        found = [answer async for answers in self.store.pull_many(cids) for answer in answers]
        return [answer if isinstance(answer, HoldfastError) else json.loads(answer) for answer in found]

    async def listed(self) -> list[str]:
        """The CIDs of all records."""
        found: list[str] = []
        while page := await self.store.list(found[-1] if found else "", 0):
            found += [meta.cid for meta in page]
        return found

    async def changes(self) -> list[tuple[str, str, str]]:
        """Kind, CID and name of all in the feed."""
        page = await self.store.feed.read(0, 0)
        return [(entry.kind, entry.cid, entry.name) for entry in page.entries]
