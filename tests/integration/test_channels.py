"""Channels of a real node over RPC: it dies again and again, callers lie, subscribers sleep, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from holdfast.channels.api import ChannelsApi
from holdfast.channels.model import ChannelInfo
from holdfast.channels.packing import encode_batch, encode_draft
from holdfast.channels.unpacking import Entry, RunReader, iter_entries
from holdfast.errors import (
    AlreadyExists,
    ChannelClosed,
    ChannelNotFound,
    DisconnectedError,
    HoldfastError,
    LimitExceeded,
    MessageTooLarge,
    PermissionDenied,
    SequenceConflict,
    SubscriberTooSlow,
    Unavailable,
    UsageError,
)
from holdfast.jobs.api import JobsApi
from holdfast.jobs.model import JobSpec
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.aio.streams import AsyncReader
from holdfast.rpc.commands import invoke
from holdfast.rpc.failures import decode_failure
from holdfast.rpc.handshake.authenticators import BearerClient, LocalClient
from holdfast.rpc.handshake.greeting import Authenticator
from holdfast.security.api import TokensApi
from holdfast.security.model import TokenSpec
from holdfast.streams import Chunk, End, Failed
from holdfast.testing import NodeBox

Run = Callable[[Coroutine[Any, Any, Any]], Any]

CHANNEL = "p1/chat"
MIB = 1024 * 1024
KILLS = int(os.environ.get("HOLDFAST_KILLS", "5"))
"""Deaths of the node in the test of deaths; a soak takes more."""


@asynccontextmanager
async def dial(box: NodeBox, token: str = "") -> AsyncIterator[AsyncConnection]:
    """A connection, of the owner or of a token's bearer."""
    authenticator: Authenticator = BearerClient(token) if token else LocalClient()
    async with await dial_unix(box.url.removeprefix("unix://"), authenticator) as connection:
        yield connection


async def create(connection: AsyncConnection, channel: str = CHANNEL, **options: Any) -> ChannelInfo:
    """A channel for tests: as fast as may be, and roomy."""
    process, _, name = channel.partition("/")
    options = {"rate_per_s": 1e9, "burst": 10**9, "entries_max": 10**7} | options
    return await invoke(connection, ChannelsApi.create, process, name, **options)


class Follower:
    """A subscriber: its connection's reader, and what it got."""

    def __init__(self, reader: AsyncReader) -> None:
        self._reader = reader
        self._runs = RunReader()
        self.last_index = 0

    async def next(self) -> list[Entry]:
        """The next entries; [] at the end.  Raises what the subscription failed with."""
        while True:
            item = await self._reader.read(1 << 18)
            if isinstance(item, End):
                return []
            if isinstance(item, Failed):
                raise decode_failure(item.error, self.last_index)
            assert isinstance(item, Chunk)
            entries = list(iter_entries(self._runs.feed(bytes(item.data))))
            if entries:
                self.last_index = entries[-1].index
                return entries

    async def all(self) -> list[Entry]:
        """Everything up to the end."""
        found: list[Entry] = []
        while entries := await self.next():
            found += entries
        return found


async def follow(
    connection: AsyncConnection, channel: str = CHANNEL, *, window_bytes: int = MIB, **options: Any
) -> Follower:
    """Subscribe."""
    reader = connection.open_reader(window_bytes=window_bytes)
    await invoke(connection, ChannelsApi.subscribe, channel, reader.stream_id, **options)
    reader.start()
    return Follower(reader)


async def refusal(work: Awaitable[object]) -> HoldfastError:
    """The error a call ends with."""
    with pytest.raises(HoldfastError) as caught:
        await work
    return caught.value


# the node dies


