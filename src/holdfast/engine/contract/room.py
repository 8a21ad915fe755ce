"""A full store: loud, nothing half stored, readable, and fine again when there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ...errors import ClosedError, StorageError
from ...limits import MIB
from ..base import Engine, Producer
from .support import EngineFactory, collect, payload, read_all

_CHUNK = 100_000


def _on_a_small_store(factory: EngineFactory, test: Callable[[Engine], Awaitable[None]]) -> None:
    async def main() -> None:
        try:
            engine = factory(max_bytes=2 * MIB)
        except NotImplementedError:
            pytest.skip("this engine cannot be bounded")
        await engine.start()
        try:
            await test(engine)
        finally:
            await engine.stop()

    asyncio.run(main())


async def _fill(engine: Engine, name: str) -> int:
    """Append until it is full; gives the number of chunks that were stored."""
    for number in range(100):
        try:
            await engine.log.append(name, bytes([number]) * _CHUNK)
        except StorageError:
            return number
    pytest.fail("it was never full")


class RoomContract:
    """What happens at ``max_bytes``, as at the end of a disk."""

    def test_full_is_an_error_and_reading_goes_on(self, engine_factory: EngineFactory) -> None:
        async def test(engine: Engine) -> None:
            await engine.log.create("b")
            count = await _fill(engine, "b")
            assert count > 5
            stat = await engine.log.stat("b")
            assert stat.tail == stat.stored_bytes == count * _CHUNK
            want = b"".join(bytes([number]) * _CHUNK for number in range(count))
            assert payload(await read_all(engine.log, "b", 0)) == want

        _on_a_small_store(engine_factory, test)

    def test_a_trim_makes_room(self, engine_factory: EngineFactory) -> None:
        async def test(engine: Engine) -> None:
            await engine.log.create("b")
            for _ in range(3):
                count = await _fill(engine, "b")
                tail = (await engine.log.stat("b")).tail
                assert count > 3
                await engine.log.trim("b", tail - 10)
                assert await engine.log.append("b", b"after") == tail + 5
                assert payload(await engine.log.read("b", tail)) == b"after"

        _on_a_small_store(engine_factory, test)

    def test_a_deleted_log_makes_room(self, engine_factory: EngineFactory) -> None:
        async def test(engine: Engine) -> None:
            await engine.log.create("b")
            first = await _fill(engine, "b")
            await engine.log.delete("b")
            await engine.log.create("b")
            assert await _fill(engine, "b") >= first - 1

        _on_a_small_store(engine_factory, test)

    def test_what_makes_room_is_not_kept_from_it_by_what_needs_some(self, engine_factory: EngineFactory) -> None:
        async def test(engine: Engine) -> None:
            await engine.log.create("b")
            await engine.log.create("other")
            count = await _fill(engine, "b")
            await engine.kv.put("k", b"small")
            waits: list[Awaitable[object]] = [engine.log.append("other", bytes(_CHUNK)) for _ in range(20)]
            waits += [engine.log.delete("b"), engine.kv.delete("k")]
            results = await asyncio.gather(*waits, return_exceptions=True)
            assert results[20:] == [None, True]
            assert await engine.kv.get("k") is None
            stored = sum(isinstance(result, int) for result in results[:20])
            assert (await engine.log.stat("other")).tail == stored * _CHUNK
            await engine.log.create("b")
            assert stored + await _fill(engine, "b") >= count - 1

        _on_a_small_store(engine_factory, test)

    def test_what_is_queued_behind_a_failure_fails_too(self, engine_factory: EngineFactory) -> None:
        async def test(engine: Engine) -> None:
            await engine.log.create("b")
            await engine.log.create("other")
            await engine.log.append("b", b"head")
            waits = [engine.log.append("b", bytes(3 * MIB))]
            if (await engine.log.stat("b")).tail > 4:
                waits += [engine.log.append("b", b"x") for _ in range(5)]
            results = await asyncio.gather(*waits, return_exceptions=True)
            assert [type(result) for result in results] == [StorageError] * len(waits)
            assert (await engine.log.stat("b")).tail == 4
            assert await engine.log.append("b", b"tail", expected_tail=4) == 8
            assert await engine.log.append("other", b"x") == 1
            assert payload(await engine.log.read("b", 0)) == b"headtail"

        _on_a_small_store(engine_factory, test)

    def test_a_failed_commit_never_shows_to_followers(self, engine_factory: EngineFactory) -> None:
        async def test(engine: Engine) -> None:
            await engine.log.create("b")
            reading = asyncio.create_task(collect(engine.log.follow("b", 0)))
            await engine.log.append("b", b"one ")
            with pytest.raises(StorageError):
                await engine.log.append("b", bytes(3 * MIB))
            await engine.log.append("b", b"two")
            await engine.log.close("b")
            assert payload(await reading) == b"one two"
            with pytest.raises(ClosedError):
                await engine.log.append("b", b"x")

        _on_a_small_store(engine_factory, test)

    def test_who_waits_for_what_cannot_be_stored_gets_nothing(self, engine_factory: EngineFactory) -> None:
        async def first(engine: Engine) -> bytes:
            return payload(await engine.log.read_when_stored("b", 4))

        async def last(engine: Engine) -> bytes:
            tail = (await engine.log.stat("b")).tail  # it is 4 again where it has failed by now
            return payload(await engine.log.read_when_stored("b", max(4, tail - 1)))

        async def test(engine: Engine) -> None:
            await engine.log.create("b")
            await engine.log.append("b", b"head")
            append = engine.log.append("b", bytes(3 * MIB))
            assert b"".join(await asyncio.gather(first(engine), last(engine))) == b""
            with pytest.raises(StorageError):
                await append
            assert payload(await engine.log.read_when_stored("b", 0)) == b"head"

        _on_a_small_store(engine_factory, test)

    def test_what_came_with_a_failed_append_is_taken_back(self, engine_factory: EngineFactory) -> None:
        async def test(engine: Engine) -> None:
            await engine.log.create("b", meta=b"before")
            await engine.log.append("b", b"head", producer=Producer("p", 0, 0))
            large = bytes(3 * MIB)
            waits = [engine.log.append("b", large, producer=Producer("p", 0, 1), meta=b"after", close=True)]
            if (await engine.log.stat("b")).tail > 4:  # it waits; so does who tries again meanwhile
                waits.append(engine.log.append("b", large, producer=Producer("p", 0, 1)))
            results = await asyncio.gather(*waits, return_exceptions=True)
            assert [type(result) for result in results] == [StorageError] * len(waits)
            stat = await engine.log.stat("b")
            assert (stat.tail, stat.closed, stat.meta) == (4, False, b"before")
            assert await engine.log.producer("b", "p") == Producer("p", 0, 0)
            assert await engine.log.append("b", b"tail", producer=Producer("p", 0, 1), meta=b"after") == 8
            assert (await engine.log.stat("b")).meta == b"after"

        _on_a_small_store(engine_factory, test)

    def test_what_was_seen_of_it_too(self, engine_factory: EngineFactory) -> None:
        async def test(engine: Engine) -> None:
            await engine.log.create("b", meta=b"before")
            wait = engine.log.append("b", bytes(3 * MIB), meta=b"after", close=True, ack="memory")
            await asyncio.gather(wait, return_exceptions=True)
            with pytest.raises((StorageError, ClosedError)):
                await engine.log.append("b", bytes(3 * MIB))
            for _ in range(2):  # one may be stored before what it met, the next one is not: by then its fate is known
                await asyncio.gather(engine.probe(), return_exceptions=True)
            stat = await engine.log.stat("b")
            assert (stat.tail, stat.closed, stat.meta) == (0, False, b"before")
            assert await engine.log.append("b", b"x", close=True) == 1

        _on_a_small_store(engine_factory, test)

    def test_a_fork_on_a_full_store_can_be_left(self, engine_factory: EngineFactory) -> None:
        async def test(engine: Engine) -> None:
            await engine.log.create("b")
            await engine.log.append("b", bytes(MIB // 2))
            await engine.log.fork("f", "b", MIB // 4)
            await engine.log.delete("b")
            assert len(payload(await read_all(engine.log, "f", 0))) == MIB // 4
            await engine.log.delete("f")
            await engine.log.create("g")
            count = await _fill(engine, "g")
            assert count * _CHUNK > MIB

        _on_a_small_store(engine_factory, test)

    def test_keys_too(self, engine_factory: EngineFactory) -> None:
        async def test(engine: Engine) -> None:
            before = await engine.kv.put("k", b"small")
            with pytest.raises(StorageError):
                await engine.kv.put("k", bytes(3 * MIB))
            item = await engine.kv.get("k")
            assert item is not None
            assert (item.value, item.revision) == (b"small", before)
            assert await engine.kv.put("k", b"again") > before

        _on_a_small_store(engine_factory, test)
