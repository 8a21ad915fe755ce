"""Free-standing streams over a memory engine, under a clock that tests set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast.clock import VirtualClock
from holdfast.durable.model import Addition, Creation, Fork, Page, StreamInfo
from holdfast.durable.streams import DurableStreams
from holdfast.engine.base import Producer
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import (
    ClosedError,
    Conflict,
    CorruptionError,
    Fenced,
    Gone,
    LimitExceeded,
    NotFound,
    SequenceGap,
    StorageError,
    UsageError,
)
from holdfast.limits import LIMITS, Limits
from tests.conftest import Run

TEXT = "text/plain"


class World:
    """Streams, the engine below them and the clock beside them."""

    def __init__(self, limits: Limits = LIMITS, *, max_bytes: int | None = None) -> None:
        self.limits = limits
        self.engine = MemoryEngine(max_bytes=max_bytes)
        self.clock = VirtualClock()
        self.streams: DurableStreams

    async def start(self) -> None:
        await self.engine.start()
        self.streams = DurableStreams(self.engine, clock=self.clock, limits=self.limits)
        await self.streams.open()

    async def stop(self) -> None:
        await self.streams.close()
        await self.engine.stop()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def make(self, path: str, body: bytes = b"", content_type: str | None = TEXT, **fields: Any) -> StreamInfo:
        info, created = await self.streams.create(path, Creation(content_type=content_type, body=body, **fields))
        assert created
        return info

    async def fork(self, path: str, source: str, position: int | None = None, **fields: Any) -> StreamInfo:
        return await self.make(path, content_type=None, fork=Fork(source=source, position=position), **fields)

    async def add(self, path: str, body: bytes, **fields: Any) -> int:
        return (await self.streams.append(path, Addition(body=body, content_type=TEXT, **fields))).tail

    async def text(self, path: str) -> bytes:
        return b"".join((await self.page(path)).chunks)

    async def page(self, path: str, where: Any = "start") -> Page:
        return await self.streams.read(path, where, 1 << 20)

    async def state(self, path: str) -> str:
        try:
            await self.streams.info(path)
        except NotFound:
            return "none"
        except Gone:
            return "ghost"
        return "there"


Test = Callable[[World], Coroutine[Any, Any, None]]


def play(run: Run, test: Test, limits: Limits = LIMITS, *, max_bytes: int | None = None) -> None:
    async def main() -> None:
        world = World(limits, max_bytes=max_bytes)
        await world.start()
        try:
            await test(world)
        finally:
            await world.stop()

    run(main())


def test_a_stream_is_created_once_and_then_ensured(run: Run) -> None:
    async def test(world: World) -> None:
        info = await world.make("a", b"x", ttl_s=60)
        assert (info.tail, info.closed, info.ttl_s, info.content_type) == (1, False, 60, TEXT)
        again = Creation(content_type="TEXT/plain; charset=utf-8", ttl_s=60, body=b"ignored")
        assert await world.streams.create("a", again) == (info, False)
        assert await world.text("a") == b"x"
        for other in (
            Creation(content_type="text/html", ttl_s=60),
            Creation(content_type=TEXT),
            Creation(content_type=TEXT, ttl_s=61),
            Creation(content_type=TEXT, ttl_s=60, closed=True),
            Creation(content_type=TEXT, ttl_s=60, fork=Fork(source="a")),
        ):
            with pytest.raises(Conflict):
                await world.streams.create("a", other)

    play(run, test)


def test_everything_survives_a_restart(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a", b"one", expires_at_s=world.clock.wall() + 100)
        await world.add("a", b"two", sequence="5", producer=Producer("p", 1, 0))
        await world.make("b", b"[1,2]", "application/json", closed=True)
        await world.fork("c", "a", 3)
        before = [await world.streams.info(path) for path in "abc"]
        await world.restart()
        assert [await world.streams.info(path) for path in "abc"] == before
        assert await world.text("c") == b"one"
        assert (await world.page("b")).chunks == [b"1", b"2"]
        with pytest.raises(Conflict):
            await world.add("a", b"x", sequence="5")
        repeated = Addition(body=b"two", content_type=TEXT, producer=Producer("p", 1, 0))
        assert (await world.streams.append("a", repeated)).duplicate
        assert (await world.streams.find_all("a")) == before[:1]

    play(run, test)


def test_a_creation_or_deletion_that_was_interrupted_is_undone_or_finished_by_the_next_start(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a")
        await world.fork("b", "a")
        await world.engine.log.create("streams/half")
        await world.engine.kv.put("stream-ghosts/a", b"")
        await world.engine.kv.put("stream-ghosts/childless", b"")
        await world.restart()
        assert [await world.state(path) for path in ("half", "a", "b", "childless")] == [
            "none",
            "ghost",
            "there",
            "none",
        ]
        await world.streams.delete("b")
        assert await world.state("a") == "none"
        assert not await world.engine.log.list("streams/") and not await world.engine.kv.list()

    play(run, test)


def test_meta_that_cannot_be_read_is_said_loudly(run: Run) -> None:
    async def test(world: World) -> None:
        await world.engine.log.create("streams/a", meta=b"{")
        with pytest.raises(CorruptionError, match="streams/a"):
            await world.restart()
        await world.engine.log.delete("streams/a")
        await world.start()

    play(run, test)


def test_a_creation_that_fails_leaves_nothing(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("s", b"x")
        with pytest.raises(StorageError):
            await world.make("a", b"x" * 500)
        with pytest.raises(UsageError):
            await world.make("a", b"[", "application/json")
        with pytest.raises(StorageError):
            await world.fork("a", "s", body=b"x" * 500)
        assert await world.state("a") == "none"
        await world.streams.delete("s")
        assert await world.state("s") == "none"

    play(run, test, max_bytes=400)


def test_there_are_so_many_streams_and_no_more(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a")
        with pytest.raises(LimitExceeded) as caught:
            await world.make("b")
        assert caught.value.name == "streams_max"
        await world.streams.delete("a")
        await world.make("b")

    play(run, test, LIMITS._replace(streams_max=1))


def test_appends_called_together_fall_in_order_each_once(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a")
        tails = await asyncio.gather(*(world.add("a", b"%d" % number) for number in range(10)))
        assert tails == list(range(1, 11))
        assert await world.text("a") == b"0123456789"

    play(run, test)


def test_producers_are_taken_once_and_fenced(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a")

        async def add(epoch: int, sequence: int) -> Any:
            given = Addition(body=b"x", content_type=TEXT, producer=Producer("p", epoch, sequence))
            return await world.streams.append("a", given)

        assert not (await add(0, 0)).duplicate
        assert (await add(0, 1)).producer == Producer("p", 0, 1)
        repeated = await add(0, 0)
        assert repeated.duplicate and repeated.producer == Producer("p", 0, 1) and repeated.tail == 2
        with pytest.raises(SequenceGap) as gap:
            await add(0, 3)
        assert (gap.value.expected, gap.value.received) == (2, 3)
        with pytest.raises(UsageError):
            await add(1, 1)
        await add(1, 0)
        with pytest.raises(Fenced) as fenced:
            await add(0, 2)
        assert fenced.value.epoch == 1
        assert await world.text("a") == b"xxx"

    play(run, test)


def test_a_refused_append_does_not_move_the_sequence(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a")
        with pytest.raises(SequenceGap):
            await world.add("a", b"x", sequence="9", producer=Producer("p", 0, 0))
            await world.add("a", b"x", sequence="95", producer=Producer("p", 0, 5))
        await world.add("a", b"y", sequence="91")
        with pytest.raises(StorageError):
            await world.add("a", b"x" * 500, sequence="99")
        await world.add("a", b"z", sequence="92")
        assert await world.text("a") == b"xyz"

    play(run, test, max_bytes=400)


def test_closed_is_for_good(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a")
        closer = Producer("p", 0, 0)
        added = await world.streams.append("a", Addition(body=b"end", content_type=TEXT, close=True, producer=closer))
        assert added.closed and added.tail == 3
        assert (await world.page("a", 3)).finished and (await world.page("a", "now")).finished
        with pytest.raises(ClosedError):
            await world.add("a", b"x")
        await world.restart()
        assert (await world.streams.append("a", Addition(body=b"end", content_type=TEXT, producer=closer))).duplicate
        assert (await world.streams.append("a", Addition(close=True))).closed
        with pytest.raises(ClosedError):
            await world.add("a", b"x", close=True, producer=Producer("q", 0, 0))

    play(run, test)


def test_a_fork_has_what_was_there_and_goes_its_own_way(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a", b"abcdef", closed=True, ttl_s=30)
        info = await world.make("b", b"XY", None, fork=Fork(source="a", position=2, beyond=1))
        assert (info.tail, info.closed, info.ttl_s) == (5, False, 30)
        assert await world.text("b") == b"abcXY"
        again = Creation(fork=Fork(source="a", position=3))
        assert (await world.streams.create("b", again))[1] is False
        for other in (Fork(source="a", position=2), Fork(source="a"), Fork(source="b", position=3)):
            with pytest.raises(Conflict):
                await world.streams.create("b", Creation(fork=other))
        with pytest.raises(UsageError):
            await world.fork("c", "a", 7)
        with pytest.raises(NotFound):
            await world.fork("c", "nobody")
        with pytest.raises(Conflict):
            await world.make("c", content_type="image/png", fork=Fork(source="a"))
        assert await world.state("c") == "none"

    play(run, test)


def test_a_deleted_source_is_a_ghost_until_its_last_fork_goes(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a", b"data")
        await world.fork("b", "a")
        await world.fork("c", "b")
        await world.streams.delete("a")
        await world.streams.delete("b")
        for path in "ab":
            assert await world.state(path) == "ghost"
            with pytest.raises(Gone):
                await world.add(path, b"x")
            with pytest.raises(Gone):
                await world.streams.delete(path)
            with pytest.raises(Conflict):
                await world.make(path)
            with pytest.raises(Conflict):
                await world.fork("d", path)
        await world.restart()
        assert await world.text("c") == b"data"
        assert [await world.state(path) for path in "ab"] == ["ghost", "ghost"]
        await world.streams.delete("c")
        assert [await world.state(path) for path in "abc"] == ["none"] * 3
        await world.make("a")

    play(run, test)


def test_a_stream_made_anew_at_a_path_is_another_one(run: Run) -> None:
    async def test(world: World) -> None:
        first = await world.make("a", b"old")
        await world.streams.delete("a")
        second = await world.make("a")
        assert first.id != second.id and await world.text("a") == b""

    play(run, test)


def test_a_sliding_life_is_prolonged_by_reads_and_writes_and_not_by_a_look(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a", ttl_s=10)
        for use in (world.page("a"), world.page("a", "now"), world.add("a", b"x")):
            world.clock.advance(9)
            await use
        world.clock.advance(9)
        assert await world.state("a") == "there"
        world.clock.advance(1)
        assert await world.state("a") == "none"
        with pytest.raises(NotFound):
            await world.add("a", b"x")
        assert not await world.engine.log.list("streams/")
        await world.make("a", content_type="image/png")

    play(run, test)


def test_a_live_reader_keeps_its_stream_and_leaves_it_a_life(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a", ttl_s=10)
        reader = await world.streams.follow("a", "now", 100)
        world.clock.advance(100)
        await world.streams.sweep()
        assert await world.state("a") == "there"
        reader.close()
        reader.close()
        world.clock.advance(9)
        assert await world.state("a") == "there"
        world.clock.advance(1)
        await world.streams.sweep()
        assert len(world.streams) == 0

    play(run, test)


def test_an_absolute_end_comes_when_it_was_said_and_a_sweep_removes_what_nobody_asks_for(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a", expires_at_s=world.clock.wall() + 10)
        await world.make("b", ttl_s=5)
        await world.fork("c", "b", ttl_s=100)
        world.clock.advance(9.9)
        await world.page("a")
        await world.streams.sweep()
        assert [await world.state(path) for path in "abc"] == ["there", "ghost", "there"]
        world.clock.advance(0.1)
        await world.streams.sweep()
        assert await world.state("a") == "none"
        world.clock.advance(100)
        await world.streams.sweep()
        assert [await world.state(path) for path in "bc"] == ["none", "none"]
        assert world.streams._sweeper._agenda.next_deadline() is None

    play(run, test)


def test_a_live_reader_sees_each_part_once_the_end_last_and_then_nothing(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a", b"one")
        reader = await world.streams.follow("a", "start", 100)
        waiting = asyncio.create_task(reader.next())
        assert await waiting == Page([b"one"], 0, 3, 3, closed=False)
        waiting = asyncio.create_task(reader.next())
        await asyncio.sleep(0)
        waiting.cancel()  # loses nothing
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await world.add("a", b"two")
        assert (await reader.next()) == Page([b"two"], 3, 6, 6, closed=False)
        await world.add("a", b"end", close=True)
        page = await reader.next()
        assert page is not None and page.chunks == [b"end"] and page.finished
        assert await reader.next() is None
        late = await world.streams.follow("a", "now", 100)
        page = await late.next()
        assert page is not None and page.finished and not page.chunks
        reader.close()
        late.close()

    play(run, test)


def test_a_live_reader_of_a_deleted_stream_is_told(run: Run) -> None:
    async def test(world: World) -> None:
        await world.make("a")
        reader = await world.streams.follow("a", "now", 100)
        waiting = asyncio.create_task(reader.next())
        await asyncio.sleep(0)
        await world.streams.delete("a")
        with pytest.raises(NotFound):
            await waiting
        reader.close()

    play(run, test)
