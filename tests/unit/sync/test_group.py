from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from holdfast.errors import ClosedError, DeadlineExceeded, LimitExceeded, StorageError, UsageError
from holdfast.limits import LIMITS
from holdfast.sync import testkit
from holdfast.sync.events import Event, MessageAcknowledged, RetrievalHintWanted
from holdfast.sync.group import Group, GroupMessage
from holdfast.sync.persistence.base import HistoryUpdate, Outcome
from holdfast.sync.persistence.faulty import FaultyPersistence
from holdfast.sync.persistence.memory import MemoryPersistence
from holdfast.sync.profiles import LAN
from holdfast.sync.transports.base import TransportStats
from holdfast.sync.transports.memory import MemoryNetwork, MemoryTransport
from holdfast.sync.wire import Wire

QUICK = LAN.replaced(
    resend_s=0.05, resend_max_s=0.1, sync_s=0.02, sync_max_s=0.1, repair_min_s=0.01, repair_max_s=0.03,
    repair_again_s=0.05, adaptive=False,
)  # fmt: skip


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(30):
            await story()

    asyncio.run(guarded())


async def take(group: Group, count: int) -> list[GroupMessage]:
    found = []
    async for message in group:
        found.append(message)
        if len(found) == count:
            break
    return found


def test_what_one_sends_the_others_get_in_order() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        events: list[Event] = []
        async with (
            Group("ops", me="alice", transport=network.transport(), profile=QUICK, on_event=events.append) as alice,
            Group("ops", me="bob", transport=network.transport(), profile=QUICK) as bob,
        ):
            ids = [await alice.send(f"{number}".encode()) for number in range(5)]
            got = await take(bob, 5)
            assert [message.id for message in got] == ids
            assert [message.text for message in got] == ["0", "1", "2", "3", "4"]
            assert {message.sender for message in got} == {"alice"}
            await alice.settle(10)
            assert alice.status().channel.outgoing == 0
            assert alice.status().counts.acknowledged == 5
            assert sum(isinstance(event, MessageAcknowledged) for event in events) == 5
            assert [one.message_id for one in alice.log()] == [one.message_id for one in bob.log()] == ids

    run(story)


def test_what_the_network_loses_is_repaired() -> None:
    async def story() -> None:
        carried = 0

        def fate(sender: MemoryTransport, receiver: MemoryTransport, message: bytes) -> Sequence[float]:
            nonlocal carried
            carried += 1
            return () if carried % 3 == 0 else (0.0,)

        network = MemoryNetwork(fate=fate)
        async with (
            Group("ops", me="alice", transport=network.transport(), profile=QUICK) as alice,
            Group("ops", me="bob", transport=network.transport(), profile=QUICK) as bob,
        ):
            for number in range(30):
                await alice.send(f"{number}".encode())
            assert [message.text for message in await take(bob, 30)] == [str(number) for number in range(30)]
            assert bob.missing() == []

    run(story)


def test_ephemeral_messages_are_heard_and_not_kept() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        async with (
            Group("ops", me="alice", transport=network.transport()) as alice,
            Group("ops", me="bob", transport=network.transport()) as bob,
        ):
            alice.send_ephemeral(b"typing")
            (message,) = await take(bob, 1)
            assert (message.content, message.ephemeral, message.lamport) == (b"typing", True, 0)
            assert bob.log() == []

    run(story)


def test_it_goes_on_where_it_was() -> None:
    async def story() -> None:
        network, store = MemoryNetwork(), MemoryPersistence()
        async with Group("ops", me="alice", transport=network.transport(), persistence=store, profile=QUICK) as alice:
            first = await alice.send(b"before")
        async with (
            Group("ops", me="bob", transport=network.transport(), profile=QUICK) as bob,
            Group("ops", me="alice", transport=network.transport(), persistence=store, profile=QUICK) as alice,
        ):
            second = await alice.send(b"after")
            assert [message.id for message in await take(bob, 2)] == [first, second]
            await alice.leave_for_good()
        async with Group("ops", me="alice", transport=network.transport(), persistence=store) as alice:
            assert alice.log() == []

    run(story)


def test_a_failing_store_stops_nobody_but_one_that_cannot_be_read_does() -> None:
    async def story() -> None:
        network, store = MemoryNetwork(), FaultyPersistence(MemoryPersistence())
        async with Group("ops", me="alice", transport=network.transport(), persistence=store) as alice:
            store.failing.add("update_history")
            await alice.send(b"kept in memory")
            assert alice.status().counts.save_failures + alice.status().channel.unsaved > 0
        store.failing.add("load_channel")
        with pytest.raises(StorageError, match="cannot be loaded"):
            await Group("ops", me="alice", transport=network.transport(), persistence=store).open()

    run(story)


