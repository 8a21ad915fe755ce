"""Blobs on a real NATS server: servers that die and come back, owners that are replaced, room that is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import sha256
from random import Random

import nats
import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from holdfast.engine.base import Blob
from holdfast.engine.blobs import Blobs
from holdfast.engine.nats.blobs import commit, upkeep
from holdfast.engine.nats.blobs.objects import NatsObjects
from holdfast.engine.nats.engine import NatsEngine
from holdfast.engine.nats.link.connection import Link, connect
from holdfast.engine.nats.link.streams import state_of
from holdfast.engine.nats.options import NatsOptions
from holdfast.errors import CorruptionError, StorageError
from holdfast.limits import LIMITS
from holdfast.natsbox import NatsServer

PART = LIMITS.blob_part_bytes


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer.temporary() as made:
        yield made


class Owner:
    """A node, as far as blobs are concerned."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.objects = NatsObjects(link)
        self.blobs = Blobs(self.objects)
        self.stream = link.stream("blobs")


@asynccontextmanager
async def owner(server: NatsServer, prefix: str, epoch: int = 1) -> AsyncIterator[Owner]:
    link = await connect(NatsOptions(url=server.url, prefix=prefix))
    try:
        made = Owner(link)
        await made.objects.start(epoch=epoch)
        try:
            yield made
        finally:
            made.blobs.stop()
            await made.objects.stop(5.0)
    finally:
        await link.close()


def blob(data: bytes, meta: bytes = b"") -> Blob:
    return Blob(sha256(data).digest(), data, meta)


def test_every_acknowledged_blob_is_there_after_servers_died_under_it() -> None:
    random = Random(7)

    async def put(node: Owner, number: int, stored: list[Blob]) -> None:
        for count in range(30):
            each = blob(random.randbytes(random.choice([0, 10, 5_000, PART + 3])), b"%d of %d" % (count, number))
            await node.blobs.put(each.digest, each.data, meta=each.meta)
            stored.append(each)

    async def main(server: NatsServer) -> None:
        stored: list[Blob] = []
        async with owner(server, "kill") as node:
            tasks = [asyncio.create_task(put(node, number, stored)) for number in range(8)]
            for _ in range(3):
                seen = len(stored)
                while len(stored) < seen + 20 and not all(task.done() for task in tasks):
                    await asyncio.sleep(0)
                server.kill()
                server.start()
            await asyncio.gather(*tasks)
        async with owner(server, "kill", 2) as node:
            assert len(stored) == 240
            distinct = {each.digest: each for each in stored}
            assert {stat.digest for stat in await node.blobs.list()} == distinct.keys()
            found = await node.blobs.get_many(list(distinct))
            assert found == [each.data for each in distinct.values()]

    with NatsServer.temporary() as server:
        asyncio.run(main(server))


def test_a_blob_comes_after_what_was_written_before_it(server: NatsServer) -> None:
    """Logs, keys and blobs are in streams of their own; what is called first is stored first all the same."""

    async def main() -> None:
        engine = NatsEngine(NatsOptions(url=server.url, prefix="order"))
        await engine.start()
        for number in range(30):
            await engine.log.create(f"log{number}", mode="entries")
        for number in range(30):
            each = blob(b"%d" % number)
            waits: list[Awaitable[object]] = [engine.log.append(f"log{number}", [each.data] * 9) for _ in range(10)]
            waits += [asyncio.ensure_future(engine.kv.put("key", each.data))]
            await asyncio.gather(*waits, engine.blobs.put_many([each]))
        await engine.stop()
        async with await nats.connect(server.url) as client:
            js = client.jetstream()
            appended: dict[str, datetime] = {}
            for message in await fetch_all(js, "order_logs", "order.log.*"):
                appended[message.subject] = message.metadata.timestamp
            stored = [message.metadata.timestamp for message in await fetch_all(js, "order_blobs", "order.blobs.index")]
        assert len(appended) == len(stored[1:]) == 30
        assert all(log < index for log, index in zip(appended.values(), stored[1:], strict=True))

    asyncio.run(main())


async def fetch_all(js: JetStreamContext, stream: str, subject: str) -> list[Msg]:
    """All messages of a subject."""
    subscription = await js.subscribe(subject, stream=stream, ordered_consumer=True)
    left = (await subscription.consumer_info()).num_pending or 0
    found: list[Msg] = []
    while left or not found:
        found.append(await subscription.next_msg(60.0))
        left = found[-1].metadata.num_pending
    await subscription.unsubscribe()
    return found


