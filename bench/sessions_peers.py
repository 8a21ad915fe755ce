"""One subscriber process with 20 subscribers: sessions of a node beside nats-py on nats-server's core, in the same run.

Messages of 100 B, one producer, each decoded in the subscriber process; ours and theirs take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from bench.channels_peers import paired
from bench.peers import NatsPeer, connected_nats
from bench.sessions import IN_FLIGHT, dial
from holdfast.rpc.commands import invoke
from holdfast.sessions.api import SessionsApi
from holdfast.sessions.model import PatternSpec
from holdfast.sessions.packing import Unpacker
from holdfast.streams import Chunk
from holdfast.testing import NodeBox

Figure = dict[str, Any]

SUBSCRIBERS = 20
PAYLOAD = b"x" * 100
SUBJECT = "bus.bench"
FLUSH = 500
"""Messages the peer's producer sends between two flushes, so that nobody is cut for being slow."""


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer runs."""
    return uvloop.run(_figures(3 if quick else 5, 2_000 if quick else 10_000))


async def _figures(pairs: int, messages: int) -> list[Figure]:
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hf-bench-")))
        box = stack.enter_context(NodeBox.temporary())
        box.start_node()
        ours = await stack.enter_async_context(_listening("ours", box.url))
        connection = await stack.enter_async_context(dial(box.url))
        peer = await stack.enter_async_context(connected_nats(directory / "nats"))
        theirs = None if peer is None else await stack.enter_async_context(_listening("nats", peer._url))
        return [
            await paired(
                f"deliveries to one process with {SUBSCRIBERS} subscribers, 100 B", "/s", 3.0, pairs,
                lambda: _rate(ours, messages, lambda: _publish(connection, messages)),
                "nats-server core, nats-py",
                None if theirs is None or peer is None else _theirs(theirs, peer, messages),
            )
        ]  # fmt: skip


def _theirs(process: asyncio.subprocess.Process, peer: NatsPeer, messages: int) -> Callable[[], Awaitable[float]]:
    return lambda: _rate(process, messages, lambda: _publish_nats(peer._client, messages))


@asynccontextmanager
async def _listening(kind: str, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The subscriber process, ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.sessions_peers", kind, url,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    try:
        await _expect(process, "ready")
        yield process
    finally:
        process.kill()
        await process.wait()


async def _expect(process: asyncio.subprocess.Process, word: str) -> None:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode().strip()
    assert line == word, line


async def _rate(process: asyncio.subprocess.Process, messages: int, publish: Callable[[], Awaitable[None]]) -> float:
    """Deliveries a second: from the first message's leaving to the last one's arrival everywhere."""
    assert process.stdin is not None
    process.stdin.write(f"{messages}\n".encode())
    began = time.perf_counter()
    await publish()
    await _expect(process, "done")
    return messages * SUBSCRIBERS / (time.perf_counter() - began)


async def _publish(connection: Any, messages: int) -> None:
    window = asyncio.Semaphore(IN_FLIGHT)

    async def one() -> None:
        async with window:
            await invoke(connection, SessionsApi.publish, SUBJECT, PAYLOAD)

    await asyncio.gather(*(one() for _ in range(messages)))


async def _publish_nats(client: Any, messages: int) -> None:
    for number in range(messages):
        await client.publish(SUBJECT, PAYLOAD)
        if number % FLUSH == 0:
            await client.flush()
    await client.flush()


# the subscriber process


async def _counted(counts: list[int]) -> None:
    """Answer each line, a number of messages, when every subscriber has had so many more."""
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    wanted = 0
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        wanted += int(line)
        while min(counts) < wanted:  # noqa: ASYNC110 - a look costs less than an event a message
            await asyncio.sleep(0.001)
        assert max(counts) == wanted, "a message came twice"
        print("done", flush=True)


async def _ours(url: str) -> None:
    counts = [0] * SUBSCRIBERS
    async with contextlib.AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for place in range(SUBSCRIBERS):
            connection = await stack.enter_async_context(dial(url))
            made = await invoke(connection, SessionsApi.new, [PatternSpec(pattern=SUBJECT)], 0.0)
            reader = connection.open_reader(window_bytes=1 << 20)
            await invoke(connection, SessionsApi.attach, made.id, reader.stream_id)
            reader.start(0)
            tasks.create_task(_take(reader, place, counts))
        await _counted(counts)


async def _take(reader: Any, place: int, counts: list[int]) -> None:
    unpacker = Unpacker()
    while isinstance(item := await reader.read(1 << 18), Chunk):
        for message in unpacker.take(bytes(item.data)):
            assert len(message.payload) == len(PAYLOAD)
            counts[place] += 1


async def _nats(url: str) -> None:
    import nats

    counts = [0] * SUBSCRIBERS

    def counting(place: int) -> Callable[[Any], Awaitable[None]]:
        async def count(message: Any) -> None:
            assert len(message.data) == len(PAYLOAD)
            counts[place] += 1

        return count

    for place in range(SUBSCRIBERS):
        client = await nats.connect(url)
        await client.subscribe(SUBJECT, cb=counting(place), pending_msgs_limit=10**7, pending_bytes_limit=10**9)
        await client.flush()
    await _counted(counts)


if __name__ == "__main__":
    uvloop.run({"ours": _ours, "nats": _nats}[sys.argv[1]](sys.argv[2]))
