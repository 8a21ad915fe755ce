"""Feeds: nothing is read while nobody is awake, and who wakes goes on where the others are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Self

from holdfast.channels.counts import Counts
from holdfast.channels.packing import encode_batch, encode_run
from holdfast.channels.reading.audience import Audience
from holdfast.channels.state.channel import Channel
from holdfast.channels.state.record import ChannelRecord
from holdfast.channels.state.store import ChannelStore
from holdfast.channels.testkit import Listener, until
from holdfast.engine.base import Packed
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import SubscriberTooSlow
from holdfast.limits import LIMITS

Run = Callable[[Coroutine[Any, Any, Any]], Any]

ENTRIES = 10


class CountingStore(ChannelStore):
    """Counts how often something is read."""

    reads = 0

    async def read(self, channel: Channel, index: int, max_bytes: int) -> list[Packed]:
        pieces = await super().read(channel, index, max_bytes)
        self.reads += bool(pieces)
        return pieces

    async def follow(self, channel: Channel, index: int, max_bytes: int) -> AsyncIterator[list[Packed]]:
        async for pieces in super().follow(channel, index, max_bytes):
            self.reads += 1
            yield pieces


class House:
    """A channel and its audience on a memory engine, without a router."""

    def __init__(self) -> None:
        self.engine = MemoryEngine()
        self.counts = Counts()
        self.tasks: set[asyncio.Task[None]] = set()
        self.channel = Channel("p", "c", ChannelRecord(submitter="a"))

    async def __aenter__(self) -> Self:
        await self.engine.start()
        self.store = CountingStore(self.engine)
        self.audience = Audience(self.store, self.counts, self._spawn, LIMITS)
        await self.store.create(self.channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.engine.stop()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        return task

    async def append(self) -> None:
        """Ten entries, as the appender does it."""
        index = self.channel.next_index
        drafts = encode_batch([b"x"] * ENTRIES, first_sequence=index)
        self.channel.next_index = index + ENTRIES
        await self.store.append(
            self.channel, index, encode_run(index, b"a", 0.0, drafts, ENTRIES), ENTRIES, "disk", None
        )
        self.audience.grown(self.channel)

    async def listen(self, **options: Any) -> Listener:
        wishes: dict[str, Any] = {
            "after": None, "policy": "paged", "buffer_entries": 0, "buffer_bytes": 0, "without": "", "follow": True,
            "limit": 0,
        }  # fmt: skip
        listener = Listener(frozen=options.pop("frozen", False))
        await self.audience.subscribe(self.channel, listener, 1, **(wishes | options))
        return listener


async def turns() -> None:
    """All that can be done without anything new is done."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_while_everybody_sleeps_nothing_is_read(run: Run) -> None:
    async def main() -> None:
        async with House() as house:
            sleepers = [await house.listen(frozen=True, buffer_entries=30) for _ in range(3)]
            for _ in range(10):  # their buffers fill
                await house.append()
                await turns()
            before = house.store.reads
            for _ in range(100):
                await house.append()
                await turns()
            assert house.store.reads == before
            assert max(house.audience.lags_of(house.channel, house.channel.next_index))[0] >= 1000
            assert [lag for _, lag, _ in house.audience.lags()] == [1100] * 3
            for sleeper in sleepers:
                sleeper.thaw()
                await sleeper.until(lambda one: one.last_index == 1100)
            await house.append()
            for sleeper in sleepers:
                await sleeper.until(lambda one: one.last_index == 1110)
                assert [entry.index for entry in sleeper.entries] == list(range(1, 1111))

    run(main())


def test_those_who_are_awake_share_what_is_read(run: Run) -> None:
    async def main() -> None:
        async with House() as house:
            sleepers = [await house.listen(frozen=True, buffer_entries=30) for _ in range(3)]
            for _ in range(10):
                await house.append()
                await turns()
            for sleeper in sleepers:
                sleeper.thaw()
                await sleeper.until(lambda one: one.last_index == 100)
            await turns()
            before = house.store.reads
            for _ in range(10):
                await house.append()
                await turns()
            assert house.store.reads - before == 10
            assert [sleeper.last_index for sleeper in sleepers] == [200] * 3

    run(main())


def test_one_that_begins_at_the_end_does_not_wait_for_one_that_begins_at_the_start(run: Run) -> None:
    async def main() -> None:
        async with House() as house:
            for _ in range(20):
                await house.append()
            late = await house.listen(frozen=True, buffer_entries=10)
            early = await house.listen(after=200)
            await house.append()
            await early.until(lambda one: one.last_index == 210)
            assert [entry.index for entry in early.entries] == list(range(201, 211))
            assert late.entries == []
            late.thaw()
            await late.until(lambda one: one.last_index == 210)
            assert [entry.index for entry in late.entries] == list(range(1, 211))

    run(main())


def test_who_fell_is_let_go_though_nobody_else_is_awake(run: Run) -> None:
    async def main() -> None:
        async with House() as house:
            sleeper = await house.listen(frozen=True, policy="disconnect", buffer_entries=8, buffer_bytes=100)
            await house.append()  # one piece, larger than the buffer: it reads from the log instead
            await turns()
            assert house.counts.subscribers_too_slow == 0
            await house.append()
            assert house.counts.subscribers_too_slow == 1
            sleeper.thaw()
            await until(lambda: sleeper.over)
            assert isinstance(sleeper.error, SubscriberTooSlow)
            assert sleeper.error.last_position == sleeper.last_index < ENTRIES

    run(main())


def test_a_channel_that_ends_while_everybody_sleeps_ends_for_each(run: Run) -> None:
    async def main() -> None:
        async with House() as house:
            sleepers = [await house.listen(frozen=True, buffer_entries=30) for _ in range(2)]
            for _ in range(10):
                await house.append()
            await turns()
            await house.store.close(house.channel)
            after = await house.listen(after=100)
            await after.until(lambda one: one.ended)
            for sleeper in sleepers:
                sleeper.thaw()
                await sleeper.until(lambda one: one.ended)
                assert sleeper.last_index == 100
            await until(lambda: len(house.audience) == 0)

    run(main())