def test_who_does_not_read_is_not_sent_more_than_there_is_room_for() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        small = LIMITS._replace(group_inbox_messages_max=5)
        async with (
            Group("ops", me="alice", transport=network.transport(), profile=QUICK) as alice,
            Group("ops", me="bob", transport=network.transport(), profile=QUICK, limits=small) as bob,
        ):
            for number in range(12):
                await alice.send(f"{number}".encode())
            while bob.status().counts.refused == 0:
                await asyncio.sleep(0)
            assert bob.status().waiting <= 5
            assert [message.text for message in await take(bob, 12)] == [str(number) for number in range(12)]

    run(story)


def test_closing_lets_everyone_go_and_what_is_there_can_be_read() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        alice = Group("ops", me="alice", transport=network.transport())
        bob = Group("ops", me="bob", transport=network.transport())
        await alice.open()
        await bob.open()
        await alice.send(b"last words")
        while not bob.status().waiting:
            await asyncio.sleep(0)
        settling = asyncio.create_task(alice.settle())
        reading = asyncio.create_task(alice.receive())
        await asyncio.sleep(0)
        await alice.close()
        await alice.close()
        await bob.close()
        assert await reading is None
        if settling.done() or alice.status().channel.outgoing:
            with pytest.raises(ClosedError):
                await settling
        assert [message.text async for message in bob] == ["last words"]
        with pytest.raises(ClosedError):
            await alice.send(b"too late")
        with pytest.raises(UsageError, match="once"):
            await alice.open()
        assert len(asyncio.all_tasks()) == 1

    run(story)


def test_cancelled_waits_lose_nothing() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        async with (
            Group("ops", me="alice", transport=network.transport()) as alice,
            Group("ops", me="bob", transport=network.transport()) as bob,
        ):
            for _ in range(5):
                waiting = asyncio.create_task(bob.receive())
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            await alice.send(b"still here")
            assert (await take(bob, 1))[0].text == "still here"
            with pytest.raises(DeadlineExceeded, match="settle"):
                await bob.send(b"nobody answers in no time")
                await bob.settle(0)

    run(story)