def test_a_node_that_was_replaced_writes_no_more(server: NatsServer) -> None:
    one, two, three = blob(b"one"), blob(b"two"), blob(b"three")

    async def main() -> None:
        async with owner(server, "fence", 1) as old:
            await old.blobs.put_many([one])
            async with owner(server, "fence", 2) as new:
                with pytest.raises(StorageError, match="another node has taken over"):
                    await old.blobs.put_many([two])
                with pytest.raises(StorageError, match="another node has taken over"):
                    await old.blobs.delete(one.digest)
                assert await new.blobs.put_many([one, three]) == [False, True]
                assert await old.blobs.get(one.digest) == b"one", "reading goes on"
        async with owner(server, "fence", 3) as new:
            assert sorted(stat.digest for stat in await new.blobs.list()) == sorted([one.digest, three.digest])

    asyncio.run(main())


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_random_life_leaves_what_it_should_and_nothing_else(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Puts, deletions and metas at once, over restarts, with packs filled up and the index written anew often."""
    monkeypatch.setattr(upkeep, "_SLACK_BYTES", 3_000)
    monkeypatch.setattr(commit, "PACK_BYTES", 2_000)
    random = Random(seed)
    given = [blob(b"%d " % number * random.choice([1, 1, 50, 150])) for number in range(60)] + [blob(b"")]
    given += [blob(bytes([number]) * (PART + number)) for number in range(3)]
    model: dict[bytes, Blob] = {}

    async def change(node: Owner) -> None:
        """Several at once; what they do is decided in the order of the calls."""
        waits: list[Awaitable[object]] = []
        wanted: list[object] = []
        for _ in range(random.randrange(1, 8)):
            chosen = random.sample(given, random.randrange(1, 12))
            meta = b"%d" % random.randrange(1_000)
            action = random.choice(["put", "put", "delete", "annotate"])
            if action == "put":
                wanted.append([each.digest not in model for each in chosen])
                model.update({each.digest: each._replace(meta=meta) for each in chosen if each.digest not in model})
                batch = [each._replace(meta=meta) for each in chosen]
                waits.append(asyncio.ensure_future(node.blobs.put_many(batch)))
            elif action == "delete":
                wanted.append([model.pop(each.digest, None) is not None for each in chosen])
                waits.append(asyncio.ensure_future(node.blobs.delete_many([each.digest for each in chosen])))
            elif action == "annotate":
                wanted.append([each.digest in model for each in chosen])
                there = [each.digest for each in chosen if each.digest in model]
                model.update({digest: model[digest]._replace(meta=meta) for digest in there})
                waits.append(asyncio.ensure_future(node.blobs.annotate_many([(each.digest, meta) for each in chosen])))
            await asyncio.sleep(0)
        assert await asyncio.gather(*waits) == wanted
        upload = random.choice(given)
        new = await node.blobs.put(upload.digest, parts(upload.data))
        assert new == (upload.digest not in model)
        model.setdefault(upload.digest, upload)

    async def check(node: Owner) -> None:
        stats = await node.blobs.list()
        assert {stat.digest: stat.meta for stat in stats} == {digest: each.meta for digest, each in model.items()}
        assert await node.blobs.get_many(list(model)) == [each.data for each in model.values()]

    async def main() -> None:
        for epoch in range(1, 5):
            async with owner(server, f"life{seed}", epoch) as node:
                await check(node)
                for _ in range(25):
                    await change(node)
                await check(node)
                await node.objects.quiesce()
                await check(node)
                subject = f"life{seed}.blobs.index"
                stored = (await node.link.js.stream_info(node.stream, subjects_filter=subject)).state
                assert stored.subjects is not None
                assert stored.messages == len(node.objects.index.messages()) + stored.subjects[subject]

    asyncio.run(main())


async def parts(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


def test_room_comes_back(server: NatsServer) -> None:
    """Of large blobs at once, of small ones when most of those they share a message with have gone."""
    many = [blob(b"%d" % number * 500, b"m") for number in range(500)]
    large = [blob(bytes([number]) * (3 * PART)) for number in range(3)]

    async def main() -> None:
        async with owner(server, "room") as node:
            await node.blobs.put_many(many)
            for each in large:
                await node.blobs.put(each.digest, each.data)
            full = (await state_of(node.link, node.stream)).size
            await node.blobs.delete_many([each.digest for each in large])
            await node.blobs.delete_many([each.digest for number, each in enumerate(many) if number % 10])
            await node.objects.quiesce()
            left = (await state_of(node.link, node.stream)).size
            assert left < full / 5
            kept = many[::10]
            assert await node.blobs.get_many([each.digest for each in kept]) == [each.data for each in kept]
        async with owner(server, "room", 2) as node:
            assert await node.blobs.get_many([each.digest for each in kept]) == [each.data for each in kept]
            assert len(await node.blobs.list()) == len(kept)
            assert [stat and stat.meta for stat in await node.blobs.stat_many([each.digest for each in kept])] == [
                b"m"
            ] * 50

    asyncio.run(main())


def test_a_server_without_room_refuses_a_commit_as_a_whole(server: NatsServer) -> None:
    """What was stored of it already is removed, and what was on its way behind it is not its victim."""
    kept, small, late = blob(b"kept"), blob(b"small" * 100), blob(b"late" * 100)
    large = [blob(bytes([number]) * 30_000) for number in range(20)]

    async def main() -> None:
        async with owner(server, "full") as node:
            await node.blobs.put_many([kept])
            config = (await node.link.js.stream_info(node.stream)).config
            config.max_bytes = 300_000
            await node.link.js.update_stream(config)
            for _ in range(3):
                results = await asyncio.gather(
                    node.blobs.put_many(large),
                    node.blobs.put_many([small]),
                    node.blobs.annotate_many([(kept.digest, b"meta")]),
                    return_exceptions=True,
                )
                (last,) = await asyncio.gather(node.blobs.put_many([late]), return_exceptions=True)
                assert isinstance(results[0], StorageError)
                await node.objects.quiesce()
                there = {stat.digest for stat in await node.blobs.list()}
                assert not there & {each.digest for each in large}
                assert (last == [True]) == (late.digest in there)
                assert (await state_of(node.link, node.stream)).size < 10_000
                await node.blobs.delete_many([small.digest, late.digest])
            assert await node.blobs.put_many([small, late]) == [True, True]
            assert await node.blobs.get_many([small.digest, late.digest]) == [small.data, late.data]
        async with owner(server, "full", 2) as node:
            stats = await node.blobs.list()
            assert {stat.digest for stat in stats} == {kept.digest, small.digest, late.digest}
            await node.objects.quiesce()
            assert (await state_of(node.link, node.stream)).size < 10_000

    asyncio.run(main())


def test_the_index_does_not_grow_for_ever(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_SLACK_BYTES", 10_000)
    given = [blob(b"%d" % number) for number in range(20)]

    async def main() -> None:
        async with owner(server, "index") as node:
            await node.blobs.put_many(given)
            for number in range(200):
                await node.blobs.annotate_many([(each.digest, b"%d" % number * 20) for each in given])
            await node.objects.quiesce()
            assert (await state_of(node.link, node.stream)).messages < 50
        async with owner(server, "index", 2) as node:
            assert {stat.meta for stat in await node.blobs.list()} == {b"199" * 20}
            assert len(await node.blobs.list()) == 20

    asyncio.run(main())


def test_what_an_upload_left_behind_is_collected_at_the_next_start(server: NatsServer) -> None:
    async def endless(reached: asyncio.Event) -> AsyncIterator[bytes]:
        yield bytes(2 * PART)
        reached.set()
        await asyncio.Event().wait()

    async def main() -> None:
        kept = blob(b"kept")
        async with owner(server, "left") as node:
            await node.blobs.put_many([kept])
            before = await state_of(node.link, node.stream)
            reached = asyncio.Event()
            upload = asyncio.create_task(node.blobs.put(bytes(32), endless(reached)))
            await reached.wait()
            node.blobs.stop()  # as if the node had died: nobody drops the parts
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)
            assert (await state_of(node.link, node.stream)).size > before.size + 2 * PART
        async with owner(server, "left", 2) as node:
            await node.objects.quiesce()
            after = await state_of(node.link, node.stream)
            assert after.size < before.size + 1_000
            assert await node.blobs.get(kept.digest) == b"kept"

    asyncio.run(main())


def test_what_is_damaged_is_told(server: NatsServer) -> None:
    """A message with data that is not there any more, which only an operator can bring about."""

    async def main() -> None:
        async with owner(server, "hurt") as node:
            small, large, well = blob(b"small"), blob(bytes(2 * PART)), blob(b"x" * PART)
            await node.blobs.put_many([small, large, well])
            await node.link.js.purge_stream(node.stream, subject=node.link.subject("blobs", "data"), keep=1)
            found = await node.blobs.get_many([small.digest, large.digest, well.digest])
            assert [type(each) for each in found] == [CorruptionError, CorruptionError, bytes]
            for ask in (node.blobs.get(small.digest), node.blobs.get(large.digest, 5, 5)):
                with pytest.raises(CorruptionError, match="blob"):
                    await ask

    asyncio.run(main())


def test_a_server_that_takes_only_small_messages_is_refused() -> None:
    async def main(server: NatsServer) -> None:
        with pytest.raises(StorageError, match="max_payload = 65536"):
            async with owner(server, "small"):
                pass

    with NatsServer.temporary(max_payload=65536) as server:
        asyncio.run(main(server))
