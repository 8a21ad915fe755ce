"""Channels on every engine: what a router promises, with restarts and a full disk in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast.channels.appending.whole import Terms
from holdfast.channels.model import ChannelLimits
from holdfast.channels.packing import Extras, encode_batch, encode_draft
from holdfast.channels.state.record import log_name
from holdfast.channels.testkit import ChannelRoom, error_of, until
from holdfast.channels.unpacking import iter_entries
from holdfast.engine.base import Producer
from holdfast.engine.contract import EngineFactory
from holdfast.errors import (
    ChannelClosed,
    ChannelExists,
    ChannelFull,
    ChannelNotFound,
    Gone,
    MessageTooLarge,
    SequenceConflict,
    StorageError,
    SubscriberTooSlow,
    TooManyChannels,
    UsageError,
)
from holdfast.limits import LIMITS, Limits

Run = Callable[[Coroutine[Any, Any, Any]], Any]
MakeRoom = Callable[..., ChannelRoom]

CHANNEL = "p1/chat"
draft = encode_draft


@pytest.fixture
def make_room(engine_factory: EngineFactory) -> MakeRoom:
    """Rooms on this test's own storage; ``max_bytes`` bounds it."""

    def make(limits: Limits = LIMITS, max_bytes: int | None = None) -> ChannelRoom:
        return ChannelRoom(lambda: engine_factory(max_bytes=max_bytes), limits)

    return make


@pytest.fixture
def room(make_room: MakeRoom) -> ChannelRoom:
    return make_room()


def payloads(count: int, size: int = 10) -> list[bytes]:
    return [str(number).encode().rjust(size, b".") for number in range(1, count + 1)]


