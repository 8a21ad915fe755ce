"""Keys: compare-and-set, listing, and watching without a gap."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...errors import ClosedError, Conflict, LimitExceeded, UsageError
from ...limits import LIMITS
from ..base import Change, Engine, Item, Synced
from .support import EngineFactory, scenario, step


class KeyContract:
    """What a key-value store does."""

    @scenario
    async def test_put_and_get(self, engine: Engine) -> None:
        assert await engine.kv.get("a") is None
        first = await engine.kv.put("a", b"1")
        assert first > 0
        assert await engine.kv.get("a") == Item("a", b"1", first)
        second = await engine.kv.put("a", b"", ack="os")
        assert second > first
        assert await engine.kv.get("a") == Item("a", b"", second)

    @scenario
    async def test_put_if(self, engine: Engine) -> None:
        first = await engine.kv.put_if("a", b"1", 0)
        with pytest.raises(Conflict) as caught:
            await engine.kv.put_if("a", b"2", 0)
        assert (caught.value.expected, caught.value.actual) == (0, first)
        second = await engine.kv.put_if("a", b"2", first, ack="memory")
        with pytest.raises(Conflict):
            await engine.kv.put_if("a", b"3", first)
        with pytest.raises(Conflict):
            await engine.kv.put_if("b", b"3", first)
        assert await engine.kv.get("a") == Item("a", b"2", second)
        assert await engine.kv.get("b") is None

    @scenario
    async def test_one_of_many_wins(self, engine: Engine) -> None:
        results = await asyncio.gather(
            *(engine.kv.put_if("lease", b"%d" % number, 0) for number in range(20)), return_exceptions=True
        )
        (winner,) = [number for number, result in enumerate(results) if isinstance(result, int)]
        assert sum(isinstance(result, Conflict) for result in results) == 19
        item = await engine.kv.get("lease")
        assert item is not None
        assert item.value == b"%d" % winner

    @scenario
    async def test_delete(self, engine: Engine) -> None:
        assert await engine.kv.delete("a") is False
        first = await engine.kv.put("a", b"1")
        with pytest.raises(Conflict):
            await engine.kv.delete("a", revision=first + 1)
        assert await engine.kv.delete("a", revision=first) is True
        assert await engine.kv.get("a") is None
        with pytest.raises(Conflict):
            await engine.kv.delete("a", revision=first)
        assert await engine.kv.put_if("a", b"2", 0) > first + 1

    @scenario
    async def test_list(self, engine: Engine) -> None:
        for key in ("b/2", "a", "b/10", "b", "b/\U0010ffff", "b/\U0010ffffx", "c", "B/1"):
            await engine.kv.put(key, key.encode())
        await engine.kv.delete("b/2")
        items = await engine.kv.list("b/")
        assert [item.key for item in items] == ["b/10", "b/\U0010ffff", "b/\U0010ffffx"]
        assert all(item.value == item.key.encode() for item in items)
        assert [item.key for item in await engine.kv.list()] == ["B/1", "a", "b", *(item.key for item in items), "c"]
        assert await engine.kv.list("d") == []

    @scenario
    async def test_what_is_refused(self, engine: Engine) -> None:
        text: Any = "text"
        for key, value in (("", b""), ("a\0", b""), ("a", text)):
            with pytest.raises(UsageError):
                await engine.kv.put(key, value)
        with pytest.raises(LimitExceeded):
            await engine.kv.put("a", bytes(LIMITS.value_bytes_max + 1))
        assert await engine.kv.list() == []

    def test_everything_is_there_after_a_restart(self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            for number in range(20):
                await engine.kv.put(f"k{number:02}", b"%d" % number, ack="memory" if number % 2 else "disk")
            await engine.kv.delete("k19")
            last = await engine.kv.put("z", b"")
            assert await engine.kv.delete("z")
            before = await engine.kv.list()
            kv = engine.kv
            await engine.stop()
            with pytest.raises(ClosedError):
                await kv.get("k01")
            engine = engine_factory()
            await engine.start()
            assert await engine.kv.list() == before
            assert await engine.kv.put("y", b"") > last, "revisions go on, deleted keys' ones too"
            await engine.stop()

        asyncio.run(main())


class WatchContract:
    """What watchers of keys get."""

    @scenario
    async def test_snapshot_then_live(self, engine: Engine) -> None:
        first = await engine.kv.put("a/1", b"1")
        await engine.kv.put("b", b"not watched")
        second = await engine.kv.put("a/2", b"2")
        watch = engine.kv.watch("a/")
        assert await step(watch) == Change(Item("a/1", b"1", first))
        assert await step(watch) == Change(Item("a/2", b"2", second))
        synced = await step(watch)
        assert isinstance(synced, Synced)
        assert synced.revision >= second
        waiting = asyncio.create_task(step(watch))
        await engine.kv.put("b", b"still not")
        third = await engine.kv.put("a/1", b"3")
        assert await waiting == Change(Item("a/1", b"3", third))
        await engine.kv.delete("a/2")
        gone = await step(watch)
        assert (gone.item.key, gone.item.value, gone.deleted) == ("a/2", b"", True)
        assert gone.item.revision > third

    @scenario
    async def test_no_gap_and_no_repeat(self, engine: Engine) -> None:
        """Watchers that begin while changes go on see each change once, in the snapshot or after it."""
        keys = [f"k{number}" for number in range(7)]

        async def write() -> None:
            for number in range(60):
                key = keys[number % 7]
                if number % 5:
                    await engine.kv.put(key, b"%d" % number, ack="os")
                else:
                    await engine.kv.delete(key, ack="os")

        async def follow(watch: Any) -> dict[str, bytes]:
            state: dict[str, bytes] = {}
            revision, synced = 0, False
            async for change in watch:
                if isinstance(change, Synced):
                    synced, revision = True, max(revision, change.revision)
                    continue
                if synced:
                    assert change.item.revision > revision, "a repeat"
                    revision = change.item.revision
                if change.deleted:
                    state.pop(change.item.key, None)
                else:
                    state[change.item.key] = change.item.value
                if change.item.key == "last":
                    break
            return state

        writing = asyncio.create_task(write())
        watchers = []
        for _ in range(10):
            watchers.append(asyncio.create_task(follow(engine.kv.watch())))
            await engine.kv.get("k0")
        await writing
        await engine.kv.put("last", b"")
        want = {item.key: item.value for item in await engine.kv.list()}
        for watcher in watchers:
            assert await watcher == want

    @scenario
    async def test_a_cancelled_step_loses_nothing(self, engine: Engine) -> None:
        watch = engine.kv.watch()
        assert await step(watch) == Synced(0)
        got = []
        for number in range(10):
            waiting = asyncio.create_task(step(watch))
            await asyncio.sleep(0)
            putting = asyncio.create_task(engine.kv.put("k", b"%d" % number))
            for _ in range(number % 3):
                await asyncio.sleep(0)
            waiting.cancel()
            got += [r for r in await asyncio.gather(waiting, return_exceptions=True) if isinstance(r, Change)]
            await putting
        while len(got) < 10:
            got.append(await step(watch))
        assert [change.item.value for change in got] == [b"%d" % number for number in range(10)]

    def test_stopping_the_engine_wakes_watchers(self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            watch = engine.kv.watch()
            assert isinstance(await step(watch), Synced)
            waiting = asyncio.create_task(step(watch))
            await asyncio.sleep(0)
            await engine.stop()
            with pytest.raises(ClosedError):
                await waiting

        asyncio.run(main())
