"""State in an engine: whatever cuts a commit off, the channel stands as before it or after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from holdfast.engine.base import Engine, KeyValue, Log
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import CorruptionError, StorageError
from holdfast.sync.peer import SyncPeer
from holdfast.sync.persistence.base import ChannelData, HistoryUpdate, StoredMessage
from holdfast.sync.persistence.engine import EnginePersistence
from holdfast.sync.persistence.snapshot import seal
from holdfast.sync.saver import Saver
from holdfast.sync.testkit import CHANNEL, NOW_S, message
from holdfast.sync.wire.protobuf import number_field

Run = Callable[[Coroutine[Any, Any, Any]], Any]
KEY_PREFIX = "sync/default/"


class Failing:
    """An engine's part that does what the engine's own does, until one of its methods is named in ``failing``."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        self.failing: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name not in self.failing:
            return getattr(self._inner, name)

        async def fail(*_: object, **__: object) -> None:
            raise StorageError(f"{name}: the disk is full")

        return fail


class FailingEngine:
    def __init__(self, engine: Engine) -> None:
        self.failing_log, self.failing_kv = Failing(engine.log), Failing(engine.kv)
        self.log, self.kv = cast("Log", self.failing_log), cast("KeyValue", self.failing_kv)
        self.blobs, self.bus = engine.blobs, engine.bus
        self.start, self.stop, self.probe = engine.start, engine.stop, engine.probe


async def opened() -> MemoryEngine:
    engine = MemoryEngine()
    await engine.start()
    return engine


def stored(message_id: str) -> StoredMessage:
    return StoredMessage(message_id, message(message_id, 1))


def ids(data: ChannelData | str) -> list[str]:
    assert isinstance(data, ChannelData), data
    return [item.message_id for item in data.history]


def update(*append: str, evict: tuple[str, ...] = ()) -> HistoryUpdate:
    return HistoryUpdate(tuple([stored(name) for name in append]), evict)


@pytest.mark.parametrize("part", ["append", "put"])
def test_a_commit_cut_off_anywhere_never_was(run: Run, part: str) -> None:
    async def main() -> None:
        engine = FailingEngine(await opened())
        store = EnginePersistence(engine)
        assert await store.commit(CHANNEL, b"one", update("a", "b")) is None
        failing = engine.failing_log if part == "append" else engine.failing_kv
        failing.failing.add(part)
        assert "the disk is full" in (await store.commit(CHANNEL, b"two", update("c", evict=("a",))) or "")
        failing.failing.clear()
        # The crash comes now ...
        after_crash = EnginePersistence(engine)
        data = await after_crash.load_channel(CHANNEL)
        assert isinstance(data, ChannelData)
        assert (data.meta, ids(data)) == (b"one", ["a", "b"])
        # ... or does not, and it is tried again.
        for again in (store, after_crash):
            assert await again.commit(CHANNEL, b"three", update("d", evict=("b",))) is None
            data = await EnginePersistence(engine).load_channel(CHANNEL)
            assert isinstance(data, ChannelData)
            assert data.meta == b"three"
            assert ids(data)[0] == "a" and "c" not in ids(data)

    run(main())


def test_a_store_torn_at_any_byte_is_refused(run: Run) -> None:
    async def main() -> None:
        engine = await opened()
        peer = SyncPeer("alice")
        saver = Saver(peer, EnginePersistence(engine))
        await saver.ensure(CHANNEL, NOW_S)
        for number in range(3):
            peer.wrap(CHANNEL, b"x", NOW_S, f"m{number}")
            peer.unwrap(message(f"w{number}", 5, ["gone"]), NOW_S)
            await saver.flush()
        (item,) = await engine.kv.list(KEY_PREFIX)
        for size in range(len(item.value)):
            await engine.kv.put(item.key, item.value[:size])
            with pytest.raises(StorageError):
                await Saver(SyncPeer("alice"), EnginePersistence(engine)).ensure(CHANNEL, NOW_S)
        for place in range(0, len(item.value), 3):
            flipped = bytearray(item.value)
            flipped[place] ^= 0x10
            await engine.kv.put(item.key, bytes(flipped))
            with pytest.raises(StorageError):
                await Saver(SyncPeer("alice"), EnginePersistence(engine)).ensure(CHANNEL, NOW_S)
        await engine.kv.put(item.key, item.value)
        again = SyncPeer("alice")
        assert await Saver(again, EnginePersistence(engine)).ensure(CHANNEL, NOW_S)
        assert again.status(CHANNEL)[:6] == peer.status(CHANNEL)[:6]

    run(main())


def test_a_log_that_lost_its_end_is_refused(run: Run) -> None:
    async def main() -> None:
        engine = await opened()
        store = EnginePersistence(engine)
        await store.commit(CHANNEL, b"one", update("a"))
        (item,) = await engine.kv.list(KEY_PREFIX)
        await engine.log.delete(item.key)
        assert "expected a history to 2" in str(await EnginePersistence(engine).load_channel(CHANNEL))
        await engine.log.create(item.key, mode="entries")
        assert "expected a history to 2" in str(await EnginePersistence(engine).load_channel(CHANNEL))

    run(main())