class TestLife:
    def test_all_of_a_channel_outlives_a_restart(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                own = ChannelLimits(entries_max=50, payload_bytes_max=99, rate_per_s=5, burst=40)
                before = await room.router.create(
                    room.owner, "p1", "chat", submitter="alice", executor="bob", retain=True, limits=own
                )
                await room.router.append(room.owner, CHANNEL, encode_batch(payloads(20), first_sequence=1))
                await room.router.set_executor(room.owner, CHANNEL, "carol")
                entries = await room.entries(CHANNEL)
                await room.restart()
                info = await room.router.get(room.owner, CHANNEL)
                assert (info.submitter, info.executor, info.retain) == ("alice", "carol", True)
                assert (info.limits, info.created_at) == (own, before.created_at)
                assert (info.last_index, info.entries, info.stored_bytes > 200) == (20, 20, True)
                assert await room.entries(CHANNEL) == entries
                assert [one.id for one in await room.router.list(room.owner, "p1")] == [CHANNEL]

        run(main())

    def test_close_is_for_good(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                await room.router.append(room.owner, CHANNEL, draft(b"x"))
                for _ in range(2):
                    info = await room.router.end(room.owner, CHANNEL)
                    assert (info.state, info.expires_at) == ("closed", info.closed_at + LIMITS.channel_retention_s)
                for _ in range(2):
                    error = await error_of(room.router.append(room.owner, CHANNEL, draft(b"y")))
                    assert isinstance(error, ChannelClosed)
                    assert len(await room.entries(CHANNEL)) == 1
                    await room.restart()
                error = await error_of(room.router.set_executor(room.owner, CHANNEL, "bob"))
                assert isinstance(error, ChannelClosed)

        run(main())

    def test_removal_leaves_nothing(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                for name in ("a", "b"):
                    await room.router.create(room.owner, "p1", name)
                await room.router.create(room.owner, "p2", "a")
                await room.router.append(room.owner, "p1/a", draft(b"old", sequence=1))
                assert await room.router.cleanup_process(room.owner, "p1", "done") == 2
                assert await room.router.cleanup_process(room.owner, "p1", "done") == 0
                assert isinstance(await error_of(room.router.get(room.owner, "p1/a")), ChannelNotFound)
                await room.router.create(room.owner, "p1", "a")
                await room.router.append(room.owner, "p1/a", draft(b"new", sequence=1))
                await room.restart()
                assert [one.id for one in await room.router.list(room.owner)] == ["p1/a", "p2/a"]
                assert [entry.payload for entry in await room.entries("p1/a")] == [b"new"]

        run(main())

    def test_closed_channels_go_after_their_retention(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                await room.router.create(room.owner, "p1", "open")
                await room.router.end(room.owner, CHANNEL)
                listener = await room.listen("p1/open")
                room.clock.advance(LIMITS.channel_retention_s - 1)
                await room.router.upkeep()
                assert len(await room.router.list(room.owner)) == 2
                await room.restart()
                room.clock.advance(2)
                await room.router.upkeep()
                assert [one.name for one in await room.router.list(room.owner)] == ["open"]
                listener.cut()

        run(main())

    def test_names_are_taken_once(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                made = await asyncio.gather(
                    *(room.router.create(room.owner, "p1", "chat", missing_ok=True) for _ in range(3))
                )
                assert made[0] == made[1] == made[2]
                error = await error_of(room.router.create(room.owner, "p1", "chat"))
                assert isinstance(error, ChannelExists)
                assert error.name == CHANNEL

        run(main())


class TestAppending:
    def test_batches_from_many_at_once_stay_whole_and_in_order(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")

                async def produce(sender: str) -> None:
                    for first in range(1, 60, 6):
                        batch = encode_batch(payloads(6), first_sequence=first)
                        await room.router.append(room.owner, CHANNEL, batch, sender=sender)

                await asyncio.gather(*map(produce, "abcd"))
                entries = await room.entries(CHANNEL)
                assert [entry.index for entry in entries] == list(range(1, 241))
                for sender in "abcd":
                    assert [e.sequence for e in entries if e.sender == sender] == list(range(1, 61))

        run(main())

    def test_a_repeat_is_known_after_a_restart_too(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                batch = encode_batch(payloads(30), first_sequence=1)
                first = await room.router.append(room.owner, CHANNEL, batch)
                assert (first.first_index, first.last_index, first.others) == (1, 30, [])
                for _ in range(2):
                    again = await room.router.append(room.owner, CHANNEL, batch)
                    assert again.first_index == 0
                    assert [(one.position, one.index) for one in again.others] == [(n, n + 1) for n in range(30)]
                    await room.restart()
                error = await error_of(room.router.append(room.owner, CHANNEL, draft(b"other", sequence=7)))
                assert isinstance(error, SequenceConflict)
                assert error.details() == {"expected": 7, "actual": 7}
                single = await room.router.append(room.owner, CHANNEL, draft(payloads(30)[6], sequence=7))
                assert (single.first_index, single.last_index) == (7, 7)
                assert len(await room.entries(CHANNEL)) == 30

        run(main())

    def test_a_repeat_that_overtakes_its_first_is_acknowledged_after_it(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                one = draft(b"x", sequence=1)
                results = await asyncio.gather(*(room.router.append(room.owner, CHANNEL, one) for _ in range(4)))
                assert [(result.first_index, result.last_index) for result in results] == [(1, 1)] * 4
                assert len(await room.entries(CHANNEL)) == 1

        run(main())

    def test_a_repeat_that_asks_for_the_disk_gets_it(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                one = draft(b"x", sequence=1)
                for ack in ("memory", "os", "disk"):
                    result = await room.router.append(room.owner, CHANNEL, one, ack=ack)
                    assert result.first_index == 1
                await room.restart()
                assert len(await room.entries(CHANNEL)) == 1

        run(main())

    def test_what_is_refused_is_not_stored(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(channel_batch_bytes_max=1000, channel_payload_bytes_max=100)) as room:
                await room.router.create(room.owner, "p1", "chat", limits=ChannelLimits(entries_max=3))
                for bad, kind in (
                    (b"", UsageError),
                    (b"junk", UsageError),
                    (draft(b"x") + b"junk", UsageError),
                    (draft(b"x" * 101), MessageTooLarge),
                    (draft(b"x" * 2000), MessageTooLarge),
                    (encode_batch([b"x"] * 100), MessageTooLarge),
                ):
                    assert isinstance(await error_of(room.router.append(room.owner, CHANNEL, bad)), kind)
                assert await room.entries(CHANNEL) == []
                result = await room.router.append(room.owner, CHANNEL, encode_batch(payloads(5), first_sequence=1))
                assert (result.first_index, result.last_index) == (1, 3)
                assert [(one.position, one.error and one.error["code"]) for one in result.others] == [
                    (3, "channel_full"),
                    (4, "channel_full"),
                ]
                assert isinstance(await error_of(room.router.append(room.owner, CHANNEL, draft(b"x"))), ChannelFull)
                assert len(await room.entries(CHANNEL)) == 3

        run(main())

    def test_a_full_disk_takes_nothing_and_forgets_nothing(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(max_bytes=400_000) as room:
                await room.router.create(room.owner, "p1", "chat", limits=ChannelLimits(rate_per_s=1e9, burst=10**9))
                sequence, stored, refused = 1, 0, 0
                for _ in range(40):
                    batches = [draft(b"x" * 9000, sequence=sequence + place) for place in range(4)]
                    results = await asyncio.gather(
                        *(room.router.append(room.owner, CHANNEL, batch) for batch in batches), return_exceptions=True
                    )
                    kept = [result for result in results if not isinstance(result, BaseException)]
                    refused += len(results) - len(kept)
                    errors = [result for result in results if isinstance(result, BaseException)]
                    assert {type(error) for error in errors} <= {StorageError}
                    stored += len(kept)
                    sequence += 4
                assert refused > 0
                assert stored > 4
                info = await room.router.get(room.owner, CHANNEL)
                assert info.entries == stored
                index = 0
                while index < stored:
                    for entry in await room.entries(CHANNEL, after=index):
                        index += 1
                        assert entry.index == index
                senders = await room.router.senders(room.owner, CHANNEL)
                assert senders[0].last_index == stored

        run(main())

    def test_the_oldest_go_when_asked_for_and_that_is_told(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                limits = ChannelLimits(entries_max=20)
                await room.router.create(room.owner, "p1", "chat", retain=True, limits=limits)
                for first in range(1, 101, 5):
                    await room.router.append(room.owner, CHANNEL, encode_batch(payloads(5), first_sequence=first))
                    await asyncio.sleep(0)
                await room.router.close()  # trims go on behind the appends
                info = await room.router.get(room.owner, CHANNEL)
                assert info.last_index == 100
                assert 20 <= info.entries <= 25
                assert info.dropped == info.oldest_index - 1 == 100 - info.entries
                error = await error_of(room.router.read(room.owner, CHANNEL, after=3))
                assert isinstance(error, Gone)
                assert error.oldest == info.oldest_index
                assert (await room.entries(CHANNEL))[0].index == info.oldest_index
                again = await room.router.append(room.owner, CHANNEL, draft(payloads(5)[4], sequence=100))
                assert again.first_index == 100

        run(main())


class TestReading:
    def test_pages(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(channel_page_bytes=700)) as room:
                await room.router.create(room.owner, "p1", "chat")
                assert await room.entries(CHANNEL) == []
                for first in (1, 31, 32, 33, 70):
                    count = 30 if first == 1 else 1 if first < 33 else 37
                    await room.router.append(room.owner, CHANNEL, encode_batch(payloads(count), first_sequence=first))
                index = 0
                while index < 106:
                    page = await room.entries(CHANNEL, after=index)
                    assert 0 < len(page) < 30
                    assert [entry.index for entry in page] == list(range(index + 1, index + 1 + len(page)))
                    index = page[-1].index
                assert await room.entries(CHANNEL, after=106) == []
                for after, limit in ((0, 3), (29, 3), (30, 1), (100, 50)):
                    page = await room.entries(CHANNEL, after=after, limit=limit)
                    assert [e.index for e in page] == list(range(after + 1, min(after + limit, 106) + 1))
                assert [e.index for e in await room.entries(CHANNEL, last=4)] == [103, 104, 105, 106]
                assert [e.index for e in await room.entries(CHANNEL, after=104, last=4)] == [105, 106]

        run(main())

    def test_by_time(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                start = room.clock.wall()
                for step in range(10):
                    await room.router.append(room.owner, CHANNEL, encode_batch([b"x", b"y"]))
                    room.clock.advance(1)
                    room.clock.step_wall(-0.5 if step == 4 else 0)
                times = [entry.timestamp - start for entry in await room.entries(CHANNEL)]
                assert times == sorted(times)
                for since in (-5.0, 0.0, 0.5, 3.0, 4.0, 4.5, 9.0, 100.0):
                    found = await room.entries(CHANNEL, since=start + since)
                    assert [e.timestamp - start for e in found] == [time for time in times if time >= since]

        run(main())

    def test_by_sender(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(channel_page_bytes=500)) as room:
                await room.router.create(room.owner, "p1", "chat")
                for sender, sequence in (("b", 5), ("a", 2), ("b", 6), ("a", 1), ("b", 2), ("a", 9)):
                    await room.router.append(room.owner, CHANNEL, draft(b".", sequence=sequence), sender=sender)
                expected = [("a", 1), ("a", 2), ("a", 9), ("b", 2), ("b", 5), ("b", 6)]
                found: list[tuple[str, int]] = []
                while len(found) < 6:
                    page = await room.entries(CHANNEL, order="sender", after=len(found))
                    found += [(e.sender, e.sequence) for e in page]
                assert found == expected
                page = await room.entries(CHANNEL, order="sender", after=2, limit=2)
                assert [(e.sender, e.sequence) for e in page] == expected[2:4]

        run(main())

    @pytest.mark.parametrize(
        "bad",
        [{"after": -1}, {"after": 3}, {"limit": -1}, {"last": -2}, {"order": "sender", "after": -1},
         {"order": "sender", "last": 2}, {"order": "sender", "since": 1.0}],
        ids=str,
    )  # fmt: skip
    def test_bad_positions(self, run: Run, room: ChannelRoom, bad: dict[str, Any]) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                await room.router.append(room.owner, CHANNEL, encode_batch([b"1", b"2"]))
                assert isinstance(await error_of(room.router.read(room.owner, CHANNEL, **bad)), UsageError)

        run(main())


class TestSubscribing:
    def test_replay_then_live_then_the_end(self, run: Run, room: ChannelRoom) -> None:
        """Regression 7: last entries before the end, always, also when both race a live reader."""

        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                await room.router.append(room.owner, CHANNEL, encode_batch(payloads(40), first_sequence=1))
                listeners = [await room.listen(CHANNEL, after=after) for after in (0, 7, 40)]
                appends = [
                    room.router.append(room.owner, CHANNEL, encode_batch(payloads(10), first_sequence=first))
                    for first in range(41, 100, 10)
                ]
                last = room.router.append(room.owner, CHANNEL, draft(type="end", sequence=101))
                await asyncio.gather(*appends, last, room.router.end(room.owner, CHANNEL))
                listeners.append(await room.listen(CHANNEL))
                for listener, after in zip(listeners, (0, 7, 40, 0), strict=True):
                    await listener.until(lambda one: one.over)
                    assert listener.error is None
                    assert [entry.index for entry in listener.entries] == list(range(after + 1, 102))
                    assert listener.entries[-1].type == "end"

        run(main())

    def test_a_frozen_reader_that_is_paged_misses_nothing(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat", limits=ChannelLimits(rate_per_s=1e9, burst=10**9))
                slow = await room.listen(CHANNEL, frozen=True, buffer_bytes=2000, buffer_entries=30)
                fast = await room.listen(CHANNEL, buffer_bytes=2000, buffer_entries=30)
                for first in range(1, 2001, 20):
                    await room.router.append(room.owner, CHANNEL, encode_batch(payloads(20), first_sequence=first))
                await fast.until(lambda one: one.last_index == 2000)
                assert slow.entries == []
                info = await room.router.get(room.owner, CHANNEL)
                assert info.subscribers == 2
                assert info.lag_entries == 2000
                assert 0 < info.lag_bytes <= 2000
                slow.thaw()
                await slow.until(lambda one: one.last_index == 2000)
                await room.router.append(room.owner, CHANNEL, draft(b"live"))
                for listener in (slow, fast):
                    await listener.until(lambda one: one.last_index == 2001)
                    assert [entry.index for entry in listener.entries] == list(range(1, 2002))
                    listener.cut()

        run(main())

    def test_a_frozen_reader_that_wants_to_be_let_go_is_told_where_to_go_on(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat", limits=ChannelLimits(rate_per_s=1e9, burst=10**9))
                slow = await room.listen(CHANNEL, frozen=True, policy="disconnect", buffer_entries=50)
                tight = await room.listen(CHANNEL, frozen=True, policy="disconnect", buffer_bytes=2000)
                fast = await room.listen(CHANNEL, policy="disconnect", buffer_entries=50)
                for first in range(1, 501, 10):
                    await room.router.append(room.owner, CHANNEL, encode_batch(payloads(10), first_sequence=first))
                    await fast.until(lambda one: one.last_index == first + 9)  # noqa: B023 - waited for here
                fast.cut()
                for listener in (slow, tight):
                    listener.thaw()
                    await listener.until(lambda one: one.over)
                    assert isinstance(listener.error, SubscriberTooSlow)
                    resume = listener.error.last_position
                    assert [entry.index for entry in listener.entries] == list(range(1, resume + 1))
                    again = await room.listen(CHANNEL, after=resume)
                    await again.until(lambda one: one.last_index == 500)
                    assert [entry.index for entry in again.entries] == list(range(resume + 1, 501))
                    again.cut()
                assert slow.error is not None and slow.error.details()["last_position"] == 50
                assert room.router.stats().subscribers_too_slow == 2
                assert room.router.stats().subscribers == 0

        run(main())

    def test_an_entry_larger_than_the_buffer_comes_through(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                listeners = [
                    await room.listen(CHANNEL, policy=policy, buffer_bytes=1000) for policy in ("paged", "disconnect")
                ]
                for size in (10, 5000, 20):
                    await room.router.append(room.owner, CHANNEL, draft(b"x" * size))
                    for listener in listeners:
                        await until(lambda: listener.entries and len(listener.entries[-1].payload) == size)  # noqa: B023
                for listener in listeners:
                    assert [len(entry.payload) for entry in listener.entries] == [10, 5000, 20]
                    listener.cut()

        run(main())

    def test_ends_that_were_asked_for(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                await room.router.append(room.owner, CHANNEL, encode_batch(payloads(9), first_sequence=1))
                now = await room.listen(CHANNEL, follow=False)
                none = await room.listen(CHANNEL, after=9, follow=False)
                some = await room.listen(CHANNEL, after=2, limit=3)
                more = await room.listen(CHANNEL, after=7, limit=4)
                last = await room.listen(CHANNEL, after=2, limit=50, follow=False)
                await room.router.append(room.owner, CHANNEL, encode_batch(payloads(9), first_sequence=10))
                for listener, indexes in (
                    (now, range(1, 10)),
                    (none, range(0)),
                    (some, range(3, 6)),
                    (more, range(8, 12)),
                    (last, range(3, 10)),
                ):
                    await listener.until(lambda one: one.ended)
                    assert [entry.index for entry in listener.entries] == list(indexes)
                await until(lambda: room.router.stats().subscribers == 0)

        run(main())

    def test_without_ones_own(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                listener = await room.listen(CHANNEL, mine=False)
                for sender in ("local:0", "bob", "local:0", "bob"):
                    await room.router.append(room.owner, CHANNEL, draft(sender.encode()), sender=sender)
                later = await room.listen(CHANNEL, mine=False)
                await room.router.end(room.owner, CHANNEL)
                for one in (listener, later):
                    await one.until(lambda one: one.ended)
                    assert [entry.index for entry in one.entries] == [2, 4]

        run(main())

    def test_a_removed_channel_ends_its_subscriptions_with_the_reason(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                live = await room.listen(CHANNEL)
                slow = await room.listen(CHANNEL, frozen=True, buffer_bytes=100)
                await room.router.append(room.owner, CHANNEL, encode_batch(payloads(50)))
                await room.router.remove(room.owner, CHANNEL, "spring cleaning")
                slow.thaw()
                for listener in (live, slow):
                    await listener.until(lambda one: one.over)
                    assert isinstance(listener.error, ChannelNotFound)
                    assert "spring cleaning" in str(listener.error)

        run(main())

    def test_a_reader_parked_while_the_oldest_go_is_told_so(self, run: Run, room: ChannelRoom) -> None:
        """Regression 8: Gone, never a silent skip."""

        async def main() -> None:
            async with room:
                limits = ChannelLimits(entries_max=20, rate_per_s=1e9, burst=10**9)
                await room.router.create(room.owner, "p1", "chat", retain=True, limits=limits)
                parked = await room.listen(CHANNEL, frozen=True, buffer_bytes=300)
                for first in range(1, 301, 5):
                    await room.router.append(room.owner, CHANNEL, encode_batch(payloads(5), first_sequence=first))
                parked.thaw()
                await parked.until(lambda one: one.over)
                assert isinstance(parked.error, Gone)
                assert parked.error.oldest > parked.last_index + 1
                assert [entry.index for entry in parked.entries] == list(range(1, parked.last_index + 1))

        run(main())

    def test_trims_under_ten_followers(self, run: Run, room: ChannelRoom) -> None:
        """Regression 25: no gap, no repeat, no stop."""

        async def main() -> None:
            async with room:
                limits = ChannelLimits(entries_max=40, rate_per_s=1e9, burst=10**9)
                await room.router.create(room.owner, "p1", "chat", retain=True, limits=limits)
                followers = [await room.listen(CHANNEL) for _ in range(10)]
                for first in range(1, 501, 5):
                    await room.router.append(room.owner, CHANNEL, encode_batch(payloads(5), first_sequence=first))
                    if first % 3 == 0:
                        await until(lambda: all(one.last_index >= first for one in followers))  # noqa: B023
                for follower in followers:
                    await follower.until(lambda one: one.last_index == 500)
                    assert [entry.index for entry in follower.entries] == list(range(1, 501))
                    follower.cut()
                assert (await room.router.get(room.owner, CHANNEL)).dropped > 400

        run(main())

    def test_who_leaves_leaves_nothing(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                await room.router.append(room.owner, CHANNEL, encode_batch(payloads(100)))
                for frozen in (False, True):
                    for way in ("leave", "cut"):
                        listener = await room.listen(CHANNEL, frozen=frozen, buffer_bytes=500)
                        if not frozen:
                            await listener.until(lambda one: one.last_index == 100)
                        getattr(listener, way)()
                        await until(lambda: room.router.stats().subscribers == 0)
                await room.router.append(room.owner, CHANNEL, draft(b"x"))

        run(main())

    def test_in_memory_entries_are_seen_before_they_are_stored(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                listener = await room.listen(CHANNEL)
                await room.router.append(room.owner, CHANNEL, draft(b"x"), ack="memory")
                await room.router.append(room.owner, CHANNEL, draft(b"y"), ack="os")
                await listener.until(lambda one: one.last_index == 2)
                listener.cut()

        run(main())


class TestControl:
    def test_a_cancel_sent_before_the_executor_is_ready_is_seen(self, run: Run, room: ChannelRoom) -> None:
        """Regression 12; a cancel for A never stops B."""

        async def main() -> None:
            async with room:
                for name in ("a", "b"):
                    await room.router.create(room.owner, "p1", name, submitter="alice")
                await room.router.append(room.owner, "p1/a", draft(type="cancel", sequence=1), sender="alice")
                await room.restart()
                await room.router.set_process_executor(room.owner, "p1", "bob")
                executor = await room.listen("p1/a")
                await executor.until(lambda one: one.last_index == 2)
                assert [entry.type for entry in executor.entries] == ["cancel", "receipt"]
                assert await room.entries("p1/b") == []
                executor.cut()

        run(main())

    def test_questions_expire_once_and_restarts_do_not_forget_them(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat", submitter="alice", executor="bob")
                questions: list[dict[str, Any]] = [
                    {"policy": "default", "expires_s": 10, "default": "go on"},
                    {"policy": "deny", "expires_s": 20},
                    {"policy": "wait"},
                ]
                for sequence, control in enumerate(questions, 1):
                    asking = draft(b"?", type="needs_input", sequence=sequence, extras=Extras(control=control))
                    await room.router.append(room.owner, CHANNEL, asking, sender="bob")
                await room.restart()
                room.clock.advance(10.5)
                for _ in range(2):
                    await room.router.upkeep()
                assert [
                    (e.type, e.sender, e.payload, e.control, e.in_reply_to) for e in (await room.entries(CHANNEL))[6:]
                ] == [("answer", "holdfast", b"go on", {"of": 1, "outcome": "default"}, 1)]
                late = draft(b"no", type="answer", sequence=1, extras=Extras(control={"of": 1}))
                assert "not open" in str(await error_of(room.router.append(room.owner, CHANNEL, late, sender="alice")))
                answered = draft(b"yes", type="answer", sequence=2, extras=Extras(control={"of": 5}))
                await room.router.append(room.owner, CHANNEL, answered, sender="alice")
                await room.restart()
                room.clock.advance(1000)
                await room.router.upkeep()
                await room.router.upkeep()
                entries = (await room.entries(CHANNEL))[7:]
                assert [(e.type, e.control) for e in entries] == [
                    ("answer", {"of": 5}),
                    ("receipt", {"of": 8, "state": "accepted"}),
                    ("answer", {"of": 3, "outcome": "denied"}),
                ]

        run(main())

    def test_a_question_that_is_due_before_it_is_stored_keeps_its_default(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                control = {"policy": "default", "expires_s": 1e-9, "default": "blue"}
                asking = draft(b"?", type="needs_input", sequence=1, extras=Extras(control=control))
                appending = asyncio.create_task(room.router.append(room.owner, CHANNEL, asking, sender="bob"))
                await asyncio.sleep(0)  # on its way to the disk
                room.clock.advance(1)
                await room.router.upkeep()
                await appending
                await room.router.upkeep()
                entries = await room.entries(CHANNEL)
                assert [(e.type, e.payload) for e in entries] == [
                    ("needs_input", b"?"),
                    ("receipt", b""),
                    ("answer", b"blue"),
                ]

        run(main())


class TestLimits:
    def test_long_lists_come_in_pages(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(channels_page_max=3)) as room:
                for name in ("a", "b", "c", "d"):
                    await room.router.create(room.owner, "p", name)
                await room.router.create(room.owner, "p.1", "a")
                found, after = list[str](), ""
                while page := await room.router.list(room.owner, after=after):
                    assert len(page) <= 3
                    found += [info.id for info in page]
                    after = found[-1]
                assert found == sorted(["p/a", "p/b", "p/c", "p/d", "p.1/a"])
                assert [info.id for info in await room.router.list(room.owner, "p", "p/b")] == ["p/c", "p/d"]

        run(main())

    def test_so_many_channels_and_no_more(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(channels_per_process_max=3, channels_max=5)) as room:
                results = await asyncio.gather(
                    *(room.router.create(room.owner, "p1", f"c{n}") for n in range(5)), return_exceptions=True
                )
                errors = [error for error in results if isinstance(error, BaseException)]
                assert [type(error) for error in errors] == [TooManyChannels] * 2
                assert errors[0].args
                for name in ("a", "b"):
                    await room.router.create(room.owner, "p2", name)
                error = await error_of(room.router.create(room.owner, "p3", "a"))
                assert isinstance(error, TooManyChannels)
                assert error.name == "channels_max"

        run(main())

    def test_senders_of_idle_channels_leave_the_memory_and_come_back(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(channel_ledgers_max=2)) as room:
                for name in "abcd":
                    await room.router.create(room.owner, "p1", name)
                for _ in range(2):
                    for name in "abcd":
                        await room.router.append(room.owner, f"p1/{name}", draft(b"x", sequence=1))
                for name in "abcd":
                    assert len(await room.entries(f"p1/{name}")) == 1

        run(main())


class TestWhole:
    """Batches of which all is stored or nothing, and what goes with them."""

    def test_the_close_the_producer_and_the_order_come_with_the_entries(self, run: Run, room: ChannelRoom) -> None:
        async def main() -> None:
            async with room:
                await room.router.create(room.owner, "p1", "chat")
                mark = Producer("p", 2, 0)
                placed = await room.router.place(
                    room.owner, CHANNEL, draft(b"a") + draft(b"b"), Terms(producer=mark, order="7")
                )
                await placed.stored
                assert placed.last_index == 2
                await room.restart()
                assert await room.engine.log.producer(log_name("p1", "chat"), "p") == mark
                assert room.router.find(room.owner, CHANNEL, "read", "test").record.order == "7"
                closing = Terms(close=True, producer=Producer("p", 2, 1))
                await (await room.router.place(room.owner, CHANNEL, draft(b"c"), closing)).stored
                await room.restart()
                info = await room.router.get(room.owner, CHANNEL)
                assert (info.state, info.last_index) == ("closed", 3)
                assert (await room.engine.log.stat(log_name("p1", "chat"))).closed
                assert room.router.find(room.owner, CHANNEL, "read", "test").record.closed_by == closing.producer
                assert [entry.payload for entry in await room.entries(CHANNEL)] == [b"a", b"b", b"c"]

        run(main())

    def test_a_full_disk_leaves_it_open_and_as_it_was(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(max_bytes=400_000) as room:
                await room.router.create(room.owner, "p1", "chat")
                stored = refused = 0
                order = 0
                while not refused:
                    order += 1
                    batch = draft(b"x" * 9000) + draft(b"y" * 9000)
                    terms = Terms(producer=Producer("p", 0, stored // 2), order=f"{order:04}")
                    try:
                        await _placed(room, batch, terms)
                        stored += 2
                    except StorageError:
                        refused += 1
                closing = Terms(close=True, producer=Producer("p", 0, stored // 2), order="9999")
                error = await error_of(_placed(room, draft(b"z" * 30_000), closing))
                assert isinstance(error, StorageError)
                info = await room.router.get(room.owner, CHANNEL)
                assert (info.state, info.entries) == ("open", stored)
                assert room.router.find(room.owner, CHANNEL, "read", "test").record.order == f"{order - 1:04}"
                known = await room.engine.log.producer(log_name("p1", "chat"), "p")
                assert known == Producer("p", 0, stored // 2 - 1)

        run(main())


async def _placed(room: ChannelRoom, batch: bytes, terms: Terms) -> None:
    await (await room.router.place(room.owner, CHANNEL, batch, terms)).stored


def test_the_view_of_entries_is_that_of_the_wire(run: Run, room: ChannelRoom) -> None:
    async def main() -> None:
        async with room:
            await room.router.create(room.owner, "p1", "chat")
            batch = draft(b"x", sequence=3, in_reply_to=2, extras=Extras("text/plain", {"a": "b"}, "", {}))
            await room.router.append(room.owner, CHANNEL, batch)
            page = await room.router.read(room.owner, CHANNEL)
            assert page.endswith(batch)
            (entry,) = iter_entries(page)
            assert (entry.content_type, entry.headers, entry.in_reply_to) == ("text/plain", {"a": "b"}, 2)

    run(main())
