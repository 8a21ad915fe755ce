"""Blobs and the bus of the NATS engine, against nats-py written by hand for the same job on the same server.

The peer has a subject for each digest and publishes with ``Nats-Expected-Last-Subject-Sequence: 0``, so that a blob is
stored once; it reads by direct gets.  Large ones go into its object store.  On the bus it publishes, and has callbacks.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from itertools import count
from random import Random
from typing import Any

import nats
import uvloop
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from bench.figures import Figure
from holdfast.engine.base import Blob
from holdfast.engine.nats.engine import NatsEngine
from holdfast.engine.nats.options import NatsOptions
from holdfast.natsbox import NatsServer, nats_server_program

MIB = 1024 * 1024
SMALL = 1024
PEER = "nats-py by hand"
STORE = "nats-py's object store"
META = b"m" * 100
_names = count(1)

Measured = Callable[[], Coroutine[Any, Any, float]]
"""Does the job; gives how much of it a second."""


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer pairs."""
    if nats_server_program() is None:
        return [{"name": "NATS engine", "value": None, "unit": "", "note": "nats-server is not installed"}]
    pairs = 3 if quick else 7
    scale = 1 if quick else 4
    with NatsServer.temporary() as server:
        found = Figures(server.url, pairs)
        return [
            found.batches(10 * scale),
            found.singles(5_000 * scale),
            found.reads(5_000 * scale),
            found.random_reads(500 * scale),
            found.large_put(32 * scale * MIB),
            found.large_get(32 * scale * MIB),
            found.ready(100_000 if quick else 1_000_000),
            found.bus(20_000 * scale),
            found.questions(2_000 * scale),
        ]