def test_another_version_is_refused(run: Run) -> None:
    async def main() -> None:
        engine = await opened()
        store = EnginePersistence(engine)
        await store.commit(CHANNEL, b"one", None)
        (item,) = await engine.kv.list(KEY_PREFIX)
        await engine.kv.put(item.key, seal(number_field(1, 9)))
        assert "expected version 1, got 9" in str(await EnginePersistence(engine).load_channel(CHANNEL))

    run(main())


def test_what_is_done_with_is_trimmed(run: Run) -> None:
    async def main() -> None:
        engine = await opened()
        store = EnginePersistence(engine)
        for number in range(700):
            evict = (f"m{number - 5}",) if number >= 5 else ()
            assert await store.commit(CHANNEL, b"meta", update(f"m{number}", evict=evict)) is None
        (stat,) = await engine.log.list(KEY_PREFIX)
        assert stat.tail - stat.oldest < 300
        data = await EnginePersistence(engine).load_channel(CHANNEL)
        assert ids(data) == [f"m{number}" for number in range(695, 700)]

    run(main())


def test_a_failing_trim_costs_only_room(run: Run) -> None:
    async def main() -> None:
        engine = FailingEngine(await opened())
        store = EnginePersistence(engine)
        engine.failing_log.failing.add("trim")
        for number in range(600):
            evict = (f"m{number - 2}",) if number >= 2 else ()
            assert await store.commit(CHANNEL, b"meta", update(f"m{number}", evict=evict)) is None
        assert ids(await EnginePersistence(engine).load_channel(CHANNEL)) == ["m598", "m599"]

    run(main())


def test_a_drop_cut_off_half_way_leaves_nothing_to_inherit(run: Run) -> None:
    async def main() -> None:
        engine = FailingEngine(await opened())
        store = EnginePersistence(engine)
        await store.commit(CHANNEL, b"old", update("a", "b"))
        engine.failing_log.failing.add("delete")
        assert "the disk is full" in str(await store.drop_channel(CHANNEL))
        engine.failing_log.failing.clear()
        again = EnginePersistence(engine)
        assert await again.load_channel(CHANNEL) == ChannelData()
        assert await again.commit(CHANNEL, b"new", update("c")) is None
        assert ids(await EnginePersistence(engine).load_channel(CHANNEL)) == ["c"]
        assert await again.drop_channel(CHANNEL) is None
        assert await again.drop_channel(CHANNEL) is None

    run(main())


def test_a_store_used_without_transactions_and_before_loading(run: Run) -> None:
    async def main() -> None:
        engine = await opened()
        store = EnginePersistence(engine)
        assert await store.update_history(CHANNEL, update("a")) is None
        assert await store.save_channel_meta(CHANNEL, b"meta") is None
        assert await EnginePersistence(engine).update_history(CHANNEL, update("b")) is None
        data = await EnginePersistence(engine).load_channel(CHANNEL)
        assert data == ChannelData(b"meta", (stored("a"), stored("b")))

    run(main())


def test_hints_come_back_and_go_with_their_messages(run: Run) -> None:
    async def main() -> None:
        engine = await opened()
        store = EnginePersistence(engine)
        await store.commit(CHANNEL, b"meta", update("a", "b"))
        assert await store.set_retrieval_hint("a", b"there") is None
        assert await store.set_retrieval_hint("unknown", b"there") is None
        await store.commit(CHANNEL, b"meta", update(evict=("b",)))
        data = await EnginePersistence(engine).load_channel(CHANNEL)
        assert data == ChannelData(b"meta", (stored("a")._replace(hint=b"there"),))

    run(main())


def test_participants_in_one_engine_are_apart_and_names_may_be_anything(run: Run) -> None:
    async def main() -> None:
        engine = await opened()
        name = "a/b\0c \u2028" + "x" * 900
        for space in ("alice", "bob"):
            await EnginePersistence(engine, space).commit(name, space.encode(), update(space))
        for space in ("alice", "bob"):
            data = await EnginePersistence(engine, space).load_channel(name)
            assert data == ChannelData(space.encode(), (stored(space),))

    run(main())


def test_a_commit_cancelled_is_made_up_for(run: Run) -> None:
    """A cancelled flush counts as failed; whatever was stored of it, the next one is complete."""

    async def main() -> None:
        engine = await opened()
        peer = SyncPeer("alice")
        saver = Saver(peer, EnginePersistence(engine))
        await saver.ensure(CHANNEL, NOW_S)
        for steps in range(1, 12):
            peer.wrap(CHANNEL, b"x", NOW_S, f"m{steps}")
            task = asyncio.ensure_future(saver.flush())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert await saver.flush()
        again = SyncPeer("alice")
        await Saver(again, EnginePersistence(engine)).ensure(CHANNEL, NOW_S)
        assert sorted(one.message_id for one in again.log(CHANNEL)) == sorted(f"m{n}" for n in range(1, 12))

    run(main())


def test_corruption_is_a_storage_error() -> None:
    assert issubclass(CorruptionError, StorageError)
