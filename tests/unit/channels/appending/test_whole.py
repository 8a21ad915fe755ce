"""Batches of which all is stored or nothing, and what goes with them in one step; on the memory engine."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from holdfast.channels.appending.whole import Terms
from holdfast.channels.model import ChannelLimits
from holdfast.channels.packing import encode_draft
from holdfast.channels.state.record import log_name
from holdfast.channels.testkit import ChannelRoom
from holdfast.engine.base import Producer
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import (
    ChannelClosed,
    ChannelFull,
    HoldfastError,
    MessageTooLarge,
    SequenceConflict,
    StorageError,
)
from tests.conftest import Run

CHANNEL = "p/c"
WIDE = ChannelLimits(rate_per_s=1e9, burst=10**9, entries_max=10**6, payload_bytes_max=1 << 20)


class Room(ChannelRoom):
    """A room with one channel, to which batches are appended as a whole."""

    async def make(self, limits: ChannelLimits = WIDE) -> None:
        await self.router.create(self.owner, "p", "c", limits=limits)

    async def place(self, *drafts: bytes, **terms: Any) -> int:
        """Append; the last index."""
        placed = await self.router.place(self.owner, CHANNEL, b"".join(drafts), Terms(**terms))
        await placed.stored
        return placed.last_index

    async def payloads(self) -> list[bytes]:
        return [entry.payload for entry in await self.entries(CHANNEL)]


def room(max_bytes: int | None = None) -> Room:
    engine = MemoryEngine(max_bytes=max_bytes)
    return Room(lambda: engine)


def draft(payload: bytes, sequence: int = 0) -> bytes:
    return encode_draft(payload, sequence=sequence)


def test_a_refused_message_keeps_the_others_out(run: Run) -> None:
    async def main() -> None:
        async with room() as here:
            await here.make(ChannelLimits(payload_bytes_max=10, entries_max=4))
            with pytest.raises(MessageTooLarge):
                await here.place(draft(b"a"), draft(b"b" * 11), draft(b"c"))
            assert await here.place(draft(b"a"), draft(b"b")) == 2
            with pytest.raises(ChannelFull):
                await here.place(draft(b"c"), draft(b"d"), draft(b"e"))
            assert await here.place(draft(b"c")) == 3
            assert [(each.sequence, each.payload) for each in await here.entries(CHANNEL)] == [
                (1, b"a"), (2, b"b"), (3, b"c"),
            ]  # fmt: skip

    run(main())


def test_repetitions_are_compared_before_anything_is_stored(run: Run) -> None:
    async def main() -> None:
        async with room() as here:
            await here.make()
            assert await here.place(draft(b"five", 5), draft(b"six", 6)) == 2
            with pytest.raises(SequenceConflict):
                await here.place(draft(b"new", 7), draft(b"other", 5))
            assert await here.place(draft(b"new", 7), draft(b"five", 5), draft(b"new", 7)) == 3
            assert await here.place(draft(b"five", 5), draft(b"six", 6)) == 3
            with pytest.raises(SequenceConflict):
                await here.place(draft(b"x", 9), draft(b"y", 9))
            assert await here.payloads() == [b"five", b"six", b"new"]

    run(main())


def test_the_close_comes_with_the_last_entry(run: Run) -> None:
    async def main() -> None:
        async with room() as here:
            await here.make()
            seen: list[str] = []
            here.router.on_change = lambda channel, change: seen.append(change)
            listener = await here.listen(CHANNEL)
            mark = Producer("p", 0, 0)
            assert await here.place(draft(b"last"), close=True, producer=mark) == 1
            await listener.until(lambda one: one.over)
            assert ([entry.payload for entry in listener.entries], listener.error) == ([b"last"], None)
            assert seen == ["moved", "closed"]
            for _ in range(2):
                assert (await here.router.get(here.owner, CHANNEL)).state == "closed"
                assert here.router.find(here.owner, CHANNEL, "read", "t").record.closed_by == mark
                assert (await here.engine.log.stat(log_name("p", "c"))).closed
                with pytest.raises(ChannelClosed):
                    await here.place(draft(b"late"))
                with pytest.raises(ChannelClosed):
                    await here.place(close=True)
                await here.restart()

    run(main())


def test_a_close_alone_and_what_the_record_keeps(run: Run) -> None:
    async def main() -> None:
        async with room() as here:
            await here.make()
            assert await here.place(draft(b"a"), order="1", producer=Producer("p", 3, 0)) == 1
            assert await here.place(draft(b"b"), producer=Producer("p", 3, 1)) == 2
            await here.restart()
            assert here.router.find(here.owner, CHANNEL, "read", "t").record.order == "1"
            assert await here.engine.log.producer(log_name("p", "c"), "p") == Producer("p", 3, 1)
            assert await here.place(close=True) == 2
            assert (await here.router.get(here.owner, CHANNEL)).state == "closed"

    run(main())


def test_what_could_not_be_stored_is_not_so(run: Run) -> None:
    async def main() -> None:
        async with room(max_bytes=20_000) as here:
            await here.make()
            await here.place(draft(b"a"), order="1")
            terms: list[dict[str, Any]] = [{"close": True}, {"order": "2"}, {"producer": Producer("p", 0, 0)}]
            for asked in terms:
                with pytest.raises(StorageError):
                    await here.place(draft(b"x" * 30_000), **asked)
            both = [
                asyncio.ensure_future(here.place(draft(b"x" * 30_000), order="2")),
                asyncio.ensure_future(here.place(draft(b"y"), order="3")),
            ]
            await asyncio.gather(*both, return_exceptions=True)
            record = here.router.find(here.owner, CHANNEL, "read", "t").record
            assert record.closed_at == 0 and record.order in ("1", "3")
            assert await here.place(draft(b"b"), order="4", producer=Producer("p", 0, 0)) >= 2
            assert (await here.payloads())[-1] == b"b"
            assert (await here.router.get(here.owner, CHANNEL)).state == "open"

    run(main())


@pytest.mark.parametrize("seed", range(5))
def test_whole_batches_and_others_at_once(run: Run, seed: int) -> None:
    """Whoever appends how, and whoever is cancelled meanwhile: whole batches are there whole, indexes are dense."""

    async def main() -> None:
        random = Random(seed)
        async with room() as here:
            await here.make()
            tasks: list[tuple[asyncio.Task[Any], list[bytes]]] = []
            for number in range(120):
                payloads = [b"%d.%d" % (number, place) for place in range(random.randrange(1, 4))]
                batch = b"".join(draft(payload) for payload in payloads)
                if random.random() < 0.5:
                    work: Any = here.place(batch)
                else:
                    work = here.router.append(here.owner, CHANNEL, batch)
                tasks.append((asyncio.create_task(work), payloads))
                for _ in range(random.randrange(3)):
                    await asyncio.sleep(0)
                if random.random() < 0.1:
                    random.choice(tasks)[0].cancel()
            results = await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
            assert not [result for result in results if isinstance(result, HoldfastError)]
            entries = await here.entries(CHANNEL)
            assert [entry.index for entry in entries] == list(range(1, len(entries) + 1))
            found = [entry.payload for entry in entries]
            for (_, payloads), result in zip(tasks, results, strict=True):
                there = [payload for payload in payloads if payload in found]
                assert there == payloads or (isinstance(result, asyncio.CancelledError) and not there)
            assert len(set(found)) == len(found)

    run(main())
