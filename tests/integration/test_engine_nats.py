"""The NATS engine and the world: nodes and servers that are killed, stopped or cut off, and who has the deployment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from random import Random

import pytest

from holdfast.engine.base import Producer
from holdfast.engine.contract.support import payload, read_all
from holdfast.engine.nats.chain import Message
from holdfast.engine.nats.engine import NatsEngine
from holdfast.engine.nats.options import NatsOptions
from holdfast.errors import BusyError, ClosedError, Duplicate, StorageError
from holdfast.limits import LIMITS, MIB, Limits
from holdfast.natsbox import NatsServer, nats_server_program
from holdfast.testing import wait_until

TINY = LIMITS._replace(log_cache_bytes=5_000, engine_cache_bytes=10_000, commit_bytes_max=20_000)
QUICK = LIMITS._replace(nats_request_s=0.5, nats_reconnect_s=0.05, nats_lease_s=0.3, nats_ping_s=0.5)
_prefixes = count(1)

CHILD = """
import asyncio, os, random, sys
from holdfast.engine.base import Producer
from holdfast.engine.nats.chain import Message
from holdfast.engine.nats.engine import NatsEngine
from holdfast.engine.nats.options import NatsOptions
from holdfast.limits import LIMITS

TINY = LIMITS._replace(log_cache_bytes=5_000, engine_cache_bytes=10_000, commit_bytes_max=20_000, nats_reconnect_s=0.05)
url, prefix, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
choose = random.Random(seed)

