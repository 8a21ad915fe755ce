"""Subscriptions on the memory engine: live and behind, ends, and readers that go at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from holdfast.channels.model import ChannelLimits
from holdfast.channels.packing import encode_batch, encode_draft
from holdfast.channels.testkit import ChannelRoom, Listener, error_of, until
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import ChannelNotFound, LimitExceeded, SubscriberTooSlow, UsageError
from holdfast.limits import LIMITS

Run = Callable[[Coroutine[Any, Any, Any]], Any]

CHANNEL = "p/c"
FAST = ChannelLimits(rate_per_s=1e9, burst=10**9, entries_max=10**6)


def room(**limits: Any) -> ChannelRoom:
    engine = MemoryEngine()
    return ChannelRoom(lambda: engine, LIMITS._replace(**limits))


async def filled(here: ChannelRoom, count: int = 0) -> None:
    await here.router.create(here.owner, "p", "c", limits=FAST)
    if count:
        await append(here, 1, count)


async def append(here: ChannelRoom, first: int, count: int) -> None:
    await here.router.append(here.owner, CHANNEL, encode_batch([b"12345"] * count, first_sequence=first))


@pytest.mark.parametrize("seed", range(6))
def test_readers_of_every_kind_get_each_entry_once_and_in_order(run: Run, seed: int) -> None:
    async def main() -> None:
        random = Random(seed)
        async with room() as here:
            await filled(here, random.randrange(1, 50))
            listeners: list[tuple[Listener, int]] = []
            last = (await here.router.get(here.owner, CHANNEL)).last_index
            for _ in range(200):
                step = random.random()
                if step < 0.4:
                    count = random.randrange(1, 40)
                    await append(here, last + 1, count)
                    last += count
                elif step < 0.5:
                    after = random.randrange(last + 1)
                    listener = await here.listen(
                        CHANNEL, after=after, frozen=random.random() < 0.5, window_bytes=random.choice([200, 5000]),
                        buffer_bytes=random.choice([100, 1000, 100_000]), buffer_entries=random.choice([1, 20, 1000]),
                    )  # fmt: skip
                    listeners.append((listener, after))
                elif step < 0.7 and listeners:
                    random.choice(listeners)[0].thaw()
                elif step < 0.8 and listeners:
                    random.choice(listeners)[0].frozen = True
                elif step < 0.85 and listeners:
                    listener, after = listeners.pop(random.randrange(len(listeners)))
                    assert [e.index for e in listener.entries] == list(
                        range(after + 1, after + 1 + len(listener.entries))
                    )
                    random.choice([listener.leave, listener.cut])()
                else:
                    await asyncio.sleep(0)
            await here.router.end(here.owner, CHANNEL)
            for listener, after in listeners:
                listener.thaw()
                await listener.until(lambda one: one.over)
                assert listener.error is None
                assert [entry.index for entry in listener.entries] == list(range(after + 1, last + 1))
            await until(lambda: here.router.stats().subscribers == 0)

    run(main())


def test_who_fell_from_live_and_does_not_come_back_is_let_go(run: Run) -> None:
    async def main() -> None:
        async with room() as here:
            await filled(here)
            slow = await here.listen(CHANNEL, frozen=True, policy="disconnect", buffer_entries=20, buffer_bytes=500)
            fast = await here.listen(CHANNEL)
            await append(here, 1, 50)  # one piece, larger than the buffer: read from the log instead
            await fast.until(lambda one: one.last_index == 50)
            assert here.router.stats().subscribers_too_slow == 0
            await append(here, 51, 1)
            await fast.until(lambda one: one.last_index == 51)
            assert here.router.stats().subscribers_too_slow == 1
            slow.thaw()
            await slow.until(lambda one: one.over)
            assert isinstance(slow.error, SubscriberTooSlow)
            assert slow.error.last_position <= slow.last_index
            fast.cut()

    run(main())


def test_one_slow_subscriber_holds_nobody_up(run: Run) -> None:
    async def main() -> None:
        async with room() as here:
            await filled(here)
            frozen = [await here.listen(CHANNEL, frozen=True, buffer_bytes=100) for _ in range(100)]
            fast = await here.listen(CHANNEL)
            for first in range(1, 501, 10):
                await append(here, first, 10)
                await fast.until(lambda one: one.last_index == first + 9)  # noqa: B023 - waited for here
            assert all(one.entries == [] for one in frozen)
            for one in [*frozen, fast]:
                one.cut()
            await until(lambda: here.router.stats().subscribers == 0)

    run(main())


def test_so_many_subscribers_and_no_more(run: Run) -> None:
    async def main() -> None:
        async with room(subscribers_per_channel_max=2) as here:
            await filled(here)
            listeners = [await here.listen(CHANNEL) for _ in range(2)]
            error = await error_of(here.listen(CHANNEL))
            assert isinstance(error, LimitExceeded)
            assert error.name == "subscribers_per_channel_max"
            listeners.pop().cut()
            listeners.append(await here.listen(CHANNEL))
            for listener in listeners:
                listener.cut()

    run(main())


@pytest.mark.parametrize("bad", [{"limit": -1}, {"buffer_bytes": -1}, {"buffer_entries": -1}, {"after": 9}], ids=str)
def test_bad_wishes_are_refused_and_leave_nothing(run: Run, bad: dict[str, Any]) -> None:
    async def main() -> None:
        async with room() as here:
            await filled(here, 3)
            assert isinstance(await error_of(here.listen(CHANNEL, **bad)), UsageError)
            assert here.router.stats().subscribers == 0

    run(main())


def test_a_channel_made_again_is_another_channel(run: Run) -> None:
    async def main() -> None:
        async with room() as here:
            await filled(here, 3)
            old = await here.listen(CHANNEL)
            await old.until(lambda one: one.last_index == 3)
            await here.router.remove(here.owner, CHANNEL, "again")
            await filled(here, 1)
            new = await here.listen(CHANNEL)
            await new.until(lambda one: one.last_index == 1)
            await old.until(lambda one: one.over)
            assert isinstance(old.error, ChannelNotFound)
            await append(here, 2, 1)
            await new.until(lambda one: one.last_index == 2)
            assert old.last_index == 3
            new.cut()

    run(main())


def test_a_router_that_closes_ends_what_it_runs(run: Run) -> None:
    async def main() -> None:
        async with room() as here:
            await filled(here, 30)
            for frozen in (True, False):
                await here.listen(CHANNEL, frozen=frozen, buffer_bytes=50)
            await here.router.append(here.owner, CHANNEL, encode_draft(b"x"))

    run(main())
