"""Removing what nobody needs any more from the stream of logs, while nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ....errors import StorageError
from ..link.connection import Link
from ..link.streams import purge, remove, state_of
from ..room import Room
from ..tasks import patiently
from .finding import Finder

if TYPE_CHECKING:
    from ..lane import Lane
    from .books import Shelf


class Reclaimer:
    """Purges what is trimmed or deleted, and not shared by a fork."""

    def __init__(self, link: Link, lane: Lane, finder: Finder, room: Room) -> None:
        """See :meth:`start`."""
        self._link = link
        self._lane = lane
        self._finder = finder
        self._room = room
        self._shelves: dict[int, Shelf]
        self._due: dict[int, None] = {}
        self._debris: list[int] = []
        self._task: asyncio.Task[None] | None = None
        self._running = False

    def start(self, shelves: dict[int, Shelf]) -> None:
        """Begin."""
        self._shelves = shelves
        self._running = True
        self._go()

    def mark(self, shelves: Iterable[Shelf]) -> None:
        """Something of ``shelves`` may not be needed any more."""
        for shelf in shelves:
            self._due[shelf.id] = None
        self._go()

    def discard(self, sequences: Iterable[int]) -> None:
        """These messages are parts of what was never stored."""
        self._debris += sequences
        self._go()

    def _go(self) -> None:
        if self._running and (self._due or self._debris) and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._main())

    async def _main(self) -> None:
        while self._due or self._debris:
            try:
                await self._step()
            except StorageError:
                await asyncio.sleep(self._link.limits.nats_reconnect_s)  # the servers are away; it can wait for them

    async def _step(self) -> None:
        if self._debris:
            await remove(self._link, self._lane.stream, self._debris[-1])
            self._debris.pop()
        else:
            log_id = next(iter(self._due))
            shelf = self._shelves.get(log_id)
            if shelf is not None:
                await self._reclaim(shelf)
            self._due.pop(log_id, None)
        if not self._due and not self._debris:
            await self._measure()

    async def _reclaim(self, shelf: Shelf) -> None:
        subject = self._finder.subject(shelf.id)
        if shelf.stored.gone and not shelf.pins:
            await purge(self._link, self._lane.stream, subject)
            self._finder.forget(shelf.id)
            self._shelves.pop(shelf.id, None)
            return
        low = shelf.keep_from()
        if low <= shelf.purged:
            return
        below = shelf.stored.base
        if low < shelf.stored.end:
            found = await patiently(lambda: self._finder.find(shelf, low, self._lane.chain.settled + 1))
            if found is None:
                return  # it is not known what may go; the next trim looks again
            below = min(below, found.sequence)
        await purge(self._link, self._lane.stream, subject, below=below)
        shelf.purged = low

    async def _measure(self) -> None:
        """See how much there is now."""
        if self._room.max_bytes is None:
            return
        state = await state_of(self._link, self._lane.stream)
        flying = sum(flight.size for flight in self._lane.chain.flights if flight.last > state.last)
        self._room.measure(self._lane.stream, state.size + flying)

    async def make_room(self, size: int) -> bool:
        """Wait for what is being removed; whether ``size`` bytes fit then."""
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=self._link.limits.nats_request_s)
        return self._room.fits(size)

    async def idle(self) -> None:
        """Wait until nothing is left to do."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    async def stop(self) -> None:
        """Leave the rest to the next trim; what is deleted, to the next start."""
        self._running = False
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
