"""Channels of a real node over its socket: appends acknowledged on disk, reading back, latency, fan-out."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from holdfast.channels.api import ChannelsApi
from holdfast.channels.model import Ack
from holdfast.channels.packing import encode_batch, encode_draft, encode_run
from holdfast.channels.unpacking import RunReader, entries_of, split_runs
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.aio.streams import AsyncReader
from holdfast.rpc.commands import invoke
from holdfast.rpc.handshake.authenticators import LocalClient
from holdfast.streams import Chunk
from holdfast.testing import NodeBox

Figure = dict[str, Any]

PAYLOAD = b"x" * 100
BATCH = 1_000
RUN_ENTRIES = 100
"""Entries of one append in the fan-out."""


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer runs."""
    runs = 3 if quick else 7
    return uvloop.run(_figures(runs, 50 if quick else 500, 200 if quick else 2_000))


async def _figures(runs: int, batches: int, singles: int) -> list[Figure]:
    found: list[Figure] = []
    with NodeBox.temporary() as box:
        box.start_node()
        async with dial(box) as connection:
            found += await appending(connection, runs, batches, singles)
            found += [
                await latency(box, connection, "disk", singles, 1.0),
                await latency(box, connection, "memory", singles, 0.44),
                await fan_out(box, connection, runs),
            ]
    return found


@asynccontextmanager
async def dial(box: NodeBox) -> AsyncIterator[AsyncConnection]:
    """The owner's connection."""
    async with await dial_unix(box.url.removeprefix("unix://"), LocalClient()) as connection:
        yield connection


async def create(connection: AsyncConnection, name: str) -> str:
    """A channel without limits that matter."""
    return (
        await invoke(connection, ChannelsApi.create, "bench", name, rate_per_s=1e9, burst=10**9, entries_max=10**8)
    ).id


def figure(name: str, values: list[float], unit: str, goal: float, *, note: str = "") -> Figure:
    """The median of ``values``; less is better for times."""
    value = statistics.median(values)
    less = unit == "ms"
    return {
        "name": name,
        "value": round(value, 3) if less else round(value),
        "unit": unit,
        "goal": f"{'<=' if less else '>='} {goal:,.{0 if goal >= 1000 else 2}f}",
        "reached": value <= goal if less else value >= goal,
        "runs": len(values),
        "note": note,
    }


# appending and reading back


async def appending(connection: AsyncConnection, runs: int, batches: int, singles: int) -> list[Figure]:
    """Durable appends in batches of 1,000, eight on their way; reading all of it back; and one append at a time."""
    written, read, one = [], [], []
    for run in range(runs):
        channel = await create(connection, f"batches-{run}")
        packed = [encode_batch([PAYLOAD] * BATCH, first_sequence=1 + n * BATCH) for n in range(batches)]
        started = time.perf_counter()
        await append_all(connection, channel, packed, 8)
        written.append(batches * BATCH / (time.perf_counter() - started))
        started = time.perf_counter()
        assert await read_back(connection, channel) == batches * BATCH
        read.append(batches * BATCH / (time.perf_counter() - started))
        started = time.perf_counter()
        for _ in range(singles):
            await invoke(connection, ChannelsApi.append, channel, encode_draft(PAYLOAD))
        one.append(singles / (time.perf_counter() - started))
    return [
        figure("durable appends of 100 B in batches of 1,000, one client", written, "/s", 450_000),
        figure("reading back to one client, every entry an object", read, "/s", 2_000_000),
        figure("one append of 100 B at a time, on disk", one, "/s", 2_100),
    ]


async def append_all(connection: AsyncConnection, channel: str, batches: list[bytes], at_once: int) -> None:
    """Append ``batches``, ``at_once`` on their way."""
    slots = asyncio.Semaphore(at_once)

    async def append(batch: bytes) -> None:
        async with slots:
            await invoke(connection, ChannelsApi.append, channel, batch)

    await asyncio.gather(*map(append, batches))