class Figures:
    """Measures against the server at ``url``, so many times each."""

    def __init__(self, url: str, pairs: int) -> None:
        self.url = url
        self.pairs = pairs

    @asynccontextmanager
    async def engine(self, prefix: str = "") -> AsyncIterator[NatsEngine]:
        """Ours, on a deployment of its own if no ``prefix`` names one."""
        engine = NatsEngine(NatsOptions(url=self.url, prefix=prefix or f"bench-{next(_names)}"))
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop()

    @asynccontextmanager
    async def hand(self) -> AsyncIterator[tuple[JetStreamContext, str]]:
        """The peer, with a stream of its own."""
        async with await nats.connect(self.url) as client:
            js = client.jetstream()
            name = f"hand{next(_names)}"
            await js.add_stream(StreamConfig(name=name, subjects=[f"{name}.*"], allow_direct=True))
            yield js, name
            await js.delete_stream(name)

    def figure(self, name: str, unit: str, ours: Measured, peer: Measured, of: str = PEER) -> Figure:
        """Both in turns."""
        runs = [(uvloop.run(ours()), uvloop.run(peer())) for _ in range(self.pairs)]
        ratio = statistics.median(a / b for a, b in runs)
        return {
            "name": name,
            "value": statistics.median(a for a, _ in runs),
            "unit": unit,
            "goal": ">= 0.8 x peer",
            "reached": ratio >= 0.8,
            "peer": of,
            "peer_value": statistics.median(b for _, b in runs),
            "ratio": ratio,
            "runs": len(runs),
        }

    # blobs

    def batches(self, amount: int) -> Figure:
        """1,000 at once, all or none; the peer's are each for itself."""
        given = [blobs(1_000) for _ in range(amount)]

        async def ours() -> float:
            async with self.engine() as engine:
                return await rate(amount * 1_000, each(given, engine.blobs.put_many))

        async def peer() -> float:
            async with self.hand() as (js, name):
                return await rate(amount * 1_000, each(given, lambda batch: publish_all(js, name, batch)))

        return self.figure("put of 1,000 blobs of 1 KiB at once", "blobs/s", ours, peer)

    def singles(self, amount: int) -> Figure:
        """Each waited for, by 64 tasks."""
        given = blobs(amount)

        async def ours() -> float:
            async with self.engine() as engine:
                put = engine.blobs.put
                return await rate(amount, many(given, lambda blob: put(blob.digest, blob.data, meta=blob.meta)))

        async def peer() -> float:
            async with self.hand() as (js, name):
                return await rate(amount, many(given, lambda blob: js.publish(*letter(name, blob), headers=ONCE)))

        return self.figure("put of blobs of 1 KiB, 64 in flight", "blobs/s", ours, peer)

    def reads(self, amount: int) -> Figure:
        """1,000 with one call, in the order they were stored in."""
        given = blobs(amount)
        batches = [given[start : start + 1_000] for start in range(0, amount, 1_000)]

        async def ours() -> float:
            async with self.engine() as engine:
                await each(batches, engine.blobs.put_many)
                get = engine.blobs.get_many
                return await rate(amount, each(batches, lambda batch: get([blob.digest for blob in batch])))

        async def peer() -> float:
            async with self.hand() as (js, name):
                await each(batches, lambda batch: publish_all(js, name, batch))
                return await rate(amount, each(batches, lambda batch: many(batch, lambda blob: fetch(js, name, blob))))

        return self.figure("read of 1,000 blobs of 1 KiB at once", "blobs/s", ours, peer)

    def random_reads(self, amount: int) -> Figure:
        """One after the other, of 20 times as many."""
        given = blobs(20 * amount)
        wanted = Random(1).sample(given, amount)
        batches = [given[start : start + 1_000] for start in range(0, len(given), 1_000)]

        async def ours() -> float:
            async with self.engine() as engine:
                await each(batches, engine.blobs.put_many)
                return await rate(amount, each(wanted, lambda blob: engine.blobs.get(blob.digest)))

        async def peer() -> float:
            async with self.hand() as (js, name):
                await each(batches, lambda batch: publish_all(js, name, batch))
                return await rate(amount, each(wanted, lambda blob: fetch(js, name, blob)))

        return self.figure("random reads of blobs of 1 KiB, one by one", "blobs/s", ours, peer)

    def large_put(self, size: int) -> Figure:
        """In parts, as it comes."""
        data = os.urandom(size)

        async def ours() -> float:
            async with self.engine() as engine:
                return await rate(size / MIB, engine.blobs.put(sha256(data).digest(), parts(data)))

        async def peer() -> float:
            async with await nats.connect(self.url) as client:
                store = await client.jetstream().create_object_store(f"store{next(_names)}")
                return await rate(size / MIB, store.put("large", data))

        return self.figure(f"put of a blob of {size // MIB} MiB", "MiB/s", ours, peer, STORE)

    def large_get(self, size: int) -> Figure:
        """As a whole, verified."""
        data = os.urandom(size)
        digest = sha256(data).digest()

        async def ours() -> float:
            async with self.engine() as engine:
                await engine.blobs.put(digest, parts(data))
                return await rate(size / MIB, engine.blobs.get(digest))

        async def peer() -> float:
            async with await nats.connect(self.url) as client:
                store = await client.jetstream().create_object_store(f"store{next(_names)}")
                await store.put("large", data)
                return await rate(size / MIB, store.get("large"))

        return self.figure(f"read of a blob of {size // MIB} MiB", "MiB/s", ours, peer, STORE)

    def ready(self, amount: int) -> Figure:
        """Starting where there are many."""
        prefix = f"bench-{next(_names)}"

        async def fill() -> None:
            async with self.engine(prefix) as engine:
                for start in range(0, amount, 1_000):
                    data = [b"%d" % number for number in range(start, start + 1_000)]
                    await engine.blobs.put_many([Blob(sha256(each).digest(), each, META) for each in data])

        async def start() -> float:
            began = time.perf_counter()
            async with self.engine(prefix) as engine:
                taken = time.perf_counter() - began
                assert len(await engine.blobs.list()) == 1_000
            return taken

        uvloop.run(fill())
        value = statistics.median(uvloop.run(start()) for _ in range(3))
        return {"name": f"engine ready with {amount:,} blobs", "value": value, "unit": "s", "runs": 3}

    # the bus

    def bus(self, amount: int) -> Figure:
        """From one connection to another, 100 bytes each."""
        data = os.urandom(100)

        async def ours() -> float:
            async with self.engine() as engine:
                heard = await engine.bus.subscribe("news.*")

                async def work() -> None:
                    hearing = asyncio.create_task(hear(heard.receive, amount))
                    for number in range(amount):
                        await engine.bus.publish("news.eu", data)
                        if number % 100 == 0:
                            await asyncio.sleep(0)
                    await hearing

                return await rate(amount, work())

        async def peer() -> float:
            async with await nats.connect(self.url) as client:
                left = amount
                done = asyncio.Event()

                async def receive(_: Msg) -> None:
                    nonlocal left
                    left -= 1
                    if not left:
                        done.set()

                await client.subscribe("news.*", cb=receive)

                async def work() -> None:
                    for number in range(amount):
                        await client.publish("news.eu", data)
                        if number % 100 == 0:
                            await asyncio.sleep(0)
                    await done.wait()

                return await rate(amount, work())

        return self.figure("bus: 100 B published and received", "messages/s", ours, peer)

    def questions(self, amount: int) -> Figure:
        """Asked and answered over one connection, 64 on their way."""
        numbers = range(amount)

        async def ours() -> float:
            async with self.engine() as engine:
                heard = await engine.bus.subscribe("echo")

                async def serve() -> None:
                    async for message in heard:
                        await engine.bus.publish(message.reply, message.data)

                serving = asyncio.create_task(serve())
                done = await rate(amount, many(numbers, lambda _: engine.bus.request("echo", b"x" * 100, timeout_s=60)))
                await heard.close()
                await serving
                return done

        async def peer() -> float:
            async with await nats.connect(self.url) as client:

                async def answer(message: Msg) -> None:
                    await message.respond(message.data)

                await client.subscribe("echo", cb=answer)
                return await rate(amount, many(numbers, lambda _: client.request("echo", b"x" * 100, timeout=60)))

        return self.figure("bus: questions answered, 64 in flight", "questions/s", ours, peer)


