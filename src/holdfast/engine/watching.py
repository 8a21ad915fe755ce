"""Watching keys: one shared run of recent changes, and a cursor in it for each watcher."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from ..errors import SlowConsumer
from ..limits import LIMITS
from .base import Change, Item, Synced

_OVERHEAD_BYTES = 200


class ChangeRing:
    """The newest changes of a store, by revision without a gap, bounded in bytes."""

    def __init__(self, revision: int) -> None:
        self._changes: deque[Change] = deque()
        self._waiters: list[asyncio.Future[None]] = []
        self.revision = revision
        self.cost_bytes = 0

    def push(self, change: Change) -> None:
        """Add the newest change; wake the watchers."""
        assert change.item.revision == self.revision + 1
        self.revision += 1
        self._changes.append(change)
        self.cost_bytes += _cost(change)
        while self.cost_bytes > LIMITS.watch_bytes_max and len(self._changes) > 1:
            self.cost_bytes -= _cost(self._changes.popleft())
        self.wake()

    def after(self, revision: int) -> Change | None:
        """The change that followed ``revision``; None if it is yet to come.  SlowConsumer if it is forgotten."""
        if revision >= self.revision:
            return None
        index = revision - self.revision + len(self._changes)
        if index < 0:
            raise SlowConsumer(
                f"the watcher is {self.revision - revision} changes behind; watch again",
                last_position=revision,
                behind_bytes=self.cost_bytes,
            )
        return self._changes[index]

    def wake(self) -> None:
        """Let every watcher look again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def changed(self) -> None:
        """Wait for :meth:`wake`.  Cancel-safe; leaves nothing behind."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)


def _cost(change: Change) -> int:
    return len(change.item.value) + len(change.item.key) + _OVERHEAD_BYTES


class Snapshots(Protocol):
    """What a watcher needs of the store."""

    async def snapshot(self, prefix: str) -> tuple[int, list[Item]]:
        """The revision of the store, and all items under ``prefix`` at this revision."""
        ...

    def check_running(self) -> None:
        """ClosedError if the store was stopped."""
        ...


class Watcher(AsyncIterator[Change | Synced]):
    """The items of now, then Synced, then every change.  A step that is cancelled loses nothing."""

    def __init__(self, source: Snapshots, changes: ChangeRing, prefix: str) -> None:
        self._source = source
        self._changes = changes
        self._prefix = prefix
        self._snapshot: deque[Change | Synced] | None = None
        self._revision = 0
        self._ended = False

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> Change | Synced:
        if self._ended:
            raise StopAsyncIteration
        if self._snapshot is None:
            self._revision, items = await self._source.snapshot(self._prefix)
            self._snapshot = deque(map(Change, items))
            self._snapshot.append(Synced(self._revision))
        if self._snapshot:
            return self._snapshot.popleft()
        while True:
            self._source.check_running()
            change = self._changes.after(self._revision)
            if change is None:
                await self._changes.changed()
                continue
            self._revision += 1
            if change.item.key.startswith(self._prefix):
                return change

    async def aclose(self) -> None:
        """End the watch; there is nothing to let go of."""
        self._ended = True
        self._snapshot = None
