"""The NATS engine over a link that breaks at any byte, or stalls: outcomes are found out, nothing is stored twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from random import Random

import pytest

from holdfast.engine.base import Entry
from holdfast.engine.nats.engine import NatsEngine
from holdfast.engine.nats.options import NatsOptions
from holdfast.errors import StorageError
from holdfast.limits import LIMITS
from holdfast.natsbox import NatsServer

GUARD_S = 100
PATIENT = LIMITS._replace(nats_reconnect_s=0.01, nats_ping_s=0.2, nats_request_s=0.5)


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer.temporary() as made:
        yield made


class Wire:
    """Carries bytes between a client and the server, until so many have gone; then it breaks, or stalls."""

    def __init__(self, port: int, random: Random) -> None:
        self.breaks = 0
        self.failing = False
        self.clear = asyncio.Event()
        """Nothing passes in either direction while this is not set."""
        self.clear.set()
        self._port = port
        self._random = random
        self._open: set[asyncio.Task[None]] = set()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
            writers.append(there_writer)
            budget = self._random.randrange(40_000, 400_000)
            stalls = self._random.random() < 0.3
            carrying = [
                asyncio.ensure_future(self._carry(reader, there_writer, budget, stalls)),
                asyncio.ensure_future(self._carry(there_reader, writer, budget // 10, stalls)),
            ]
            try:
                await asyncio.wait(carrying, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in carrying:
                    task.cancel()
                await asyncio.gather(*carrying, return_exceptions=True)
        finally:
            for each in writers:
                each.close()
            await asyncio.gather(*(each.wait_closed() for each in writers), return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int, stalls: bool) -> None:
        while data := await reader.read(4096):
            left -= len(data)
            if self.failing and left < 0:
                self.breaks += 1
                writer.write(data[: len(data) // 2])
                if stalls:  # until the client gives it up
                    while await reader.read(4096):
                        pass
                return
            await self.clear.wait()
            writer.write(data)
            await writer.drain()

    async def close(self) -> None:
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


@asynccontextmanager
async def wire(server: NatsServer, seed: int) -> AsyncIterator[tuple[Wire, str]]:
    carrier = Wire(server.port, Random(seed))
    listener = await asyncio.start_server(carrier.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield carrier, f"nats://127.0.0.1:{port}"
    finally:
        listener.close()
        await carrier.close()


@pytest.mark.timeout(GUARD_S)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_link_that_breaks_at_any_byte(server: NatsServer, seed: int) -> None:
    prefix = f"link{seed}"
    counts = {"entries": 0, "keys": 0, "blobs": 0}

    def content(number: int) -> bytes:
        return b"%d " % number * (300 if number % 7 else 60_000)

    async def main() -> None:
        async with wire(server, seed) as (carrier, url):
            engine = NatsEngine(NatsOptions(url=url, prefix=prefix), limits=PATIENT)
            await engine.start()
            await engine.log.create("log", mode="entries")
            carrier.failing = True

            async def append() -> None:
                while carrier.breaks < 12:
                    first = counts["entries"]
                    batch = [[b"%d" % number] * 1 for number in range(first, first + 5)]
                    tails = await asyncio.gather(*(engine.log.append("log", entries) for entries in batch))
                    assert tails == list(range(first + 2, first + 7))
                    counts["entries"] += 5

            async def put() -> None:
                while carrier.breaks < 12:
                    await engine.kv.put(f"key/{counts['keys'] % 10}", b"%d" % counts["keys"])
                    counts["keys"] += 1

            async def store() -> None:
                while carrier.breaks < 12:
                    data = content(counts["blobs"])
                    assert await engine.blobs.put(sha256(data).digest(), data)
                    counts["blobs"] += 1

            await asyncio.gather(append(), put(), store())
            carrier.failing = False
            await engine.stop()

    async def check() -> None:
        engine = NatsEngine(NatsOptions(url=server.url, prefix=prefix))
        await engine.start()
        found: list[bytes] = []
        while pieces := await engine.log.read("log", len(found) + 1):
            found += [piece.data for piece in pieces if isinstance(piece, Entry)]
        assert found == [b"%d" % number for number in range(counts["entries"])]
        keys = {item.key: int(item.value) for item in await engine.kv.list("key/")}
        assert keys == {f"key/{n % 10}": n for n in range(max(0, counts["keys"] - 10), counts["keys"])}
        blobs = [content(number) for number in range(counts["blobs"])]
        assert await engine.blobs.get_many([sha256(data).digest() for data in blobs]) == blobs
        assert len(await engine.blobs.list(limit=1 << 20)) == counts["blobs"]
        await engine.stop()

    asyncio.run(main())
    assert min(counts.values()) > 0
    asyncio.run(check())


@pytest.mark.timeout(GUARD_S)
def test_what_a_replaced_node_still_has_on_its_way_is_stored_nowhere(server: NatsServer) -> None:
    """A node whose link stalls with writes of each kind in it; it comes back when another one has taken over."""
    limits = PATIENT._replace(nats_ping_s=60.0, nats_request_s=60.0, nats_lease_s=0.1)
    old_blobs, new_blobs = ([b"%s %d" % (who, number) for number in range(20)] for who in (b"old", b"new"))

    async def write(engine: NatsEngine, who: bytes, blobs: list[bytes]) -> list[object]:
        """Each write by itself, so that many are on their way."""
        tasks = []
        for number, data in enumerate(blobs):
            tasks.append(asyncio.ensure_future(engine.log.append("log", [b"%s %d" % (who, number)])))
            tasks.append(asyncio.ensure_future(engine.kv.put(f"{who.decode()}/{number}", who)))
            tasks.append(asyncio.ensure_future(engine.blobs.put(sha256(data).digest(), data)))
            await asyncio.sleep(0.005)  # each goes off before the next; how many do is not what this is about
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def main() -> None:
        async with wire(server, 1) as (carrier, url):
            old = NatsEngine(NatsOptions(url=url, prefix="replaced"), limits=limits)
            await old.start()
            await old.log.create("log", mode="entries")
            await old.log.append("log", [b"first"])
            carrier.clear.clear()
            lost = asyncio.create_task(write(old, b"old", old_blobs))
            new = NatsEngine(NatsOptions(url=server.url, prefix="replaced"), limits=limits)
            await new.start()
            assert not lost.done()
            await write(new, b"new", new_blobs[:1])
            carrier.clear.set()
            done = await write(new, b"new", new_blobs[1:])
            assert not [error for error in done if isinstance(error, Exception)]
            for error in await lost:
                assert isinstance(error, StorageError)
                assert "another node" in str(error)
            await check(new)
            await old.stop()
            await new.stop()
            again = NatsEngine(NatsOptions(url=server.url, prefix="replaced"))
            await again.start()
            await check(again)
            await again.stop()

    async def check(engine: NatsEngine) -> None:
        found = [piece.data for piece in await engine.log.read("log", 1) if isinstance(piece, Entry)]
        assert found == [b"first", b"new 0", *[b"new %d" % number for number in range(19)]]
        assert {item.value for item in await engine.kv.list()} == {b"new"}
        assert {stat.digest for stat in await engine.blobs.list()} == {sha256(data).digest() for data in new_blobs}

    asyncio.run(main())
