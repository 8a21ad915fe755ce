"""Redis Streams and NATS as the bench measures them; each None where it is not installed."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bench.listeners import median_arrival_ms
from holdfast.natsbox import NatsServer, nats_server_program

REDIS = "Redis Streams"
NATS = "JetStream"
PAYLOAD = b"x" * 100
BATCH = 1_000
START_S = 20.0
"""How long a server may take to answer."""


def program(name: str) -> str | None:
    """Where a program is: beside this Python, or on the PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def _missing(module: str) -> bool:
    return importlib.util.find_spec(module) is None


class RedisPeer:
    """redis-py against a server that syncs each write."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._keys = itertools.count()
        self._filled = ""

    async def append(self, count: int) -> float:
        """XADD in pipelines of 1,000; entries a second."""
        if self._filled:
            self._client.delete(self._filled)
        key = self._filled = f"s{next(self._keys)}"
        started = time.perf_counter()
        for _ in range(count // BATCH):
            pipe = self._client.pipeline(transaction=False)
            for _ in range(BATCH):
                pipe.xadd(key, {b"p": PAYLOAD})
            pipe.execute()
        return count / (time.perf_counter() - started)

    async def read(self, count: int) -> float:
        """XREAD COUNT 1000; entries a second."""
        while self._client.xlen(self._filled) < count:
            pipe = self._client.pipeline(transaction=False)
            for _ in range(BATCH):
                pipe.xadd(self._filled, {b"p": PAYLOAD})
            pipe.execute()
        found, last = 0, b"0"
        started = time.perf_counter()
        while found < count:
            entries = self._client.xread({self._filled: last}, count=BATCH)[0][1]
            found += len(entries)
            last = entries[-1][0]
        return found / (time.perf_counter() - started)

    async def single(self, count: int) -> float:
        """XADD, one at a time; a second."""
        key = f"s{next(self._keys)}"
        started = time.perf_counter()
        for _ in range(count):
            self._client.xadd(key, {b"p": PAYLOAD})
        return count / (time.perf_counter() - started)


@contextmanager
def listening_redis(directory: Path) -> Iterator[RedisPeer | None]:
    """A server of our own on a unix socket, without a port."""
    server = program("redis-server")
    if server is None or _missing("redis"):
        yield None
        return
    import redis

    path = directory / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--dir", str(directory), "--save", ""]
    sync = ["--appendonly", "yes", "--appendfsync", "always"]
    with (
        _running([server, *options, *sync], lambda: _answers(socket.AF_UNIX, str(path))),
        redis.Redis(unix_socket_path=str(path)) as client,
    ):
        yield RedisPeer(client)


class NatsPeer:
    """nats-py against a server with JetStream's file storage."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._stream = client.jetstream(publish_async_max_pending=4 * BATCH)
        self._url = url
        self._names = itertools.count()

    async def _fresh(self) -> str:
        name = f"s{next(self._names)}"
        await self._stream.add_stream(name=name, subjects=[name])
        return name

    async def append(self, count: int) -> float:
        """Asynchronous publishes, 1,000 at once; a second."""
        name = await self._fresh()
        started = time.perf_counter()
        for _ in range(count // BATCH):
            await asyncio.gather(*[await self._stream.publish_async(name, PAYLOAD) for _ in range(BATCH)])
        spent = time.perf_counter() - started
        await self._stream.delete_stream(name)
        return count / spent

    async def latency(self, count: int) -> float:
        """Milliseconds from the publish to another process's push subscription; the median."""
        name = await self._fresh()

        async def send() -> None:
            await self._stream.publish(name, PAYLOAD)

        return await median_arrival_ms("jetstream", [self._url, name, str(count)], send, count)

    async def core_latency(self, count: int) -> float:
        """The same without a stream."""
        name = f"core{next(self._names)}"

        async def send() -> None:
            await self._client.publish(name, PAYLOAD)
            await self._client.flush()

        return await median_arrival_ms("core", [self._url, name, str(count)], send, count)


@asynccontextmanager
async def connected_nats(directory: Path, sync: str = "") -> AsyncIterator[NatsPeer | None]:
    """A server of our own on a free port; ``sync`` is JetStream's sync_interval."""
    if nats_server_program() is None or _missing("nats"):
        yield None
        return
    import nats

    os.makedirs(directory, exist_ok=True)
    with NatsServer.temporary(within=directory, sync=sync) as server:
        client = await nats.connect(server.url)
        try:
            yield NatsPeer(client, server.url)
        finally:
            await client.close()


# servers


@contextmanager
def _running(command: list[str], ready: Callable[[], bool]) -> Iterator[None]:
    """A server of ours, which answers when this is entered and has ended when it is left."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + START_S
            while not ready():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{command[0]} did not start")
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def _answers(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
        return True
