"""What ties a participant to a store: one call after the other, whatever is asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from holdfast.sync.peer import SyncPeer
from holdfast.sync.persistence.base import ChannelData, HistoryUpdate, Outcome
from holdfast.sync.persistence.memory import MemoryPersistence
from holdfast.sync.saver import Saver
from holdfast.sync.testkit import CHANNEL, NOW_S

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Slow(MemoryPersistence):
    """Waits when it is told to, and says if two calls are under way at once."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.go.set()
        self.under_way = 0
        self.log: list[str] = []

    async def _wait(self, what: str) -> None:
        self.under_way += 1
        assert self.under_way == 1, "two calls at once"
        self.log.append(what)
        try:
            await self.go.wait()
        finally:
            self.under_way -= 1

    async def save_channel_meta(self, channel: str, meta: bytes) -> Outcome:
        await self._wait("meta")
        return await super().save_channel_meta(channel, meta)

    async def update_history(self, channel: str, update: HistoryUpdate) -> Outcome:
        await self._wait("history")
        return await super().update_history(channel, update)

    async def load_channel(self, channel: str) -> ChannelData | str:
        await self._wait("load")
        return await super().load_channel(channel)

    async def drop_channel(self, channel: str) -> Outcome:
        await self._wait("drop")
        return await super().drop_channel(channel)


def test_calls_wait_for_each_other_and_a_slow_store_is_asked_less(run: Run) -> None:
    async def main() -> None:
        store = Slow()
        peer = SyncPeer("alice")
        saver = Saver(peer, store)
        await saver.ensure(CHANNEL, NOW_S)
        store.go.clear()
        flushes = []
        for number in range(10):
            peer.wrap(CHANNEL, b"x", NOW_S, f"m{number}")
            flushes.append(asyncio.ensure_future(saver.flush()))
            await asyncio.sleep(0)
        store.go.set()
        assert all(await asyncio.gather(*flushes))
        assert store.log == ["load", "history", "meta", "history", "meta"]
        assert list(store.history[CHANNEL]) == [f"m{number}" for number in range(10)]

    run(main())


def test_ensuring_twice_at_once_loads_once(run: Run) -> None:
    async def main() -> None:
        store = Slow()
        saver = Saver(SyncPeer("alice"), store)
        assert sorted(await asyncio.gather(*[saver.ensure(CHANNEL, NOW_S) for _ in range(3)])) == [False, False, True]
        assert store.log == ["load"]

    run(main())


def test_removing_waits_for_what_is_being_stored(run: Run) -> None:
    async def main() -> None:
        store = Slow()
        peer = SyncPeer("alice")
        saver = Saver(peer, store)
        await saver.ensure(CHANNEL, NOW_S)
        peer.wrap(CHANNEL, b"x", NOW_S)
        store.go.clear()
        flush = asyncio.ensure_future(saver.flush())
        remove = asyncio.ensure_future(saver.remove(CHANNEL))
        await asyncio.sleep(0)
        store.go.set()
        await asyncio.gather(flush, remove)
        assert store.log == ["load", "history", "meta", "drop"]
        assert store.meta == {} and store.history == {}

    run(main())