async def read_back(connection: AsyncConnection, channel: str) -> int:
    """How many entries there are, each made an object."""
    reader = await subscribe(connection, channel, follow=False)
    runs, count = RunReader(), 0
    while isinstance(item := await reader.read(1 << 18), Chunk):
        for run in split_runs(runs.feed(bytes(item.data))):
            count += len(entries_of(run))
    return count


async def subscribe(connection: AsyncConnection, channel: str, **options: Any) -> AsyncReader:
    """A reader of the channel's runs."""
    reader = connection.open_reader()
    await invoke(connection, ChannelsApi.subscribe, channel, reader.stream_id, **options)
    reader.start()
    return reader


# latency

ECHO = """
import asyncio, sys, uvloop
from bench.channels_node import listen_and_tell
uvloop.run(listen_and_tell(*sys.argv[1:]))
"""


async def listen_and_tell(path: str, channel: str) -> None:
    """In a process of its own: on each entry, write down when it was there."""
    async with await dial_unix(path, LocalClient()) as connection:
        reader = await subscribe(connection, channel)
        print("ready", flush=True)
        while isinstance(item := await reader.read(), Chunk):
            print(time.monotonic_ns(), len(item.data), flush=True)


async def latency(box: NodeBox, connection: AsyncConnection, ack: Ack, count: int, goal_ms: float) -> Figure:
    """From the call of append in this process to the entry in another, one at a time; the median."""
    channel = await create(connection, f"latency-{ack}")
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ECHO, box.url.removeprefix("unix://"), channel, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    await other.stdout.readline()
    times = []
    for _ in range(count):
        started = time.monotonic_ns()
        await invoke(connection, ChannelsApi.append, channel, encode_draft(PAYLOAD), ack=ack)
        arrived = int((await other.stdout.readline()).split()[0])
        times.append((arrived - started) / 1e6)
    await invoke(connection, ChannelsApi.close, channel)
    await other.wait()
    return figure(f"append to subscriber, two clients and a node, ack={ack}, p50", times, "ms", goal_ms)


# fan-out

LISTENERS = """
import sys, uvloop
from bench.channels_node import listen_to_the_end
uvloop.run(listen_to_the_end(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
"""


async def listen_to_the_end(path: str, channel: str, connections: int, subscribers: int, size: int) -> None:
    """In a process of its own: read ``size`` bytes with each of ``subscribers``."""

    async def take(reader: AsyncReader) -> None:
        left = size
        while left > 0:
            item = await reader.read(1 << 18)
            assert isinstance(item, Chunk)
            left -= len(item.data)

    open_ones = [await dial_unix(path, LocalClient()) for _ in range(connections)]
    readers = [await subscribe(one, channel) for one in open_ones for _ in range(subscribers // connections)]
    print("ready", flush=True)
    await asyncio.gather(*map(take, readers))
    print("done", flush=True)
    for one in open_ones:
        one.close()
        await one.wait_closed()


async def fan_out(box: NodeBox, connection: AsyncConnection, runs: int) -> Figure:
    """Batches of 100 to 1,000 subscribers over 20 connections of two processes."""
    rates = []
    batches, size = 100, len(encode_run(1, b"local:0", 0.0, encode_batch([PAYLOAD] * RUN_ENTRIES), RUN_ENTRIES))
    for run in range(min(runs, 5)):
        channel = await create(connection, f"fan-{run}")
        arguments = [box.url.removeprefix("unix://"), channel, "10", "500", str(batches * size)]
        others = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", LISTENERS, *arguments, stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        outs = [other.stdout for other in others if other.stdout is not None]
        assert [await out.readline() for out in outs] == [b"ready\n"] * 2
        packed = [encode_batch([PAYLOAD] * RUN_ENTRIES, first_sequence=1 + n * RUN_ENTRIES) for n in range(batches)]
        started = time.perf_counter()
        await append_all(connection, channel, packed, 4)
        assert [await out.readline() for out in outs] == [b"done\n"] * 2
        rates.append(batches * RUN_ENTRIES * 1_000 / (time.perf_counter() - started))
        for other in others:
            await other.wait()
    return figure("delivered to 1,000 subscribers over 20 connections, in runs of 100", rates, "/s", 2_000_000)
