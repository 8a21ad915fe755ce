"""A node's groups over engines in memory: the channel and the group say the same, whatever is interrupted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdfast.channels.access import Owner
from holdfast.channels.model import AppendResult, ChannelLimits
from holdfast.channels.packing import encode_batch, encode_draft
from holdfast.channels.router import ChannelRouter
from holdfast.channels.unpacking import Entry, iter_entries
from holdfast.clock import RealClock
from holdfast.engine.base import LogStat
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import (
    ChannelNotFound,
    ClosedError,
    LimitExceeded,
    MessageTooLarge,
    NotFound,
    StorageError,
    Unavailable,
    UsageError,
)
from holdfast.limits import LIMITS, Limits
from holdfast.node.groups import groups as groups_module
from holdfast.node.groups import mirror as mirror_module
from holdfast.node.groups.groups import NodeGroups
from holdfast.node.http.figures import group_figures
from holdfast.sync.group import Group
from holdfast.sync.groups import ID_HEADER, LAMPORT_HEADER, SENDER_HEADER, GroupSpec
from holdfast.sync.transports.bus import BusTransport
from holdfast.sync.transports.udp import Udp, parse_endpoint

CHANNEL = "groups/ops"
SPEC = GroupSpec(name="ops", me="alice", bus=True)
OWNER = Owner("local:0")


class Host:
    """A node's groups and channels over an engine that outlives them."""

    def __init__(self, engine: MemoryEngine, limits: Limits = LIMITS) -> None:
        self.engine = engine
        self.router = ChannelRouter(engine, clock=RealClock(), limits=limits)
        self.groups = NodeGroups(engine, self.router, clock=RealClock(), limits=limits)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Host]:
        await self.router.open()
        await self.groups.open()
        try:
            yield self
        finally:
            await self.groups.close()
            await self.router.close()

    async def entries(self) -> list[Entry]:
        return list(iter_entries(await self.router.read(OWNER, CHANNEL)))

    async def texts(self, count: int) -> list[str]:
        """The payloads, once there are ``count``."""
        while len(found := await self.entries()) < count:
            await asyncio.sleep(0.005)
        return [entry.text for entry in found]

    def stranger(self, me: str) -> Group:
        """Another participant, on the same bus."""
        return Group("ops", me=me, transport=BusTransport(self.engine.bus, "groups.ops"))


def run(story: Callable[[MemoryEngine], Awaitable[None]]) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        await engine.start()
        try:
            async with asyncio.timeout(30):
                await story(engine)
        finally:
            await engine.stop()

    asyncio.run(main())


def test_what_the_group_delivers_is_in_the_channel_and_the_other_way_round() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            sent = await host.groups.send("ops", b"one")
            assert sent.index == 1
            assert (await anext(bob)).text == "one"
            await bob.send(b"two")
            assert await host.texts(2) == ["one", "two"]
            await host.router.append(OWNER, CHANNEL, encode_batch([b"three", b"four"]))
            assert [(await anext(bob)).text for _ in range(2)] == ["three", "four"]
            entries = await host.entries()
            assert [entry.sender for entry in entries] == ["alice", "bob", "local:0", "local:0"]
            assert [ID_HEADER in entry.headers for entry in entries] == [True, True, False, False]
            logged = (await host.groups.snapshot("ops")).log
            assert [entry.headers.get(LAMPORT_HEADER) for entry in entries[:2]] == [
                str(one.lamport) for one in logged[:2]
            ]
            log = [one.id for one in (await host.groups.snapshot("ops")).log]
            assert log == [one.message_id for one in bob.log()]

    run(story)


def test_only_entries_of_data_are_sent() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            drafts = [encode_draft(b"stop", type="cancel"), encode_draft(b""), encode_draft(b"said")]
            await host.router.append(OWNER, CHANNEL, b"".join(drafts))
            assert (await anext(bob)).text == "said"
            assert bob.status().counts.delivered == 1

    run(story)


