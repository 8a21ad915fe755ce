"""The NATS engine, against nats-py written by hand for the same job on the same server.

The peer publishes to a stream of its own with message ids, so that it may try again as we do, and reads with ordered
push consumers; it keeps no state of logs, has no followers, no caches and nothing to recover.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import nats
import uvloop
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from bench.figures import Figure
from holdfast.engine.base import Log, LogMode
from holdfast.engine.nats.engine import NatsEngine
from holdfast.engine.nats.options import NatsOptions
from holdfast.natsbox import NatsServer, nats_server_program

MIB = 1024 * 1024
CHUNK = 64 * 1024
BATCH = 1_000
ENTRY = 100
PEER = "nats-py by hand"
_names = count(1)


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer pairs."""
    if nats_server_program() is None:
        return [{"name": "NATS engine", "value": None, "unit": "", "note": "nats-server is not installed"}]
    pairs = 3 if quick else 7
    scale = 1 if quick else 4
    with _server() as url:
        return [
            chunks(url, pairs, 64 * scale * MIB),
            batches(url, pairs, 250 * scale),
            singles(url, pairs, 10_000 * scale),
            one_at_a_time(url, pairs, 500 * scale),
            puts(url, pairs, 5_000 * scale),
            read_bytes(url, pairs, 64 * scale * MIB),
            read_entries(url, pairs, 250 * scale),
            restart(url, pairs if quick else 3, 1_000 if quick else 10_000, (64 if quick else 1024) * MIB),
        ]


@contextmanager
def _server() -> Iterator[str]:
    with NatsServer.temporary() as server:
        yield server.url


# the figures


def chunks(url: str, pairs: int, size: int) -> Figure:
    """Output as a job's pipe gives it, 64 on their way."""
    data = os.urandom(CHUNK)
    amount = size // CHUNK
    return _figure(
        "append of 64 KiB chunks, 64 in flight",
        "MiB/s",
        [
            (
                _ours(url, lambda log: _append(log, data, amount, 64), "bytes", size / MIB),
                _peer(url, lambda js, subject: _publish(js, subject, data, amount, 64), size / MIB),
            )
            for _ in range(pairs)
        ],
    )


def batches(url: str, pairs: int, amount: int) -> Figure:
    """Batches of 1,000 entries of 100 bytes, 32 on their way; the peer packs each into a message."""
    batch = [os.urandom(ENTRY) for _ in range(BATCH)]
    return _figure(
        "append of batches of 1,000 x 100 B, 32 in flight",
        "entries/s",
        [
            (
                _ours(url, lambda log: _append(log, batch, amount, 32), "entries", amount * BATCH),
                _peer(url, lambda js, subject: _publish(js, subject, batch, amount, 32), amount * BATCH),
            )
            for _ in range(pairs)
        ],
    )


