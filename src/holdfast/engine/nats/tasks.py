"""Work that nobody waits for, one piece after the other, until it is done."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ...errors import StorageError

T = TypeVar("T")
_TRIES = 20
_PAUSE_S = 0.1


async def patiently(ask: Callable[[], Awaitable[T | None]]) -> T | None:
    """Ask for what must be there until it is, for two seconds: of several servers, one may be a little behind."""
    for _ in range(_TRIES):
        found = await ask()
        if found is not None:
            return found
        await asyncio.sleep(_PAUSE_S)
    return None


class Background:
    """A queue of such work; what fails because the servers are away is tried again."""

    def __init__(self, pause_s: float) -> None:
        """``pause_s`` between two tries."""
        self._pause_s = pause_s
        self._queue: deque[Callable[[], Awaitable[None]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def do(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have it done; doing it twice must be as good as once."""
        self._queue.append(work)
        if not self._stopped and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._main())

    async def _main(self) -> None:
        while self._queue:
            try:
                await self._queue[0]()
            except StorageError:
                await asyncio.sleep(self._pause_s)
            else:
                self._queue.popleft()

    async def idle(self) -> None:
        """Wait until nothing is left."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    async def stop(self) -> None:
        """Leave the rest."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
