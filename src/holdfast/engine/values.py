"""The :class:`~holdfast.engine.base.KeyValue` of the engines that keep a node's keys themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from ..errors import ClosedError
from . import checks
from .base import AckLevel, Change, Item, Synced
from .state import Control
from .watching import ChangeRing, Watcher


class ValueStore(Protocol):
    """Where :class:`Values` keeps things; each ``…ing`` method gives what the store's side has to run."""

    def submit(self, operation: Control) -> None:
        """Queue it, in line with all others."""
        ...

    def putting(self, key: str, value: bytes, revision: int | None) -> Callable[[], Change]:
        """Store the value; Conflict if ``revision`` is given and the key is at another."""
        ...

    def removing(self, key: str, revision: int | None) -> Callable[[], Change | None]:
        """Remove the key; None if there is none; Conflict if ``revision`` is given and the key is at another."""
        ...

    async def get(self, key: str) -> Item | None:
        """The key's item."""
        ...

    async def snapshot(self, prefix: str) -> tuple[int, list[Item]]:
        """The revision of the store and, at this very revision, all items under ``prefix``, by key."""
        ...


class Values:
    """Implements :class:`~holdfast.engine.base.KeyValue` over ``store``."""

    def __init__(self, store: ValueStore, revision: int) -> None:
        self._store = store
        self._changes = ChangeRing(revision)
        self._stopped = False

    async def get(self, key: str) -> Item | None:
        """The key's item, or None."""
        checks.check_key(key, "key")
        self.check_running()
        return await self._store.get(key)

    async def put(self, key: str, value: bytes, *, ack: AckLevel = "disk") -> int:
        """Store ``value``; gives its revision."""
        return await self._put(key, value, None, ack)

    async def put_if(self, key: str, value: bytes, revision: int, *, ack: AckLevel = "disk") -> int:
        """Store ``value`` if the key is at ``revision`` (0: not there).  Conflict(expected, actual) if not."""
        return await self._put(key, value, checks.check_position(revision, "revision"), ack)

    async def _put(self, key: str, value: bytes, revision: int | None, ack: AckLevel) -> int:
        checks.check_key(key, "key")
        run = self._store.putting(key, checks.check_value(value), revision)
        change = await self._change(run, checks.check_ack(ack))
        assert change is not None
        return change.item.revision

    async def delete(self, key: str, *, revision: int | None = None, ack: AckLevel = "disk") -> bool:
        """Remove the key; whether there was one.  Conflict if ``revision`` is given and another is there."""
        checks.check_key(key, "key")
        return await self._change(self._store.removing(key, revision), checks.check_ack(ack)) is not None

    async def _change(self, run: Callable[[], Change | None], level: int) -> Change | None:
        self.check_running()
        future: asyncio.Future[Change | None] = asyncio.get_running_loop().create_future()
        self._store.submit(Control(None, run, self._changed, future, level=level))
        return await future

    def _changed(self, change: Change | None) -> Change | None:
        if change is not None:
            self._changes.push(change)
        return change

    async def snapshot(self, prefix: str) -> tuple[int, list[Item]]:
        """The revision of the store, and all items under ``prefix`` at this revision."""
        self.check_running()
        return await self._store.snapshot(prefix)

    async def list(self, prefix: str = "") -> Sequence[Item]:
        """All items whose key starts with ``prefix``, by key."""
        return (await self.snapshot(prefix))[1]

    def watch(self, prefix: str = "") -> AsyncIterator[Change | Synced]:
        """The items of now, then Synced, then every change: no gap, no repeat.

        Raises SlowConsumer(last revision given, bytes behind) when the watcher falls further behind than
        the changes kept in memory, and ClosedError when the engine stops.
        """
        return Watcher(self, self._changes, prefix)

    def check_running(self) -> None:
        """ClosedError after :meth:`stop`."""
        if self._stopped:
            raise ClosedError("the engine was stopped")

    def stop(self) -> None:
        """Refuse all from now on; watchers get ClosedError."""
        self._stopped = True
        self._changes.wake()
