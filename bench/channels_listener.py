"""The other client process of bench.channels_peers: says ``ready``, then when each entry arrived, or ``done``."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

import holdfast
from holdfast.http.offsets import offset_of


def tell(words: object) -> None:
    """A line for the process that measures."""
    print(words, flush=True)


async def ours(url: str, channel: str, count: str) -> None:
    """Arrivals at an SDK subscription."""
    async with (
        holdfast.connect(url, autostart=False) as node,
        node.channels.channel(channel).subscribe(limit=int(count)) as subscription,
    ):
        tell("ready")
        async for _ in subscription:
            tell(time.monotonic_ns())


async def jetstream(url: str, name: str, count: str) -> None:
    """Arrivals at a push subscription of a stream."""
    import nats

    client = await nats.connect(url)
    await _arrivals(client, await client.jetstream().subscribe(name, ordered_consumer=True), int(count))


async def core(url: str, name: str, count: str) -> None:
    """Arrivals at a plain subscription."""
    import nats

    client = await nats.connect(url)
    subscription = await client.subscribe(name)
    await client.flush()
    await _arrivals(client, subscription, int(count))


async def _arrivals(client: Any, subscription: Any, count: int) -> None:
    tell("ready")
    for _ in range(count):
        await subscription.next_msg(timeout=60)
        tell(time.monotonic_ns())
    await client.close()


async def fan(url: str, channel: str, count: str, subscribers: str, connections: str) -> None:
    """Many subscriptions over some connections, each until it has had ``count`` entries."""
    nodes = [holdfast.connect(url, autostart=False) for _ in range(int(connections))]
    subscriptions = [
        node.channels.channel(channel).subscribe() for node in nodes for _ in range(int(subscribers) // len(nodes))
    ]
    await asyncio.gather(*(subscription.open() for subscription in subscriptions))
    tell("ready")

    async def take(subscription: holdfast.Subscription) -> None:
        left = int(count)
        while left > 0:
            left -= len(await subscription.next_batch())

    await asyncio.gather(*map(take, subscriptions))
    tell("done")
    for node in nodes:
        await node.close()


async def sleep(policy: str, address: str, channel: str, after: str) -> None:
    """Subscribe, stop dead until a line says up to which index to read, and see that nothing is missing."""
    if policy == "sse":
        _sleep_over_http(address, int(after))
        return
    async with (
        holdfast.connect(address, autostart=False) as node,
        node.channels.channel(channel).subscribe(after=int(after), policy=cast("Any", policy)) as subscription,
    ):
        tell("ready")
        until, last = int(sys.stdin.readline()), int(after)
        try:
            while last < until:
                for entry in await subscription.next_batch():
                    assert entry.index == last + 1, (entry.index, last)
                    last = entry.index
        except holdfast.SubscriberTooSlow as error:
            if policy != "disconnect" or error.last_position != last:
                raise
        tell("done")


def _sleep_over_http(url: str, after: int) -> None:
    """The same over server-sent events, with a bare socket."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port)) as sock:
        query = f"{where.path}?offset={offset_of(after)}&live=sse"
        sock.sendall(f"GET {query} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
        events = sock.makefile("rb")
        assert b"200" in events.readline()
        tell("ready")
        until, last = int(sys.stdin.readline()), after
        while last < until:
            for index in re.findall(rb'"index":(\d+)', events.readline()):
                assert int(index) == last + 1, (index, last)
                last += 1
        tell("done")


if __name__ == "__main__":
    roles: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
        "ours": ours,
        "jetstream": jetstream,
        "core": core,
        "fan": fan,
        "sleep": sleep,
    }
    uvloop.run(roles[sys.argv[1]](*sys.argv[2:]))