def test_a_restart_appends_and_sends_nothing_twice() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            await host.router.append(OWNER, CHANNEL, encode_batch([b"a", b"b"]))
            await bob.send(b"c")
            await host.texts(3)
            assert [(await anext(bob)).text for _ in range(2)] == ["a", "b"]
        async with Host(engine).open() as host, host.stranger("carol") as carol:
            await carol.send(b"d")
            assert await host.texts(4) == ["a", "b", "c", "d"]
            await host.router.append(OWNER, CHANNEL, encode_batch([b"e"]))
            heard = [(await anext(carol)).text for _ in range(4)]
            assert sorted(heard) == ["a", "b", "c", "e"]
            assert len((await host.groups.snapshot("ops")).log) == 5

    run(story)


def test_a_channel_may_let_its_oldest_go_while_its_group_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            await host.groups.leave("ops")
            for number in range(30):
                await host.router.append(OWNER, CHANNEL, encode_batch([b"%d" % number]))
            stat = engine.log.stat

            async def stat_before_trim(name: str) -> LogStat:
                found = await stat(name)
                await engine.log.trim(name, found.oldest + 1)
                return found

            with monkeypatch.context() as patch:
                patch.setattr(engine.log, "stat", stat_before_trim)
                await host.groups.join("ops")
            left = await host.entries()
            assert 0 < len(left) < 30
            assert [(await anext(bob)).text for _ in left] == [entry.text for entry in left]

    run(story)


def test_what_was_delivered_and_not_appended_before_a_crash_is_appended_after_it() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            await bob.send(b"one")
            await host.texts(1)
            member = host.groups._members["ops"]
            assert member.mirror is not None
            for task in member.mirror._tasks:
                task.cancel()  # a crash between the group's own state and the channel
            await bob.send(b"two")
            while member.mirror.group.status().channel.history < 2:
                await asyncio.sleep(0.005)
            assert len(await host.entries()) == 1
            await host.router.append(OWNER, CHANNEL, encode_batch([b"three"]))
        async with Host(engine).open() as host:
            assert sorted(await host.texts(3)) == ["one", "three", "two"]
            while len((await host.groups.snapshot("ops")).log) < 3:
                await asyncio.sleep(0.005)

    run(story)


def test_a_participant_with_an_impossible_name_is_named_in_a_header() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("no name, really") as other:
            await host.groups.create(SPEC)
            await other.send(b"hello")
            await host.texts(1)
            (entry,) = await host.entries()
            assert (entry.sender, entry.headers[SENDER_HEADER]) == ("peer", "no name, really")

    run(story)


def test_a_group_that_was_left_stays_so_and_is_removed_whole() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host:
            await host.groups.create(SPEC)
            await host.groups.send("ops", b"one")
            assert (await host.groups.leave("ops")).state == "left"
            with pytest.raises(ClosedError, match="join it first"):
                await host.groups.send("ops", b"two")
        async with Host(engine).open() as host:
            assert (await host.groups.status("ops")).state == "left"
            assert (await host.groups.join("ops")).history == 1
            await host.groups.remove("ops")
            with pytest.raises(NotFound):
                await host.groups.status("ops")
            with pytest.raises(ChannelNotFound):
                await host.entries()
            assert (await host.groups.create(SPEC)).history == 0
        async with Host(engine).open() as host:
            assert [info.state for info in await host.groups.list()] == ["active"]

    run(story)


def test_a_group_whose_channel_was_removed_says_so_and_can_be_joined_again() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            await host.router.remove(OWNER, CHANNEL)
            await bob.send(b"lost?")
            while (await host.groups.status("ops")).state != "failed":
                await asyncio.sleep(0.005)
            assert "ops" in (await host.groups.status("ops")).error
            with pytest.raises(ClosedError, match="join it again"):
                await host.groups.send("ops", b"x")
            assert (await host.groups.join("ops")).state == "active"
            assert await host.texts(1) == ["lost?"]

    run(story)


def test_what_is_appended_to_a_channel_made_again_is_sent() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            await host.router.append(OWNER, CHANNEL, encode_batch([b"one", b"two", b"three"]))
            assert [(await anext(bob)).text for _ in range(3)] == ["one", "two", "three"]
            await host.groups.leave("ops")
            await host.router.remove(OWNER, CHANNEL)
            await host.groups.join("ops")
            await host.texts(3)  # from the others' histories
            await host.router.append(OWNER, CHANNEL, encode_batch([b"four"]))
            assert (await anext(bob)).text == "four"

    run(story)