class Producer:
    """Appends batches under its own name, each again until it is acknowledged."""

    def __init__(self, box: NodeBox, name: str, progress: asyncio.Condition) -> None:
        self._box = box
        self.name = name
        self.acknowledged: dict[int, int] = {}
        self.stop = False
        self._progress = progress

    async def run(self) -> None:
        sequence = 1
        while not self.stop:
            try:
                async with dial(self._box) as connection:
                    while not self.stop:
                        sequence = await self._append(connection, sequence)
            except (DisconnectedError, Unavailable):
                await asyncio.sleep(0.005)

    async def _append(self, connection: AsyncConnection, sequence: int) -> int:
        size = 1 + sequence % 23
        payloads = [f"{self.name}:{number}".encode() for number in range(sequence, sequence + size)]
        batch = encode_batch(payloads, first_sequence=sequence)
        result = await invoke(connection, ChannelsApi.append, CHANNEL, batch, sender=self.name)
        others = {other.position: other for other in result.others}
        assert all(other.error is None for other in others.values()), others
        index = result.first_index
        for position in range(size):
            if position in others:
                self.acknowledged[sequence + position] = others[position].index
            else:
                self.acknowledged[sequence + position] = index
                index += 1
        async with self._progress:
            self._progress.notify_all()
        return sequence + size


class Watcher:
    """Follows the channel to its end, from where it was whenever the link is cut."""

    def __init__(self, box: NodeBox) -> None:
        self._box = box
        self.indexes: list[int] = []
        self.last: Entry | None = None

    async def run(self) -> None:
        while True:
            try:
                async with dial(self._box) as connection:
                    follower = await follow(connection, after=len(self.indexes))
                    while entries := await follower.next():
                        self.indexes += [entry.index for entry in entries]
                        self.last = entries[-1]
                    return
            except (DisconnectedError, Unavailable):
                await asyncio.sleep(0.005)


def test_nothing_acknowledged_is_lost_or_doubled_however_often_the_node_dies(node_box: NodeBox) -> None:
    random = Random(KILLS)

    async def main() -> None:
        async with dial(node_box) as connection:
            await create(connection)
        progress = asyncio.Condition()
        producers = [Producer(node_box, f"producer-{number}", progress) for number in range(8)]
        watchers = [Watcher(node_box) for _ in range(8)]
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(watcher.run()) for watcher in watchers]
            producing = [group.create_task(producer.run()) for producer in producers]
            for _ in range(KILLS):
                goal = sum(len(producer.acknowledged) for producer in producers) + random.randrange(200, 3000)
                async with progress:
                    await progress.wait_for(lambda: sum(len(one.acknowledged) for one in producers) >= goal)  # noqa: B023
                await asyncio.to_thread(node_box.kill_node)
                await asyncio.to_thread(node_box.start_node)
            for producer in producers:
                producer.stop = True
            await asyncio.wait(producing)
            async with dial(node_box) as connection:
                await invoke(connection, ChannelsApi.append, CHANNEL, encode_draft(type="end", sequence=1))
                await invoke(connection, ChannelsApi.close, CHANNEL)
            await asyncio.wait(watching)
        await check_all(node_box, producers, watchers)

    asyncio.run(main())


async def check_all(box: NodeBox, producers: list[Producer], watchers: list[Watcher]) -> None:
    """Indexes are dense, what was acknowledged is there once and in its place, all watchers saw all, the end last."""
    async with dial(box) as connection:
        entries = await (await follow(connection)).all()
    assert [entry.index for entry in entries] == list(range(1, len(entries) + 1))
    assert (entries[-1].type, sum(entry.type == "end" for entry in entries)) == ("end", 1)
    there = {(entry.sender, entry.sequence): entry for entry in entries}
    assert len(there) == len(entries)
    for producer in producers:
        assert producer.acknowledged
        for sequence, index in producer.acknowledged.items():
            entry = there[producer.name, sequence]
            assert (entry.index, entry.payload) == (index, f"{producer.name}:{sequence}".encode())
        own = [entry.sequence for entry in entries if entry.sender == producer.name]
        assert own == list(range(1, len(own) + 1))
    for watcher in watchers:
        assert watcher.indexes == list(range(1, len(entries) + 1))
        assert watcher.last is not None and watcher.last.type == "end"


# subscribers that sleep


