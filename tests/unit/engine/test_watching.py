from __future__ import annotations

import asyncio

import pytest

from holdfast.engine.base import Change, Item, Synced
from holdfast.engine.memory import MemoryEngine
from holdfast.engine.watching import ChangeRing
from holdfast.errors import SlowConsumer
from holdfast.limits import LIMITS


def change(revision: int, size: int = 0) -> Change:
    return Change(Item("k", bytes(size), revision))


def test_changes_are_found_by_revision() -> None:
    ring = ChangeRing(10)
    assert ring.after(10) is None
    for revision in (11, 12, 13):
        ring.push(change(revision))
    assert [ring.after(revision) for revision in (10, 12, 13, 14)] == [change(11), change(13), None, None]


def test_the_ring_is_bounded_in_bytes_and_says_so() -> None:
    ring = ChangeRing(0)
    for revision in range(1, 101):
        ring.push(change(revision, LIMITS.watch_bytes_max // 10))
    assert ring.cost_bytes <= LIMITS.watch_bytes_max
    assert ring.after(95) is not None
    with pytest.raises(SlowConsumer) as caught:
        ring.after(50)
    assert caught.value.last_position == 50


def test_a_change_larger_than_the_ring_is_still_given() -> None:
    ring = ChangeRing(0)
    ring.push(change(1, LIMITS.watch_bytes_max * 2))
    assert ring.after(0) is not None


def test_a_watcher_that_slept_too_long_is_told() -> None:
    async def main() -> None:
        engine = MemoryEngine()
        await engine.start()
        watch = engine.kv.watch()
        assert await watch.__anext__() == Synced(0)
        for _ in range(20):
            await engine.kv.put("k", bytes(LIMITS.value_bytes_max // 4))
        with pytest.raises(SlowConsumer):
            await watch.__anext__()
        await engine.stop()

    asyncio.run(main())


def test_waiting_leaves_nothing_behind() -> None:
    async def main() -> None:
        ring = ChangeRing(0)
        tasks = [asyncio.create_task(ring.changed()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.gather(tasks[0], return_exceptions=True)
        assert len(ring._waiters) == 2
        ring.wake()
        await asyncio.gather(*tasks[1:])

    asyncio.run(main())
