"""Requests that last: ended when their peer leaves, let go when the node drains, counted while they are here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..errors import RateLimited

if TYPE_CHECKING:
    from starlette.types import Receive

    from ..durable.store import LiveReader, StreamStore

T = TypeVar("T")

_AGAIN_S = 5.0
"""When who has too many readers may try again: some may have left."""


class Reading(NamedTuple):
    """A live reader of a stream."""

    shown: str
    """The stream's whole path."""
    store: StreamStore
    path: str
    """Its path within ``store``."""
    reader: LiveReader


class Lasting:
    """All lasting requests of a door."""

    def __init__(self) -> None:
        self.draining = False
        self._waits: set[asyncio.Timeout] = set()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._readings: set[Reading] = set()
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._tasks)

    def readings(self) -> list[Reading]:
        """What is being read."""
        return list(self._readings)

    @contextmanager
    def held_by(self, holder: str, readers_max: int) -> Iterator[None]:
        """One more live reader of ``holder`` within the block, unless that is nobody in particular.

        RateLimited if it has ``readers_max`` of them.
        """
        if not holder:
            yield
            return
        count = self._held[holder]
        if count >= readers_max:
            text = f"http_readers_per_token_max: {count + 1} is over the limit of {readers_max}"
            raise RateLimited(text, "http_readers_per_token_max", readers_max, count + 1, _AGAIN_S)
        self._held[holder] = count + 1
        try:
            yield
        finally:
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]

    @contextmanager
    def reading(self, shown: str, store: StreamStore, path: str, reader: LiveReader) -> Iterator[None]:
        """Let :meth:`readings` tell of ``reader`` within the block, and close it at its end."""
        reading = Reading(shown, store, path, reader)
        self._readings.add(reading)
        try:
            yield
        finally:
            self._readings.discard(reading)
            reader.close()

    def drain(self) -> None:
        """Let every wait end now, and every later one at once."""
        self.draining = True
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            wait.reschedule(now)

    async def wait(self, coming: Awaitable[T], timeout_s: float) -> T | None:
        """What comes within ``timeout_s``, or None; None when draining."""
        wait = asyncio.timeout(0 if self.draining else timeout_s)
        try:
            async with wait:
                self._waits.add(wait)
                return await coming
        except TimeoutError:
            return None
        finally:
            self._waits.discard(wait)

    async def run(self, work: Coroutine[Any, Any, T], receive: Receive) -> T | None:
        """``work`` to its end, or None if the peer leaves first; then it is cancelled and has ended on return."""
        task = asyncio.ensure_future(work)
        watcher = asyncio.ensure_future(_left(receive))
        self._tasks.add(task)
        try:
            await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            for one in (task, watcher):
                one.cancel()
            await asyncio.gather(task, watcher, return_exceptions=True)
            self._tasks.discard(task)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