def test_a_group_made_again_over_a_kept_channel_repeats_nothing() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            await host.router.append(OWNER, CHANNEL, encode_batch([b"appended"]))
            assert (await anext(bob)).text == "appended"
            await host.groups.send("ops", b"sent")
            assert (await anext(bob)).text == "sent"
            await host.groups.remove("ops", keep_channel=True)
            await host.router.append(OWNER, CHANNEL, encode_batch([b"nobody's"]))
            await bob.send(b"meanwhile")
            await host.groups.create(SPEC)
            assert await host.texts(4) == ["appended", "sent", "nobody's", "meanwhile"]
            await host.groups.send("ops", b"again")
            assert (await anext(bob)).text == "again"
            assert await host.texts(5) == ["appended", "sent", "nobody's", "meanwhile", "again"]
            assert len(bob.log()) == 4

    run(story)


def test_a_group_that_cannot_be_made_leaves_no_channel() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host:
            nowhere = GroupSpec(name="ops", me="alice", listen="192.0.2.1:9")
            with pytest.raises(Unavailable):
                await host.groups.create(nowhere)
            assert await host.router.list(OWNER) == []
            await host.router.create(OWNER, "groups", "ops", submitter="bob")
            with pytest.raises(Unavailable):
                await host.groups.create(nowhere)
            assert [info.id for info in await host.router.list(OWNER)] == [CHANNEL]
            assert len(host.groups) == 0

    run(story)


def test_what_the_channel_does_not_take_is_skipped_and_counted() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host:
            tight = ChannelLimits(payload_bytes_max=150)
            await host.router.create(OWNER, "groups", "ops", submitter="alice", limits=tight)
            await host.groups.create(SPEC)
            async with host.stranger("bob") as bob:
                for content in (b"one", bytes(200), b"two"):
                    await bob.send(content)
                assert await host.texts(2) == ["one", "two"]
                assert (await host.groups.status("ops")).skipped == 1
                with pytest.raises(MessageTooLarge):
                    await host.groups.send("ops", bytes(200))
                sent = await host.groups.send("ops", b"three")
                assert (sent.index, (await host.entries())[-1].text) == (3, "three")
                info = await host.groups.status("ops")
                assert (info.state, info.skipped) == ("active", 2)

    run(story)


@pytest.mark.parametrize("name", ["x" * 1_024, "\u2028" * 341, "a\0b\nc\r", "\ud7ff\U0010ffff", '"}{', " "])
def test_whatever_a_participant_calls_itself_and_its_messages_is_a_channels_entry(name: str) -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger(name) as bob:
            await host.groups.create(SPEC)
            await bob.send(b"one", id=name)
            await host.texts(1)
            (entry,) = await host.entries()
            assert (entry.sender, entry.headers[SENDER_HEADER], entry.headers[ID_HEADER]) == ("peer", name, name)
            assert (await host.groups.status("ops")).state == "active"
            assert (await host.groups.snapshot("ops")).log[0].sender == name
        async with Host(engine).open() as host:
            assert (await host.groups.status("ops")).state == "active"
            assert await host.texts(1) == ["one"]

    run(story)


def test_nobody_comes_by_a_local_name_over_the_network() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("local:0") as bob:
            await host.groups.create(SPEC)
            await bob.send(b"I am the owner")
            await host.texts(1)
            (entry,) = await host.entries()
            assert (entry.sender, entry.headers[SENDER_HEADER]) == ("peer", "local:0")

    run(story)


def test_who_waits_for_the_channel_is_let_go_when_the_group_is_left() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host:
            await host.groups.create(SPEC)
            mirror = host.groups._members["ops"].mirror
            assert mirror is not None
            mirror._tasks[1].cancel()  # what appends
            sending = asyncio.create_task(host.groups.send("ops", b"one"))
            while not mirror._queue:
                await asyncio.sleep(0)
            await host.groups.leave("ops")
            with pytest.raises(ClosedError, match="when it joins again"):
                await sending
            await host.groups.join("ops")
            assert await host.texts(1) == ["one"]

    run(story)