def data_of(low, high):
    return bytes((place * 7 + place // 251) % 256 for place in range(low, high))

async def main():
    engine = NatsEngine(NatsOptions(url=url, prefix=prefix), limits=TINY)
    await engine.start()
    names = [stat.name for stat in await engine.log.list()]
    for name in ("disk", "os", "noted"):
        if name not in names:
            await engine.log.create(name, meta=b"0")
    known = await engine.log.producer("noted", "p")
    sequence = -1 if known is None else known.sequence
    tails = {name: (await engine.log.stat(name)).tail for name in ("disk", "os")}
    item = await engine.kv.get("count")
    number = 0 if item is None else int(item.value)

    async def append(name):
        low = tails[name]
        tails[name] = high = low + choose.choice([1, 50, 3_000, 60_000])
        end = await engine.log.append(name, data_of(low, high), ack=name)
        os.write(1, b"%s %d\\n" % (name.encode(), end))

    async def note():
        nonlocal sequence
        sequence += 1
        low = sequence * 10
        options = {"meta": b"%d" % (low + 10), "producer": Producer("p", 0, sequence)}
        waits = [engine.log.append("noted", data_of(low, low + 10), **options) for _ in range(2)]
        end, again = await asyncio.gather(*waits, return_exceptions=True)
        assert type(again).__name__ == "Duplicate", again
        os.write(1, b"noted %d\\n" % end)

    async def put():
        nonlocal number
        number += 1
        await engine.kv.put("count", b"%d" % number)
        os.write(1, b"count %d\\n" % number)

    async def fork():
        for name in [stat.name for stat in await engine.log.list("fork ")][:-2]:
            await engine.log.delete(name)
        source = choose.choice([stat.name for stat in await engine.log.list() if stat.name != "noted"])
        stat = await engine.log.stat(source)
        position = choose.randrange(stat.oldest, stat.tail + 1)
        name = "fork %d" % choose.randrange(1 << 60)
        await engine.log.fork(name, source, position)
        await engine.log.append(name, data_of(position, position + 700))

    while True:
        if choose.random() < 0.3:
            await note()
        if choose.random() < 0.3:
            await put()
        if choose.random() < 0.1:
            await fork()
        await asyncio.gather(*(append(choose.choice(["disk", "os"])) for _ in range(choose.randrange(1, 6))))
        if choose.random() < 0.1:
            oldest = (await engine.log.stat("os")).oldest
            await engine.log.trim("os", choose.randrange(oldest, tails["os"] + 1))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer.temporary() as made:
        yield made


@pytest.fixture
def options(server: NatsServer) -> NatsOptions:
    """A deployment of this test's own."""
    return NatsOptions(url=server.url, prefix=f"test-{next(_prefixes)}")


@asynccontextmanager
async def running(options: NatsOptions, limits: Limits = LIMITS) -> AsyncIterator[NatsEngine]:
    engine = NatsEngine(options, limits=limits)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


@contextmanager
def child(options: NatsOptions, seed: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that appends until it is killed, and says what was acknowledged."""
    command = [sys.executable, "-c", CHILD, options.url, options.prefix, str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def read_lines(process: subprocess.Popen[bytes], lines: int, acknowledged: dict[str, int]) -> None:
    """Take in so many of its lines; -1: all there are."""
    assert process.stdout is not None
    while lines and (line := process.stdout.readline()).endswith(b"\n"):
        name, end = line.decode().split()
        acknowledged[name] = int(end)
        lines -= 1


def data_of(low: int, high: int) -> bytes:
    """What both logs hold from ``low`` to ``high``."""
    return bytes((place * 7 + place // 251) % 256 for place in range(low, high))


async def verify(options: NatsOptions, acknowledged: dict[str, int]) -> None:
    async with running(options, TINY) as engine:
        item = await engine.kv.get("count")
        assert (0 if item is None else int(item.value)) >= acknowledged.get("count", 0)
        for name in ("disk", "os", "noted"):
            assert (await engine.log.stat(name)).tail >= acknowledged.get(name, 0)
        for stat in await engine.log.list():
            pieces = await read_all(engine.log, stat.name, stat.oldest)
            assert payload(pieces) == data_of(stat.oldest, stat.tail)
            assert stat.stored_bytes == stat.tail - stat.oldest
            if stat.name == "noted":
                producer = await engine.log.producer("noted", "p")
                assert stat.tail == int(stat.meta) == (0 if producer is None else producer.sequence + 1) * 10


@pytest.mark.parametrize("seed", range(2))
def test_a_node_is_killed_again_and_again(seed: int, options: NatsOptions) -> None:
    random = Random(seed)
    acknowledged: dict[str, int] = {}
    for number in range(3):
        with child(options, seed * 10 + number) as process:
            read_lines(process, random.randrange(1, 150), acknowledged)
            os.kill(process.pid, signal.SIGKILL)
            read_lines(process, -1, acknowledged)
        asyncio.run(verify(options, acknowledged))


def test_the_server_is_killed_under_a_node_again_and_again() -> None:
    random = Random(3)
    acknowledged: dict[str, int] = {}
    with NatsServer.temporary() as server:
        options = NatsOptions(url=server.url, prefix="killed")
        with child(options, 7) as process:
            for _ in range(4):
                read_lines(process, random.randrange(20, 100), acknowledged)
                server.kill()
                server.start()
            read_lines(process, 100, acknowledged)
            os.kill(process.pid, signal.SIGKILL)
            read_lines(process, -1, acknowledged)
        asyncio.run(verify(options, acknowledged))


# who has the deployment


def test_a_deployment_has_one_owner(options: NatsOptions) -> None:
    async def main() -> None:
        async with running(options):
            with pytest.raises(BusyError, match="in use") as caught:
                await NatsEngine(options).start()
            assert caught.value.holder.startswith(f"pid {os.getpid()} on ")
        async with running(options):
            pass

    asyncio.run(main())


def test_who_is_silent_is_replaced_and_writes_nothing_more(options: NatsOptions) -> None:
    async def main() -> None:
        async with running(options, QUICK) as engine:
            assert (await engine.log.stat("disk")).tail >= acknowledged["disk"]
            with child(options, 2) as rival:
                assert await asyncio.to_thread(rival.wait) == 1  # we are there
            tail = (await engine.log.stat("disk")).tail
            os.kill(process.pid, signal.SIGCONT)
            assert await asyncio.to_thread(process.wait) == 1  # what it appends fails
            await engine.log.append("disk", data_of(tail, tail + 1_000))
            before.update(acknowledged, disk=tail + 1_000)
        await verify(options, before)

    acknowledged: dict[str, int] = {}
    before: dict[str, int] = {}
    with child(options, 1) as process:
        read_lines(process, 50, acknowledged)
        os.kill(process.pid, signal.SIGSTOP)
        asyncio.run(main())


def test_who_is_replaced_says_so(options: NatsOptions) -> None:
    async def main() -> None:
        first, second = NatsEngine(options), NatsEngine(options, limits=QUICK)
        await first.start()
        await first.log.create("b")
        first._parts.lease._me = first._parts.lease._me._replace(name="somebody else")  # it does not answer for itself
        await second.start()
        wait = first.log.append("b", b"x")
        for what in (wait, first.kv.put("k", b"x"), first.probe()):
            with pytest.raises(StorageError, match="taken over"):
                await what
        assert await second.log.append("b", b"y") == 1
        await first.stop()
        assert payload(await second.log.read("b", 0)) == b"y"
        await second.probe()
        await second.stop()

    asyncio.run(main())


# servers that are away


def test_what_waits_for_the_server_is_stored_when_it_is_back() -> None:
    async def main(server: NatsServer) -> None:
        async with running(NatsOptions(url=server.url), QUICK) as engine:
            await engine.log.create("b")
            await engine.log.append("b", b"before ", producer=Producer("p", 0, 0))
            server.kill()
            waits = [engine.log.append("b", b"%d " % number, ack="memory") for number in range(5)]
            put = asyncio.create_task(engine.kv.put("k", b"v"))
            with pytest.raises(StorageError, match="NATS"):
                await engine.probe()
            late = engine.log.append("b", b"late", producer=Producer("p", 0, 1))
            assert payload(await engine.log.read("b", 0)) == b"before 0 1 2 3 4 "
            server.start()
            assert (await asyncio.gather(*waits), await late) == ([9, 11, 13, 15, 17], 21)
            assert await put == 1
            with pytest.raises(Duplicate):
                await engine.log.append("b", b"late", producer=Producer("p", 0, 1))
            await engine.probe()
        async with running(NatsOptions(url=server.url)) as engine:
            assert payload(await engine.log.read("b", 0)) == b"before 0 1 2 3 4 late"

    with NatsServer.temporary() as server:
        asyncio.run(main(server))


def test_a_server_that_stands_still_is_waited_for() -> None:
    async def main(server: NatsServer) -> None:
        assert server.process is not None
        async with running(NatsOptions(url=server.url), QUICK) as engine:
            await engine.log.create("b")
            os.kill(server.process.pid, signal.SIGSTOP)
            with pytest.raises(StorageError):
                while True:  # all its threads stand still a moment later
                    await engine.probe()
            waits = [engine.log.append("b", b"%d " % number) for number in range(5)]
            os.kill(server.process.pid, signal.SIGCONT)
            assert await asyncio.gather(*waits) == [2, 4, 6, 8, 10]
            assert payload(await engine.log.read("b", 0)) == b"0 1 2 3 4 "

    with NatsServer.temporary() as server:
        asyncio.run(main(server))


def test_stopping_without_a_server_ends_and_says_what_is_not_known() -> None:
    async def main(server: NatsServer) -> None:
        engine = NatsEngine(NatsOptions(url=server.url), limits=QUICK)
        await engine.start()
        await engine.log.create("b")
        server.kill()
        with pytest.raises(StorageError):
            await engine.probe()
        wait = engine.log.append("b", b"x")
        await engine.stop()
        with pytest.raises(StorageError, match="before it was known"):
            await wait
        with pytest.raises(ClosedError):
            await engine.probe()

    with NatsServer.temporary() as server:
        asyncio.run(main(server))


def test_nobody_there(server: NatsServer) -> None:
    quick = LIMITS._replace(nats_connect_s=0.2)
    with pytest.raises(StorageError, match=r"nats://127\.0\.0\.1:1: cannot connect"):
        asyncio.run(NatsEngine("nats://u:secret@127.0.0.1:1", limits=quick).start())


def test_a_server_without_jetstream(tmp_path: Path) -> None:
    config = tmp_path / "plain.conf"
    config.write_text(f'listen: "127.0.0.1:-1"\nports_file_dir: "{tmp_path}"')
    program = nats_server_program()
    assert program is not None
    with subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            (ports,) = wait_until(lambda: list(tmp_path.glob("*.ports")), "the server listens")
            (url,) = json.loads(wait_until(ports.read_text, "it says where"))["nats"]
            with pytest.raises(StorageError, match="is it enabled"):
                asyncio.run(NatsEngine(url, limits=QUICK).start())
        finally:
            process.kill()


def test_a_stream_that_is_lost_is_an_error(options: NatsOptions) -> None:
    async def main() -> None:
        engine = NatsEngine(options, limits=QUICK)
        await engine.start()
        await engine.log.create("b")
        link = engine._parts.link
        await link.js.delete_stream(link.stream("logs"))
        with pytest.raises(StorageError, match="not there any more"):
            await engine.log.append("b", b"x")
        with pytest.raises(StorageError, match="not there any more"):
            await engine.probe()
        await engine.stop()

    asyncio.run(main())


# servers that are full


async def bound(engine: NatsEngine, name: str, max_bytes: int) -> None:
    """Have the server take no more than so much."""
    link = engine._parts.link
    info = await link.js.stream_info(link.stream(name))
    info.config.max_bytes = max_bytes
    await link.js.update_stream(info.config)


def test_what_the_server_refuses_fails_and_nothing_else_does(options: NatsOptions) -> None:
    async def main() -> None:
        async with running(options) as engine:
            for name in ("a", "b", "c"):
                await engine.log.create(name, meta=b"before")
            await engine.log.append("a", bytes(300_000))
            await bound(engine, "logs", 700_000)
            waits = [
                engine.log.append("a", bytes(200_000), producer=Producer("p", 0, 0)),
                engine.log.append("b", bytes(900_000), meta=b"after", close=True),
                engine.log.append("c", b"small"),
                engine.log.append("a", b"more", producer=Producer("p", 0, 1)),
            ]
            annotated = asyncio.create_task(engine.log.annotate("c", b"after"))
            first, refused, small, more = await asyncio.gather(*waits, return_exceptions=True)
            await annotated
            assert (first, small, more) == (500_000, 5, 500_004)
            assert isinstance(refused, StorageError) and "maximum bytes" in str(refused)
            stat = await engine.log.stat("b")
            assert (stat.tail, stat.closed, stat.meta) == (0, False, b"before")
            for _ in range(2):
                with pytest.raises(StorageError, match="maximum bytes"):
                    await engine.log.append("b", bytes(3 * MIB))  # in parts, the first of which may be stored
            assert await engine.log.append("b", b"fits") == 4
            await bound(engine, "logs", -1)
            assert await engine.log.append("b", bytes(3 * MIB), expected_tail=4) == 3 * MIB + 4
            await engine.quiesce()
        async with running(options) as engine:
            assert payload(await read_all(engine.log, "b", 0)) == b"fits" + bytes(3 * MIB)
            assert [(stat.name, stat.tail, stat.meta) for stat in await engine.log.list()] == [
                ("a", 500_004, b"before"),
                ("b", 3 * MIB + 4, b"before"),
                ("c", 5, b"after"),
            ]
            assert await engine.log.producer("a", "p") == Producer("p", 0, 1)

    asyncio.run(main())


def test_keys_the_server_refuses(options: NatsOptions) -> None:
    async def main() -> None:
        async with running(options) as engine:
            await engine.kv.put("k", b"kept")
            await bound(engine, "keys", 400_000)
            puts = [engine.kv.put("k", bytes(900_000)), engine.kv.put("j", b"small"), engine.kv.put_if("k", b"new", 1)]
            refused, small, changed = await asyncio.gather(*puts, return_exceptions=True)
            assert isinstance(refused, StorageError)
            assert (small, changed) == (2, 3)  # what was decided because of what was refused is decided again
            with pytest.raises(StorageError):
                await engine.kv.put("large", bytes(3 * MIB))
        async with running(options) as engine:
            assert [(item.key, item.value) for item in await engine.kv.list()] == [("j", b"small"), ("k", b"new")]

    asyncio.run(main())


# large and many


def test_appends_and_values_larger_than_a_message(options: NatsOptions) -> None:
    async def main() -> None:
        text = Random(1).randbytes(3 * MIB)
        async with running(options, TINY) as engine:
            await engine.log.create("b")
            await engine.log.create("e", mode="entries")
            waits = [engine.log.append("b", part) for part in (b"<", text, b">")]
            assert await asyncio.gather(*waits) == [1, len(text) + 1, len(text) + 2]
            await engine.log.append("e", [b"a", text, b"b"])
            for value in (b"small", text, text[:-1]):
                await engine.kv.put("k", value)
            await engine.kv.put("other", text)
            await engine.kv.delete("other")
        async with running(options, TINY) as engine:
            assert payload(await read_all(engine.log, "b", 0)) == b"<" + text + b">"
            assert payload(await engine.log.read("b", len(text) - 5)) == text[-6:] + b">"
            assert payload(await read_all(engine.log, "e", 1)) == b"a" + text + b"b"
            await engine.log.trim("b", len(text))
            assert payload(await engine.log.read("b", len(text))) == text[-1:] + b">"
            (item,) = await engine.kv.list()
            assert (item.key, item.value) == ("k", text[:-1])

    asyncio.run(main())


def test_many_producers_are_known_again(options: NatsOptions) -> None:
    """More than fits a stamp: changes are noted one by one, and all of them written anew now and then."""

    async def main() -> None:
        for round_ in range(3):
            async with running(options) as engine:
                if not round_:
                    await engine.log.create("b", meta=b"m" * 500)
                for number in range(200):
                    producer = Producer(f"producer {number}", 0, round_)
                    await engine.log.append("b", b"x", producer=producer, meta=b"%d" % number * 300)
                if round_ == 1:
                    await engine.log.trim("b", 300)
        async with running(options) as engine:
            for number in range(200):
                assert await engine.log.producer("b", f"producer {number}") == Producer(f"producer {number}", 0, 2)
            stat = await engine.log.stat("b")
            assert (stat.oldest, stat.tail, stat.meta) == (300, 600, b"199" * 300)

    asyncio.run(main())


@pytest.mark.parametrize("producers", [1, 60])
def test_what_was_sent_in_parts_and_never_finished_is_not_there(options: NatsOptions, producers: int) -> None:
    """The node dies between the parts of an append; of the log's state something else is the newest then."""

    async def main() -> None:
        dying = NatsEngine(options, limits=QUICK)
        await dying.start()
        await dying.log.create("b", meta=b"kept")
        for number in range(producers):
            await dying.log.append("b", b"x", producer=Producer(f"producer {number}", 0, 0))
        lane = dying._parts._log_lane
        publish, seen = lane._publish, lane.chain.settled

        async def cut(sequence: int, message: Message) -> None:
            if sequence < seen + 4:
                await publish(sequence, message)

        lane._publish = cut  # type: ignore[method-assign]
        lost = dying.log.append("b", bytes(4 * MIB), meta=b"lost")
        while lane.chain.settled < seen + 3:
            await asyncio.sleep(0)
        await dying._parts.link.close()
        await dying.stop()
        with pytest.raises(StorageError):
            await lost
        for _ in range(2):
            async with running(options, QUICK) as engine:
                stat = await engine.log.stat("b")
                assert (stat.meta, stat.closed) == (b"kept", False)
                assert await engine.log.producer("b", f"producer {producers - 1}") is not None
                assert await engine.log.append("b", b"y") == stat.tail + 1
                text = payload(await read_all(engine.log, "b", 0))
                assert (text.count(b"x"), text.strip(b"x").strip(b"y")) == (producers, b"")

    asyncio.run(main())


def test_what_is_trimmed_and_deleted_leaves_the_servers(options: NatsOptions) -> None:
    async def main() -> None:
        async with running(options) as engine:
            for name in ("b", "c"):
                await engine.log.create(name)
                await asyncio.gather(*(engine.log.append(name, bytes(50_000)) for _ in range(60)))
            await engine.log.fork("f", "c", 1_000_000)
            await engine.log.trim("b", 2_900_000)
            await engine.log.delete("c")
            await engine.log.trim("f", 900_000)
            await engine.quiesce()
            link = engine._parts.link
            info = await link.js.stream_info(link.stream("logs"))
            assert 2_000_000 < info.state.bytes < 4_500_000
            await engine.log.delete("f")
            await engine.quiesce()
            info = await link.js.stream_info(link.stream("logs"))
            assert info.state.bytes < 1_200_000
            assert len(payload(await read_all(engine.log, "b", 2_900_000))) == 100_000

    asyncio.run(main())