class SlowStore(MemoryPersistence):
    """Takes its time, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.waiting = asyncio.Event()

    async def update_history(self, channel: str, update: HistoryUpdate) -> Outcome:
        self.waiting.set()
        await self.go.wait()
        return await super().update_history(channel, update)


def test_a_message_whose_sender_does_not_wait_for_the_store_is_sent() -> None:
    async def story() -> None:
        network, store = MemoryNetwork(), SlowStore()
        async with (
            Group("ops", me="alice", transport=network.transport(), persistence=store, profile=QUICK) as alice,
            Group("ops", me="bob", transport=network.transport(), profile=QUICK) as bob,
        ):
            sending = asyncio.create_task(alice.send(b"hello"))
            await store.waiting.wait()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            store.go.set()
            assert (await take(bob, 1))[0].text == "hello"
            await alice.settle(10)
            assert bob.status().counts.delivered == 1
        assert list(store.history["ops"]) == [one.message_id for one in bob.log()]

    run(story)


def test_what_is_no_message_is_counted_and_changes_nothing() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        stranger = network.transport()
        stranger.connect(lambda message: None)
        async with Group("ops", me="alice", transport=network.transport()) as alice:
            for noise in (b"", b"noise", b"\xff" * 100):
                stranger.send(noise)
            while alice.status().counts.malformed < 3:
                await asyncio.sleep(0)
            assert alice.log() == []

    run(story)


def test_what_the_programs_callback_raises_is_told_to_all_who_wait() -> None:
    async def story() -> None:
        network = MemoryNetwork()

        def confused(event: Event) -> None:
            raise ZeroDivisionError

        async with (
            Group("ops", me="alice", transport=network.transport(), profile=QUICK, on_event=confused) as alice,
            Group("ops", me="bob", transport=network.transport(), profile=QUICK) as bob,
        ):
            await bob.send(b"hello")
            assert [message.text for message in await take(alice, 1)] == ["hello"]
            for waiting in (alice.receive(), alice.send(b"x")):
                with pytest.raises(ZeroDivisionError):
                    await waiting

    run(story)


class Confused:
    """A transport that does what none may."""

    def __init__(self, inner: MemoryTransport) -> None:
        self.inner = inner
        self.open, self.close = inner.open, inner.close

    def send(self, message: bytes) -> None:
        raise KeyError("confused")

    @property
    def stats(self) -> TransportStats:
        return self.inner.stats


def test_an_error_that_nobody_foresaw_ends_no_wait_in_silence() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        async with (
            Group("ops", me="alice", transport=Confused(network.transport()), profile=QUICK) as alice,
            Group("ops", me="bob", transport=network.transport(), profile=QUICK) as bob,
        ):
            await bob.send(b"hello")
            assert [message.text for message in await take(alice, 1)] == ["hello"]
            with pytest.raises(KeyError, match="confused"):  # its sync message cannot leave
                await alice.receive()

    run(story)


def test_hints_are_asked_for_given_and_travel() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        wanted: list[str] = []

        def answer(event: Event) -> None:
            if isinstance(event, RetrievalHintWanted):
                wanted.append(event.message_id)
                alice.set_hint(event.message_id, b"over there")

        async with (
            Group(
                "ops", me="alice", transport=network.transport(), profile=QUICK, on_event=answer, hints=True
            ) as alice,
            Group("ops", me="bob", transport=network.transport(), profile=QUICK) as bob,
        ):
            first = await alice.send(b"one")
            await bob.send(b"two")
            second = (await take(alice, 1))[0].id
            assert wanted == [first, second]
            heard: asyncio.Queue[bytes] = asyncio.Queue()
            network.transport().connect(heard.put_nowait)
            third = await alice.send(b"three")
            while (sent := Wire("spec").decode(await heard.get()).message).message_id != third:
                pass
            assert {entry.retrieval_hint for entry in sent.causal} == {b"over there"}

    run(story)


def test_what_the_program_has_by_other_means_is_not_waited_for() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        other = network.transport()
        other.connect(lambda message: None)
        async with Group("ops", me="alice", transport=network.transport(), profile=QUICK) as alice:
            other.send(testkit.message("m", 5, ["elsewhere"], channel="ops"))
            while not alice.missing():
                await asyncio.sleep(0)
            assert alice.status().channel.state == "missing"
            alice.mark_dependencies_met(["elsewhere", "unknown"])
            assert [one.id for one in await take(alice, 1)] == ["m"]
            assert alice.status().channel.state == "synced"

    run(story)


def test_messages_under_our_own_name_that_are_not_ours_are_counted() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        async with (
            Group("ops", me="alice", transport=network.transport(), profile=QUICK) as alice,
            Group("ops", me="alice", transport=network.transport(), profile=QUICK) as another,
        ):
            await another.send(b"I am alice")
            assert [one.sender for one in await take(alice, 1)] == ["alice"]
            assert (alice.status().counts.namesake, another.status().counts.namesake) == (1, 0)

    run(story)


def test_the_limits_that_were_given_are_those_in_force() -> None:
    async def story() -> None:
        network = MemoryNetwork()
        limits = LIMITS._replace(group_outgoing_max=2, group_missing_max=1)
        async with Group("ops", me="alice", transport=network.transport(), limits=limits) as alice:
            await alice.send(b"one")
            await alice.send(b"two")
            with pytest.raises(LimitExceeded, match="group_outgoing_max"):
                await alice.send(b"three")
            other = network.transport()
            other.connect(lambda message: None)
            for number in range(3):
                other.send(testkit.message(f"m{number}", 5, [f"gone{number}"], channel="ops"))
            while (counts := alice.status().counts).refused < 2:
                await asyncio.sleep(0)
            assert counts.malformed == 0

    run(story)


def test_what_cannot_be_sent_is_named() -> None:
    async def story() -> None:
        group = Group("ops", me="alice", transport=MemoryNetwork().transport())
        with pytest.raises(ClosedError):
            await group.send(b"x")
        async with group:
            with pytest.raises(UsageError, match="content"):
                await group.send(b"")
            with pytest.raises(UsageError, match="content: must be bytes, not str"):
                await group.send("text")  # type: ignore[arg-type]
            with pytest.raises(LimitExceeded, match="group_content_bytes_max"):
                await group.send(bytes(LIMITS.group_content_bytes_max + 1))
        with pytest.raises(UsageError, match="profile"):
            Group("ops", me="alice", transport=MemoryNetwork().transport(), profile="moon")

    run(story)


def test_sending_waits_for_those_who_listen_and_not_for_nobody() -> None:
    async def story() -> None:
        network, tiny = MemoryNetwork(), QUICK.replaced(history_max=40)
        async with Group("ops", me="alice", transport=network.transport(), profile=tiny) as alice:
            for number in range(60):
                await alice.send(f"{number}".encode())
            assert alice.status().channel.outgoing == 60
            async with Group("ops", me="bob", transport=network.transport(), profile=tiny) as bob:
                await bob.send(b"here")
                await take(alice, 1)
                waiting = asyncio.create_task(alice.send(b"one more"))
                await asyncio.sleep(0)
                assert not waiting.done()
                await waiting
                assert alice.status().channel.outgoing < 60

    run(story)