def test_a_message_asked_for_again_is_sent_once() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            both = [asyncio.create_task(host.groups.send("ops", b"one", False, "m1")) for _ in range(2)]
            assert [sent.index for sent in await asyncio.gather(*both)] == [1, 1]
            gone = asyncio.create_task(host.groups.send("ops", b"two", False, "m2"))
            await asyncio.sleep(0)
            gone.cancel()  # the link was cut
            assert (await host.groups.send("ops", b"two", False, "m2")).index == 2
            assert [(await anext(bob)).text for _ in range(2)] == ["one", "two"]
        async with Host(engine).open() as host:  # the node was started again
            assert (await host.groups.send("ops", b"two", False, "m2")).index == 2
            assert await host.texts(2) == ["one", "two"]
            assert len((await host.groups.snapshot("ops")).log) == 2

    run(story)


def test_a_message_asked_for_again_after_a_crash_before_it_was_appended_is_sent_once() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            mirror = host.groups._members["ops"].mirror
            assert mirror is not None
            mirror._tasks[1].cancel()  # what appends
            sending = asyncio.create_task(host.groups.send("ops", b"one", False, "m1"))
            assert (await anext(bob)).text == "one"
            await host.groups.leave("ops")
            with pytest.raises(ClosedError):
                await sending
            await host.groups.join("ops")
            assert (await host.groups.send("ops", b"one", False, "m1")).index == 1
            assert await host.texts(1) == ["one"]
            assert bob.status().counts.delivered == 1

    run(story)


