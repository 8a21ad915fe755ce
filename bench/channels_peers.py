"""Channels through the SDK, beside Redis Streams and NATS driven from Python in the same run.

All servers run on this machine and write to the same disk: a Holdfast node (acknowledged on disk), redis-server with
``appendfsync always``, nats-server with JetStream's file storage at its default flush and with ``sync_interval:
always``.  Redis is reached by redis-py over a unix socket, NATS by nats-py over loopback.  Ours and theirs take turns,
so that what else the machine does hits both: the ratios are what counts.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import uvloop

import holdfast
from bench.listeners import child, line_of, median_arrival_ms
from bench.peers import NATS, REDIS, NatsPeer, RedisPeer, connected_nats, listening_redis
from holdfast.testing import NodeBox

Figure = dict[str, Any]

PAYLOAD = b"x" * 100
BATCH = 1_000
WIDE: Any = {"entries_max": 10**9, "rate_per_s": 1e9, "burst": 10**9}


class Sizes(NamedTuple):
    """How much is measured."""

    pairs: int
    ours: int
    """Entries of one of our runs; a peer's are fewer, so that it takes about as long."""
    theirs: int
    singles: int
    fan: int


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer runs."""
    sizes = Sizes(3, 40_000, 5_000, 100, 50) if quick else Sizes(7, 400_000, 40_000, 1_000, 200)
    return uvloop.run(_measure_all(sizes))


async def _measure_all(sizes: Sizes) -> list[Figure]:
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="hf-bench-"))
        box = stack.enter_context(NodeBox.temporary())
        box.start_node()
        node = await stack.enter_async_context(holdfast.connect(box.url, autostart=False))
        redis = stack.enter_context(listening_redis(Path(directory)))
        flushing = await stack.enter_async_context(connected_nats(Path(directory) / "flush"))
        syncing = await stack.enter_async_context(connected_nats(Path(directory) / "sync", sync="always"))
        return await _measure(Ours(node, box), redis, flushing, syncing, sizes)


async def _measure(
    ours: Ours, redis: RedisPeer | None, flushing: NatsPeer | None, syncing: NatsPeer | None, sizes: Sizes
) -> list[Figure]:
    pairs, few = sizes.pairs, sizes.singles // 2
    return [
        await paired(
            "durable appends of 100 B in batches, SDK, against Redis", "/s", 10.0, pairs,
            lambda: ours.append(sizes.ours),
            f"{REDIS}, appendfsync always", _of(redis, lambda peer: peer.append(sizes.theirs)),
        ),
        await paired(
            "durable appends of 100 B in batches, SDK, against JetStream", "/s", 18.0, pairs,
            lambda: ours.append(sizes.ours),
            f"{NATS}, default flush", _of(flushing, lambda peer: peer.append(sizes.theirs)),
        ),
        await paired(
            "reading back 100 B, SDK, every entry an object", "/s", 5.0, pairs,
            lambda: ours.read(sizes.ours),
            f"{REDIS}, XREAD COUNT 1000", _of(redis, lambda peer: peer.read(sizes.theirs * 2)),
        ),
        await paired(
            "one append of 100 B at a time, on disk, SDK", "/s", 1.0, pairs,
            lambda: ours.single(sizes.singles),
            f"{REDIS}, appendfsync always", _of(redis, lambda peer: peer.single(sizes.singles)),
        ),
        await paired(
            "append to subscriber in another process, on disk, p50, SDK", "ms", 1.0, pairs,
            lambda: ours.latency(few, "disk"),
            f"{NATS}, sync always", _of(syncing, lambda peer: peer.latency(few)),
        ),
        await paired(
            "append to subscriber in another process, ack=memory, p50, SDK", "ms", 1.0, pairs,
            lambda: ours.latency(few, "memory"),
            "NATS core", _of(flushing, lambda peer: peer.core_latency(few)),
        ),
        await fan_out(ours, sizes),
    ]  # fmt: skip


Measure = Callable[[], Awaitable[float]]


Peer = TypeVar("Peer")


def _of(peer: Peer | None, measure: Callable[[Peer], Awaitable[float]]) -> Measure | None:
    """``measure`` of a peer that is there."""
    return None if peer is None else lambda: measure(peer)


async def paired(
    name: str, unit: str, goal: float, pairs: int, ours: Measure, peer: str, theirs: Measure | None
) -> Figure:
    """Medians over pairs, ours and theirs in turn, after one pair that does not count."""
    less = unit == "ms"
    figure: Figure = {"name": name, "unit": unit, "goal": f"{'<=' if less else '>='} {goal:g} x peer", "peer": peer}
    if theirs is None:
        note = "the peer is not installed"
        return figure | {"value": statistics.median([await ours() for _ in range(pairs)]), "runs": pairs, "note": note}
    mine, other = [], []
    for _ in range(pairs + 1):
        mine.append(await ours())
        other.append(await theirs())
    ratio = statistics.median([one / two for one, two in zip(mine[1:], other[1:], strict=True)])
    digits = 3 if less else 0
    return figure | {
        "value": round(statistics.median(mine[1:]), digits),
        "peer_value": round(statistics.median(other[1:]), digits),
        "ratio": round(ratio, 2),
        "reached": ratio <= goal if less else ratio >= goal,
        "runs": pairs,
    }


class Ours:
    """The SDK against a node."""

    def __init__(self, node: holdfast.Node, box: NodeBox) -> None:
        self._node = node
        self._box = box
        self._count = 0
        self._filled: holdfast.Channel | None = None

    async def _fresh(self) -> holdfast.Channel:
        self._count += 1
        return await self._node.channels.create("bench", f"c{self._count % 50}-{self._count}", **WIDE)

    async def append(self, count: int) -> float:
        """Entries a second; on disk when the last call returns."""
        if self._filled is not None:
            await self._filled.remove()
        channel = self._filled = await self._fresh()
        payloads = [PAYLOAD] * count
        started = time.perf_counter()
        done = await channel.append_batch(payloads)
        spent = time.perf_counter() - started
        assert done.appended == count
        return count / spent

    async def read(self, count: int) -> float:
        """Entries a second from the channel filled last."""
        assert self._filled is not None
        started = time.perf_counter()
        found, subscription = 0, self._filled.subscribe(follow=False)
        while entries := await subscription.next_batch():
            found += len(entries)
        assert found == count
        return count / (time.perf_counter() - started)

    async def single(self, count: int) -> float:
        """Appends a second, one at a time."""
        channel = await self._fresh()
        await channel.append(PAYLOAD)
        started = time.perf_counter()
        for _ in range(count):
            await channel.append(PAYLOAD)
        return count / (time.perf_counter() - started)

    async def latency(self, count: int, ack: Any) -> float:
        """Milliseconds from the call to the other process's iterator; the median."""
        channel = await self._fresh()

        async def send() -> None:
            await channel.append(PAYLOAD, ack=ack)

        return await median_arrival_ms("ours", [self._box.url, channel.id, str(count)], send, count)

    async def fan_out(self, count: int, subscribers: int, connections: int, processes: int) -> float:
        """Entries a second over all subscribers, appended in batches of 100."""
        channel = await self._fresh()
        share = [self._box.url, channel.id, str(count), str(subscribers // processes), str(connections // processes)]
        async with AsyncExitStack() as stack:
            others = [await stack.enter_async_context(child("fan", share)) for _ in range(processes)]
            started = time.perf_counter()
            for _ in range(count // 100):
                await channel.append_batch([PAYLOAD] * 100)
            for other in others:
                assert await line_of(other) == "done"
            return count * subscribers / (time.perf_counter() - started)


async def fan_out(ours: Ours, sizes: Sizes) -> Figure:
    """To 1,000 subscribers over 20 connections of two processes."""
    runs = min(5, sizes.pairs)
    rates = [await ours.fan_out(sizes.fan * 100, 1_000, 20, 2) for _ in range(runs)]
    value = statistics.median(rates)
    return {
        "name": "delivered to 1,000 SDK subscribers over 20 connections, batches of 100, every entry an object",
        "value": round(value),
        "unit": "/s",
        "goal": ">= 2000000",
        "reached": value >= 2_000_000,
        "runs": runs,
    }


# other processes