def singles(url: str, pairs: int, amount: int) -> Figure:
    """128 tasks that each wait for their append."""
    entry = os.urandom(ENTRY)

    async def ours(log: Log) -> None:
        async def wait() -> None:
            for _ in range(amount // 128):
                await log.append("log", [entry])

        await asyncio.gather(*(wait() for _ in range(128)))

    async def peer(js: JetStreamContext, subject: str) -> None:
        async def wait(task: int) -> None:
            for number in range(amount // 128):
                await js.publish(subject, entry, headers={"Nats-Msg-Id": f"{subject}-{task}-{number}"})

        await asyncio.gather(*(wait(task) for task in range(128)))

    return _figure(
        "single appends of 100 B, 128 waiters",
        "appends/s",
        [(_ours(url, ours, "entries", amount), _peer(url, peer, amount)) for _ in range(pairs)],
    )


def one_at_a_time(url: str, pairs: int, amount: int) -> Figure:
    """One task that waits for each append."""
    entry = os.urandom(ENTRY)
    return _figure(
        "single appends of 100 B, one waiter",
        "appends/s",
        [
            (
                _ours(url, lambda log: _append(log, [entry], amount, 1), "entries", amount),
                _peer(url, lambda js, subject: _publish(js, subject, [entry], amount, 1), amount),
            )
            for _ in range(pairs)
        ],
    )


def puts(url: str, pairs: int, amount: int) -> Figure:
    """Values of 100 bytes under 1,000 keys, 64 on their way."""
    value = os.urandom(ENTRY)

    async def ours() -> float:
        engine = _engine(url)
        await engine.start()
        try:
            return await _timed(amount, 64, lambda number: engine.kv.put(f"key/{number % 1_000}", value))
        finally:
            await engine.stop()

    async def peer() -> float:
        client = await nats.connect(url)
        try:
            bucket = await client.jetstream().create_key_value(bucket=f"bucket{next(_names)}")
            return await _timed(amount, 64, lambda number: bucket.put(f"key/{number % 1_000}", value))
        finally:
            await client.close()

    runs = [(amount / uvloop.run(ours()), amount / uvloop.run(peer())) for _ in range(pairs)]
    return _figure("puts of 100 B under 1,000 keys, 64 in flight", "puts/s", runs)


def read_bytes(url: str, pairs: int, size: int) -> Figure:
    """Chunks of 64 KiB read back after a restart."""
    data = os.urandom(CHUNK)
    amount = size // CHUNK
    return _figure(
        "read back of 64 KiB chunks",
        "MB/s",
        [
            (
                _read_ours(url, lambda log: _append(log, data, amount, 64), "bytes", size / 1e6),
                _read_peer(url, data, amount, size / 1e6),
            )
            for _ in range(pairs)
        ],
    )


def read_entries(url: str, pairs: int, amount: int) -> Figure:
    """Batches of 1,000 entries of 100 bytes read back after a restart, each entry by itself."""
    batch = [os.urandom(ENTRY) for _ in range(BATCH)]
    return _figure(
        "read back of batches of 1,000 x 100 B",
        "entries/s",
        [
            (
                _read_ours(url, lambda log: _append(log, batch, amount, 32), "entries", amount * BATCH),
                _read_peer(url, batch, amount, amount * BATCH),
            )
            for _ in range(pairs)
        ],
    )


def restart(url: str, pairs: int, logs: int, size: int) -> Figure:
    """Opening an engine with many logs, and many bytes in them."""
    options = _options(url)

    async def fill() -> None:
        engine = NatsEngine(options)
        await engine.start()
        await asyncio.gather(*(engine.log.create(f"job/{number}") for number in range(logs)))
        data = os.urandom(size // logs)
        for first in range(0, logs, 100):
            numbers = range(first, min(first + 100, logs))
            await asyncio.gather(*(engine.log.append(f"job/{number}", data) for number in numbers))
            await asyncio.gather(*(engine.kv.put(f"job/{number}", data[:500]) for number in numbers))
        await engine.stop()

    async def start() -> float:
        engine = NatsEngine(options)
        began = time.perf_counter()
        await engine.start()
        assert len(await engine.log.list()) == len(await engine.kv.list()) == logs
        taken = time.perf_counter() - began
        await engine.stop()
        return taken

    uvloop.run(fill())
    value = statistics.median(uvloop.run(start()) for _ in range(pairs))
    return {
        "name": f"engine ready with {logs:,} logs and keys and {size // MIB:,} MiB",
        "value": value,
        "unit": "s",
        "goal": "<= 2",
        "reached": value <= 2,
        "runs": pairs,
    }


# our side


def _options(url: str) -> NatsOptions:
    return NatsOptions(url=url, prefix=f"bench-{next(_names)}")


def _engine(url: str) -> NatsEngine:
    return NatsEngine(_options(url))


async def _append(log: Log, data: bytes | list[bytes], amount: int, in_flight: int) -> None:
    waits: deque[Awaitable[int]] = deque()
    for _ in range(amount):
        waits.append(log.append("log", data))
        if len(waits) >= in_flight:
            await waits.popleft()
    for wait in waits:
        await wait


def _ours(url: str, work: Callable[[Log], Coroutine[Any, Any, None]], mode: LogMode, amount: float) -> float:
    async def main() -> float:
        engine = _engine(url)
        await engine.start()
        await engine.log.create("log", mode=mode)
        began = time.perf_counter()
        await work(engine.log)
        taken = time.perf_counter() - began
        await engine.log.delete("log")
        await engine.stop()
        return amount / taken

    return uvloop.run(main())


def _read_ours(url: str, fill: Callable[[Log], Coroutine[Any, Any, None]], mode: LogMode, amount: float) -> float:
    options = _options(url)

    async def write() -> None:
        engine = NatsEngine(options)
        await engine.start()
        await engine.log.create("log", mode=mode)
        await fill(engine.log)
        await engine.stop()

    async def read() -> float:
        engine = NatsEngine(options)
        await engine.start()
        position = 0 if mode == "bytes" else 1
        began = time.perf_counter()
        while pieces := await engine.log.read("log", position):
            position = pieces[-1].end
        taken = time.perf_counter() - began
        await engine.log.delete("log")
        await engine.stop()
        return amount / taken

    uvloop.run(write())
    return uvloop.run(read())


# the peer's side


def _pack(batch: list[bytes]) -> bytes:
    return b"".join([len(batch).to_bytes(4, "little"), array("I", map(len, batch)).tobytes(), *batch])


def _unpack(position: int, data: bytes) -> list[tuple[int, bytes]]:
    """Entries with their positions, which who wants to go on later has to know."""
    number = int.from_bytes(data[:4], "little")
    lengths = array("I", data[4 : 4 + 4 * number])
    at = 4 + 4 * number
    entries = []
    for place, length in enumerate(lengths, position):
        entries.append((place, data[at : at + length]))
        at += length
    return entries


async def _publish(js: JetStreamContext, subject: str, data: bytes | list[bytes], amount: int, in_flight: int) -> None:
    waits: deque[Awaitable[Any]] = deque()
    for number in range(amount):
        message = data if isinstance(data, bytes) else _pack(data)
        waits.append(await js.publish_async(subject, message, headers={"Nats-Msg-Id": f"{subject}-{number}"}))
        if len(waits) >= in_flight:
            await waits.popleft()
    for wait in waits:
        await wait


def _peer(url: str, work: Callable[[JetStreamContext, str], Coroutine[Any, Any, None]], amount: float) -> float:
    async def main() -> float:
        client = await nats.connect(url)
        js = client.jetstream()
        name = f"peer{next(_names)}"
        await js.add_stream(StreamConfig(name=name, subjects=[name]))
        began = time.perf_counter()
        await work(js, name)
        taken = time.perf_counter() - began
        await js.delete_stream(name)
        await client.close()
        return amount / taken

    return uvloop.run(main())


def _read_peer(url: str, data: bytes | list[bytes], amount: int, units: float) -> float:
    async def main() -> float:
        client = await nats.connect(url)
        js = client.jetstream()
        name = f"peer{next(_names)}"
        await js.add_stream(StreamConfig(name=name, subjects=[name]))
        await _publish(js, name, data, amount, 32)
        began = time.perf_counter()
        subscription = await js.subscribe(name, stream=name, ordered_consumer=True)
        position = 1
        for _ in range(amount):
            message = await subscription.next_msg(timeout=10)
            if not isinstance(data, bytes):
                position = _unpack(position, message.data)[-1][0] + 1
        taken = time.perf_counter() - began
        await js.delete_stream(name)
        await client.close()
        return units / taken

    return uvloop.run(main())


async def _timed(amount: int, in_flight: int, work: Callable[[int], Coroutine[Any, Any, object]]) -> float:
    numbers = iter(range(amount))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return time.perf_counter() - began


def _figure(name: str, unit: str, runs: list[tuple[float, float]]) -> Figure:
    ratio = statistics.median(ours / peer for ours, peer in runs)
    return {
        "name": name,
        "value": statistics.median(ours for ours, _ in runs),
        "unit": unit,
        "goal": ">= 0.8 x peer",
        "reached": ratio >= 0.8,
        "peer": PEER,
        "peer_value": statistics.median(peer for _, peer in runs),
        "ratio": ratio,
        "runs": len(runs),
    }