def test_an_address_that_is_taken_at_a_start_is_no_reason_not_to_start() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host:
            made = await host.groups.create(GroupSpec(name="ops", me="alice", listen="127.0.0.1:0"))
            assert made.address == made.spec.listen != "127.0.0.1:0"
            assert (await host.groups.set_peers("ops", ["127.0.0.1:9"])).spec.peers == ["127.0.0.1:9"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            host_name, _, port = made.address.rpartition(":")
            taken.bind((host_name, int(port)))
            async with Host(engine).open() as host:
                info = await host.groups.status("ops")
                assert info.state == "failed"
                assert made.address in info.error
                with pytest.raises(Unavailable, match="in use"):
                    await host.groups.join("ops")
        async with Host(engine).open() as host:
            info = await host.groups.status("ops")
            assert (info.state, info.address, info.spec.peers) == ("active", made.address, ["127.0.0.1:9"])

    run(story)


def test_a_key_is_kept_over_restarts_and_shown_to_nobody() -> None:
    async def story(engine: MemoryEngine) -> None:
        old, new = b"k" * 32, b"n" * 32
        async with Host(engine).open() as host:
            made = await host.groups.create(GroupSpec(name="ops", me="alice", listen="127.0.0.1:0"), old)
            assert made.sealed
            assert "kkkk" not in repr([made, *host.groups.infos(), host.groups._members["ops"].record])
        udp = Udp(listen="127.0.0.1:0", peers=[made.address], key=old)
        async with Host(engine).open() as host, Group("ops", me="bob", transport=udp) as bob:
            await host.groups.set_peers("ops", [f"127.0.0.1:{udp.address[1]}"])
            await host.groups.send("ops", b"one")
            assert (await anext(bob)).text == "one"
            assert (await host.groups.set_key("ops", new)).sealed
            udp.set_key(new)
            await bob.send(b"two")
            assert await host.texts(2) == ["one", "two"]
            with pytest.raises(UsageError, match="key"):
                await host.groups.set_key("ops", b"short")
            assert await engine.kv.get("group-keys/ops") is not None
            assert not (await host.groups.set_key("ops")).sealed
            assert await engine.kv.get("group-keys/ops") is None
            await host.groups.set_key("ops", new)
            await host.groups.remove("ops")
            assert await engine.kv.get("group-keys/ops") is None

    run(story)


def test_who_lacks_the_key_is_not_heard_and_counted() -> None:
    async def story(engine: MemoryEngine) -> None:
        udp = Udp(listen="127.0.0.1:0")
        async with Host(engine).open() as host, Group("ops", me="mallory", transport=udp) as mallory:
            spec = GroupSpec(name="ops", me="alice", listen="127.0.0.1:0", peers=[f"127.0.0.1:{udp.address[1]}"])
            made = await host.groups.create(spec, b"k" * 32)
            udp.set_peers([made.address])
            await mallory.send(b"let me in")
            while not (await host.groups.status("ops")).unverified:
                await asyncio.sleep(0.005)
            assert await host.entries() == []

    run(story)


def test_an_address_that_comes_later_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at boot, when the network is up after the node."""
    monkeypatch.setattr(groups_module, "_ADDRESS_FIRST_S", 0.01)
    monkeypatch.setattr(groups_module, "_ADDRESS_LAST_S", 0.02)

    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host:
            address = (await host.groups.create(GroupSpec(name="ops", me="alice", listen="127.0.0.1:0"))).address
            await host.groups.create(GroupSpec(name="left", me="alice", listen="127.0.0.1:0"))
            await host.groups.leave("left")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(parse_endpoint(address, ""))
            async with Host(engine).open() as host:
                assert (await host.groups.status("ops")).state == "failed"
            async with Host(engine).open() as host:
                await asyncio.sleep(0)
                taken.close()
                while (await host.groups.status("ops")).state != "active":
                    await asyncio.sleep(0.005)
                assert (await host.groups.status("ops")).error == ""
                assert (await host.groups.status("left")).state == "left"
                assert (await host.groups.send("ops", b"here")).index == 1

    run(story)


def test_a_store_that_fails_is_told_to_the_sender_and_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            append, full = host.router.append, asyncio.Event()
            full.set()

            async def append_if_there_is_room(*arguments: Any) -> AppendResult:
                if full.is_set():
                    raise StorageError("no room left")
                return await append(*arguments)

            monkeypatch.setattr(host.router, "append", append_if_there_is_room)
            monkeypatch.setattr(mirror_module, "_RETRY_S", 0.005)
            with pytest.raises(StorageError, match="no room left; the message is sent, and appended when it can be"):
                await host.groups.send("ops", b"one")
            assert (await anext(bob)).text == "one"
            await bob.send(b"two")
            full.clear()
            assert await host.texts(2) == ["one", "two"]
            assert (await host.groups.status("ops")).state == "active"

    run(story)


def test_bounds_and_bad_specs_are_named() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine, LIMITS._replace(groups_max=1)).open() as host:
            for spec, field in (
                (GroupSpec(name="a/b", me="x", bus=True), "name"),
                (GroupSpec(name="a", me="", bus=True), "me"),
                (GroupSpec(name="a", me="x"), "spec"),
                (GroupSpec(name="a", me="x", bus=True, listen="127.0.0.1:0"), "spec"),
                (GroupSpec(name="a", me="x", bus=True, peers=["127.0.0.1:1"]), "peers"),
                (GroupSpec(name="a", me="x", listen="localhost"), "listen"),
            ):
                with pytest.raises(UsageError) as caught:
                    await host.groups.create(spec)
                assert field in caught.value.field
            with pytest.raises(UsageError, match="key: only over UDP"):
                await host.groups.create(SPEC, b"k" * 32)
            await host.groups.create(SPEC)
            with pytest.raises(UsageError, match="peers"):
                await host.groups.set_peers("ops", ["127.0.0.1:1"])
            with pytest.raises(UsageError, match="limit"):
                await host.groups.snapshot("ops", -1)
            with pytest.raises(LimitExceeded, match="groups_max"):
                await host.groups.create(GroupSpec(name="b", me="x", bus=True))
            assert len(host.groups) == 1

    run(story)


def test_figures() -> None:
    async def story(engine: MemoryEngine) -> None:
        async with Host(engine).open() as host, host.stranger("bob") as bob:
            await host.groups.create(SPEC)
            await host.groups.create(GroupSpec(name="other", me="alice", bus=True))
            await host.groups.leave("other")
            await bob.send(b"one")
            await host.texts(1)
            figures = {figure.name: dict(figure.values) for figure in group_figures(host.groups)}
            assert figures["holdfast_groups"] == {("active",): 1, ("left",): 1}
            assert figures["holdfast_group_waiting"] == {("outgoing",): 0, ("incoming",): 0, ("missing",): 0}
            assert figures["holdfast_group_messages"]["delivered",] == 1

    run(story)