def test_a_sleeper_misses_nothing_or_is_told_where_to_go_on(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with dial(node_box) as connection, dial(node_box) as other:
            await create(connection)
            options: dict[str, Any] = {"window_bytes": 16_384, "buffer_entries": 2000}
            paged = await follow(other, **options)
            impatient = await follow(other, policy="disconnect", **options)
            awake = await follow(connection)
            for first in range(1, 60_001, 500):
                batch = encode_batch([b"x" * 50] * 500, first_sequence=first)
                await invoke(connection, ChannelsApi.append, CHANNEL, batch)
                while awake.last_index < first + 499:
                    await awake.next()
            await invoke(connection, ChannelsApi.close, CHANNEL)
            found = await paged.all()
            assert [entry.index for entry in found] == list(range(1, 60_001))
            got: list[Entry] = []
            with pytest.raises(SubscriberTooSlow) as caught:
                while True:
                    got += await impatient.next()
            assert got[-1].index == caught.value.last_position < 10_000
            rest = await (await follow(other, after=caught.value.last_position)).all()
            assert [entry.index for entry in got + rest] == list(range(1, 60_001))

    run(main())


def test_what_is_too_large_for_a_request_goes_and_comes_as_a_stream(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with dial(node_box) as connection:
            await create(connection)
            batch = encode_draft(b"a" * (9 * MIB), sequence=1) + encode_draft(b"b", sequence=2)
            for _ in range(2):
                writer = connection.open_writer()
                call = invoke(connection, ChannelsApi.append_stream, CHANNEL, writer.stream_id, len(batch))
                sending = asyncio.create_task(writer.write(batch))
                appending = asyncio.create_task(call)
                await sending
                await writer.close()
                result = await appending
            assert [other.index for other in result.others] == [1, 2]
            error = await refusal(invoke(connection, ChannelsApi.read, CHANNEL))
            assert isinstance(error, LimitExceeded)
            assert error.name == "frame_bytes_max"
            page = await invoke(connection, ChannelsApi.read, CHANNEL, after=1)
            assert [entry.payload for entry in iter_entries(page)] == [b"b"]
            entries = await (await follow(connection, follow=False)).all()
            assert [len(entry.payload) for entry in entries] == [9 * MIB, 1]

    run(main())


def test_a_stream_that_is_not_what_was_said_appends_nothing(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with dial(node_box) as connection:
            await create(connection)
            draft = encode_draft(b"x" * 100, sequence=1)
            for size in (len(draft) + 1, len(draft) - 1):
                writer = connection.open_writer()
                call = asyncio.create_task(
                    invoke(connection, ChannelsApi.append_stream, CHANNEL, writer.stream_id, size)
                )
                await writer.write(draft)
                try:
                    await writer.close()
                except HoldfastError:
                    pass  # the node stopped reading
                assert isinstance(await refusal(call), UsageError)
            error = await refusal(invoke(connection, ChannelsApi.append_stream, CHANNEL, 99, 17 * MIB))
            assert isinstance(error, MessageTooLarge)
            assert (await invoke(connection, ChannelsApi.get, CHANNEL)).entries == 0

    run(main())


# bad input


BAD: list[tuple[type[HoldfastError], Callable[[AsyncConnection], Coroutine[Any, Any, object]]]] = [
    (UsageError, lambda c: invoke(c, ChannelsApi.create, "p1", "a/b")),
    (UsageError, lambda c: invoke(c, ChannelsApi.create, "p1", "")),
    (UsageError, lambda c: invoke(c, ChannelsApi.create, "", "chat2")),
    (UsageError, lambda c: invoke(c, ChannelsApi.create, "../p", "chat2")),
    (UsageError, lambda c: invoke(c, ChannelsApi.create, "p1", "x" * 129)),
    (UsageError, lambda c: invoke(c, ChannelsApi.create, "p1", "chat2", submitter="a b")),
    (UsageError, lambda c: invoke(c, ChannelsApi.create, "p1", "chat2", executor="holdfast")),
    (UsageError, lambda c: invoke(c, ChannelsApi.create, "p1", "chat2", entries_max=-1)),
    (UsageError, lambda c: invoke(c, ChannelsApi.create, "p1", "chat2", rate_per_s=-1.0)),
    (UsageError, lambda c: invoke(c, ChannelsApi.create, "p1", "chat2", payload_bytes_max=1 << 40)),
    (AlreadyExists, lambda c: invoke(c, ChannelsApi.create, "p1", "chat")),
    (ChannelNotFound, lambda c: invoke(c, ChannelsApi.append, "p1/none", encode_draft(b"x"))),
    (ChannelNotFound, lambda c: invoke(c, ChannelsApi.append, "chat", encode_draft(b"x"))),
    (UsageError, lambda c: invoke(c, ChannelsApi.append, CHANNEL, b"")),
    (UsageError, lambda c: invoke(c, ChannelsApi.append, CHANNEL, b"not a batch at all")),
    (UsageError, lambda c: invoke(c, ChannelsApi.append, CHANNEL, encode_draft(b"x")[:-1])),
    (UsageError, lambda c: invoke(c, ChannelsApi.append, CHANNEL, b"\0\0\0\x12\x0a" + bytes(17))),
    (UsageError, lambda c: invoke(c, ChannelsApi.append, CHANNEL, encode_draft(b"x"), sender="a b")),
    (UsageError, lambda c: c.call("channels.append", {"channel": CHANNEL, "ack": "maybe"}, encode_draft(b"x"))),
    (MessageTooLarge, lambda c: invoke(c, ChannelsApi.append, CHANNEL, encode_draft(b"x" * 2000))),
    (SequenceConflict, lambda c: invoke(c, ChannelsApi.append, CHANNEL, encode_draft(b"y", sequence=1))),
    (UsageError, lambda c: invoke(c, ChannelsApi.read, CHANNEL, after=-1)),
    (UsageError, lambda c: invoke(c, ChannelsApi.read, CHANNEL, after=2)),
    (UsageError, lambda c: invoke(c, ChannelsApi.subscribe, CHANNEL, 1001, after=-1)),
    (UsageError, lambda c: invoke(c, ChannelsApi.subscribe, CHANNEL, 1001, after=99)),
    (UsageError, lambda c: invoke(c, ChannelsApi.subscribe, CHANNEL, 1001, buffer_bytes=-5)),
    (UsageError, lambda c: c.call("channels.subscribe", {"channel": CHANNEL, "stream": 1, "policy": "patient"})),
    (UsageError, lambda c: c.call("channels.read", {"channel": CHANNEL, "order": "random"})),
    (ChannelClosed, lambda c: invoke(c, ChannelsApi.append, "p1/closed", encode_draft(b"x"))),
]


def test_bad_input_gets_the_named_error_and_nothing_is_stored(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with dial(node_box) as connection:
            await create(connection, payload_bytes_max=1000)
            await create(connection, "p1/closed")
            await invoke(connection, ChannelsApi.append, CHANNEL, encode_draft(b"x", sequence=1))
            await invoke(connection, ChannelsApi.close, "p1/closed")
            before = await invoke(connection, ChannelsApi.list)
            for kind, call in BAD:
                assert isinstance(await refusal(call(connection)), kind)
            assert await invoke(connection, ChannelsApi.list) == before

    run(main())


# strangers


async def mint(connection: AsyncConnection, subject: str, *scopes: str, **options: Any) -> str:
    """A token for ``subject``."""
    spec = TokenSpec(subject=subject, scopes=list(scopes), **options)
    return (await invoke(connection, TokensApi.mint, spec)).token


async def answers_of(connection: AsyncConnection, channel: str) -> list[tuple[str, str]]:
    """What each command says about ``channel``, which is not the caller's, without its name."""
    calls: list[Coroutine[Any, Any, object]] = [
        invoke(connection, ChannelsApi.get, channel),
        invoke(connection, ChannelsApi.senders, channel),
        invoke(connection, ChannelsApi.read, channel),
        invoke(connection, ChannelsApi.subscribe, channel, connection.next_stream_id()),
        invoke(connection, ChannelsApi.append, channel, encode_draft(b"x")),
        invoke(connection, ChannelsApi.append_stream, channel, connection.next_stream_id(), 5),
        invoke(connection, ChannelsApi.close, channel),
        invoke(connection, ChannelsApi.remove, channel),
        invoke(connection, ChannelsApi.set_executor, channel, "eve"),
        invoke(connection, ChannelsApi.create, channel.partition("/")[0], channel.partition("/")[2]),
        invoke(connection, ChannelsApi.close_process, channel.partition("/")[0]),
    ]
    errors = [await refusal(call) for call in calls]
    return [
        (type(error).__name__, str(error).replace(channel, "*").replace(channel.partition("/")[0], "*"))
        for error in errors
    ]


def test_an_outsider_learns_nothing_of_a_channel(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with dial(node_box) as owner:
            await create(owner, "secret/chat", submitter="alice", executor="bob")
            await invoke(owner, ChannelsApi.append, "secret/chat", encode_draft(b"x"), sender="alice")
            eve = await mint(owner, "eve", "channels:read", "channels:write")
            async with dial(node_box, eve) as connection:
                assert await answers_of(connection, "secret/chat") == await answers_of(connection, "nobody/chat")
                assert await invoke(connection, ChannelsApi.list) == []
            assert (await invoke(owner, ChannelsApi.get, "secret/chat")).last_index == 1
        lines = (node_box.state_dir / "audit.log").read_text().splitlines()
        denied = [line for line in map(json.loads, lines) if line["event"] == "denied" and line["by"] == "eve"]
        assert {line["action"] for line in denied} >= {"channels.get", "channels.append", "channels.subscribe"}
        assert {line["resource"] for line in denied if line["action"] == "channels.get"} == {"secret/chat"}

    run(main())


def test_roles_reach_as_far_as_they_should(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with dial(node_box) as owner:
            await create(owner, "p/a", submitter="alice", executor="bob")
            await create(owner, "p/b", submitter="alice")
            alice = await mint(owner, "alice", "channels:read", "channels:write")
            bob = await mint(owner, "bob", "channels:read", "channels:write")
            reader = await mint(owner, "carl", "channels:read", channel="p/a", role="reader")
            async with dial(node_box, alice) as one, dial(node_box, bob) as two, dial(node_box, reader) as three:
                await invoke(one, ChannelsApi.append, "p/a", encode_draft(b"question"))
                await invoke(two, ChannelsApi.append, "p/a", encode_draft(b"answer", in_reply_to=1))
                for connection in (one, two, three):
                    entries = list(iter_entries(await invoke(connection, ChannelsApi.read, "p/a")))
                    assert [(entry.sender, entry.payload) for entry in entries] == [
                        ("alice", b"question"),
                        ("bob", b"answer"),
                    ]
                assert [info.id for info in await invoke(one, ChannelsApi.list)] == ["p/a", "p/b"]
                assert [info.id for info in await invoke(two, ChannelsApi.list)] == ["p/a"]
                assert [info.id for info in await invoke(three, ChannelsApi.list)] == ["p/a"]
                append = invoke(three, ChannelsApi.append, "p/a", encode_draft(b"x"))
                assert isinstance(await refusal(append), PermissionDenied)
                for connection in (two, three):
                    assert isinstance(await refusal(invoke(connection, ChannelsApi.get, "p/b")), ChannelNotFound)
                disguised = invoke(two, ChannelsApi.append, "p/a", encode_draft(b"x"), sender="alice")
                assert isinstance(await refusal(disguised), PermissionDenied)
                await invoke(owner, ChannelsApi.set_executor, "p/a", "dora")
                assert isinstance(await refusal(invoke(two, ChannelsApi.get, "p/a")), ChannelNotFound)

    run(main())


# channels of jobs


AGENT = """
import asyncio, os
from holdfast.channels.api import ChannelsApi
from holdfast.channels.packing import encode_draft
from holdfast.errors import HoldfastError
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.commands import invoke
from holdfast.rpc.handshake.authenticators import BearerClient

async def main():
    path = os.environ["HOLDFAST_URL"].removeprefix("unix://")
    own = os.environ["HOLDFAST_JOB"] + "/chat"
    async with await dial_unix(path, BearerClient(os.environ["HOLDFAST_TOKEN"])) as node:
        await invoke(node, ChannelsApi.append, own, encode_draft(b"hello", type="data", sequence=1))
        try:
            await invoke(node, ChannelsApi.read, "other/chat")
        except HoldfastError as error:
            await invoke(node, ChannelsApi.append, own, encode_draft(type(error).__name__.encode(), sequence=2))
        await invoke(node, ChannelsApi.append, own, encode_draft(type="end", sequence=3))

asyncio.run(main())
"""


def test_a_jobs_channels_live_and_go_with_it(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with dial(node_box) as connection:
            await create(connection, "other/chat")
            env = {"PATH": os.environ["PATH"], "HOME": str(node_box.directory)}
            spec = JobSpec(command=[sys.executable, "-c", AGENT], channels=["chat", "logs"], env=env, tty=False)
            job = await invoke(connection, JobsApi.start, spec)
            assert job.channels == ["chat", "logs"]
            entries = await (await follow(connection, f"{job.id}/chat")).all()
            assert [(entry.sender, entry.type, entry.payload) for entry in entries] == [
                (f"job:{job.id}", "data", b"hello"),
                (f"job:{job.id}", "data", b"ChannelNotFound"),
                (f"job:{job.id}", "end", b""),
            ]
            await invoke(connection, JobsApi.wait, job.id)
            for info in await invoke(connection, ChannelsApi.list, job.id):
                assert (info.state, info.executor) == ("closed", f"job:{job.id}")
                assert info.submitter.startswith("local:")
                assert info.expires_at > info.closed_at > 0
            node_box.kill_node()
        node_box.start_node()
        async with dial(node_box) as connection:
            assert len(await invoke(connection, ChannelsApi.list, job.id)) == 2
            await invoke(connection, JobsApi.remove, job.id)
            assert [info.id for info in await invoke(connection, ChannelsApi.list)] == ["other/chat"]

    run(main())


def test_a_job_that_ends_while_the_node_is_away_closes_its_channels_when_it_is_back(
    node_box: NodeBox, run: Run
) -> None:
    async def main() -> None:
        async with dial(node_box) as connection:
            command = ["sh", "-c", f"until [ -e {node_box.directory}/go ]; do sleep 0.01; done"]
            spec = JobSpec(command=command, channels=["chat"], env={"PATH": os.environ["PATH"]}, tty=False)
            job = await invoke(connection, JobsApi.start, spec)
            await invoke(connection, ChannelsApi.append, f"{job.id}/chat", encode_draft(type="cancel"))
        node_box.kill_node()
        (node_box.directory / "go").touch()
        node_box.start_node()
        async with dial(node_box) as connection:
            entries = await (await follow(connection, f"{job.id}/chat")).all()
            assert [entry.type for entry in entries] == ["cancel", "receipt"]
            assert (await invoke(connection, ChannelsApi.get, f"{job.id}/chat")).state == "closed"

    run(main())


def test_a_job_that_cannot_start_leaves_no_channels(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with dial(node_box) as connection:
            for command, channels in ((["/no/such/program"], ["chat"]), (["true"], ["a/b"]), (["true"], ["a", "a"])):
                spec = JobSpec(command=command, channels=channels)
                await refusal(invoke(connection, JobsApi.start, spec))
            assert await invoke(connection, ChannelsApi.list) == []

    run(main())


# connections


def test_abrupt_ends_of_subscribers_leave_nothing(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with dial(node_box) as connection:
            await create(connection)
            for _ in range(20):
                async with dial(node_box) as other:
                    for _ in range(5):
                        await follow(other)
                    await invoke(connection, ChannelsApi.append, CHANNEL, encode_draft(b"x"))
            while (await invoke(connection, ChannelsApi.stats)).subscribers:
                await asyncio.sleep(0.01)
            info = await invoke(connection, ChannelsApi.get, CHANNEL)
            assert (info.subscribers, info.entries) == (0, 20)

    run(main())
