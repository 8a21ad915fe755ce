"""Requests that last: ended when their peer leaves, let go when the node drains, counted while they are here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from starlette.types import Receive

T = TypeVar("T")


class Lasting:
    """All lasting requests of a door."""

    def __init__(self) -> None:
        self.draining = False
        self._waits: set[asyncio.Timeout] = set()
        self._tasks: set[asyncio.Future[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

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