# both sides

ONCE = {"Nats-Expected-Last-Subject-Sequence": "0"}


def blobs(amount: int) -> list[Blob]:
    """So many, of 1 KiB."""
    data = [os.urandom(SMALL) for _ in range(amount)]
    return [Blob(sha256(each).digest(), each, META) for each in data]


def letter(name: str, blob: Blob) -> tuple[str, bytes]:
    """Where and what the peer publishes."""
    return f"{name}.{blob.digest.hex()}", len(blob.meta).to_bytes(4, "little") + blob.meta + blob.data


async def publish_all(js: JetStreamContext, name: str, batch: Sequence[Blob]) -> None:
    """The peer's put of many."""
    await asyncio.gather(*[await js.publish_async(*letter(name, blob), headers=ONCE) for blob in batch])


async def fetch(js: JetStreamContext, name: str, blob: Blob) -> None:
    """The peer's get, verified as ours is."""
    found = await js.get_last_msg(name, f"{name}.{blob.digest.hex()}", direct=True)
    data = (found.data or b"")[4 + len(META) :]
    assert sha256(data).digest() == blob.digest


async def parts(data: bytes) -> AsyncIterator[bytes]:
    """As an upload brings it."""
    for start in range(0, len(data), MIB):
        yield data[start : start + MIB]


async def hear(receive: Callable[[], Awaitable[list[Any]]], amount: int) -> None:
    """So many messages."""
    while amount > 0:
        amount -= len(await receive())


async def each(items: Sequence[Any], work: Callable[[Any], Awaitable[Any]]) -> None:
    """One after the other."""
    for item in items:
        await work(item)


async def many(items: Sequence[Any], work: Callable[[Any], Awaitable[Any]]) -> None:
    """64 at once."""
    left: Iterator[Any] = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(64)))


async def rate(amount: float, work: Awaitable[Any]) -> float:
    """How much a second."""
    began = time.perf_counter()
    await work
    return amount / (time.perf_counter() - began)
