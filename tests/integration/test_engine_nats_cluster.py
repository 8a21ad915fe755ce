"""The NATS engine on three servers, any of which is killed while it works: nothing acknowledged is lost or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from hashlib import sha256

import nats
import pytest

from holdfast.engine.base import Entry, Producer
from holdfast.engine.nats.engine import NatsEngine
from holdfast.engine.nats.options import NatsOptions
from holdfast.natsbox import NatsCluster, NatsServer

GUARD_S = 120
PREFIX = "cluster"
ROUND = 200
"""Writes of each kind around a misfortune."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[NatsCluster]:
    with NatsCluster.temporary() as made:
        yield made


def make_engine(cluster: NatsCluster) -> NatsEngine:
    return NatsEngine(NatsOptions(url=",".join(cluster.urls), prefix=PREFIX, replicas=3))


async def leader(cluster: NatsCluster, stream: str) -> NatsServer:
    """The server that writes the stream first."""
    async with await nats.connect(cluster.urls) as client:
        info = await client.jetstream().stream_info(f"{PREFIX}_{stream}")
        assert info.cluster is not None
        assert info.cluster.leader is not None
        assert len(info.cluster.replicas or ()) == 2
        return cluster.server(info.cluster.leader)


class Work:
    """Writes of each kind, one after the other, as many as are asked for; remembers what was acknowledged."""

    def __init__(self, engine: NatsEngine) -> None:
        self.engine = engine
        self.counts = {"entries": 0, "keys": 0, "blobs": 0}

    async def go_on(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """A round of each kind; the misfortune comes when all are in the middle of it."""
        reached = {kind: asyncio.Event() for kind in self.counts}
        async with asyncio.TaskGroup() as tasks:
            for kind, write in (("entries", self.append), ("keys", self.put), ("blobs", self.store)):
                tasks.create_task(self._write(kind, write, reached[kind]))
            for event in reached.values():
                await event.wait()
            await meanwhile()

    async def _write(self, kind: str, write: Callable[[int], Awaitable[object]], reached: asyncio.Event) -> None:
        for number in range(ROUND):
            if number == ROUND // 2:
                reached.set()
            await write(self.counts[kind])
            self.counts[kind] += 1

    async def append(self, number: int) -> None:
        tail = await self.engine.log.append(
            "log", [b"%d" % number], expected_tail=number + 1, producer=Producer("p", 0, number)
        )
        assert tail == number + 2

    async def put(self, number: int) -> None:
        await self.engine.kv.put(f"key/{number % 10}", b"%d" % number)

    async def store(self, number: int) -> None:
        each = content(number)
        assert await self.engine.blobs.put(sha256(each).digest(), each, meta=b"%d" % number)


def content(number: int) -> bytes:
    return b"blob %d " % number * (40_000 if number % 20 == 0 else 10)


async def check(engine: NatsEngine, counts: dict[str, int]) -> None:
    """All that was acknowledged is there, once, and nothing else."""
    entries: list[bytes] = []
    while pieces := await engine.log.read("log", len(entries) + 1):
        for piece in pieces:
            assert isinstance(piece, Entry)
            assert piece.position == len(entries) + 1
            entries.append(piece.data)
    assert entries == [b"%d" % number for number in range(counts["entries"])]
    assert await engine.log.producer("log", "p") == Producer("p", 0, counts["entries"] - 1)
    last = counts["keys"]
    values = {item.key: int(item.value) for item in await engine.kv.list("key/")}
    assert values == {f"key/{number % 10}": number for number in range(last - 10, last)}
    blobs = [content(number) for number in range(counts["blobs"])]
    assert await engine.blobs.get_many([sha256(blob).digest() for blob in blobs]) == blobs
    stats = await engine.blobs.list(limit=len(blobs) + 1)
    assert sorted(int(stat.meta) for stat in stats) == list(range(counts["blobs"]))


@pytest.mark.timeout(GUARD_S)
def test_what_was_acknowledged_is_there_whichever_servers_die(cluster: NatsCluster) -> None:
    """First the one that leads, which leaves two; then two at once, which leaves one that can promise nothing."""

    async def kill_leader() -> None:
        (await leader(cluster, "logs")).kill()

    async def kill_two() -> None:
        first = await leader(cluster, "blobs")
        await asyncio.to_thread(cluster.start)
        other = next(server for server in cluster.servers if server is not first)
        first.kill()
        other.kill()
        await asyncio.to_thread(cluster.start)

    async def main() -> None:
        engine = make_engine(cluster)
        await engine.start()
        await engine.log.create("log", mode="entries")
        work = Work(engine)
        await work.go_on(kill_leader)
        await work.go_on(kill_two)
        await check(engine, work.counts)
        await engine.stop()
        again = make_engine(cluster)
        await again.start()
        await check(again, work.counts)
        await again.stop()

    asyncio.run(main())
