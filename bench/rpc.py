"""RPC between two processes over a unix socket, on uvloop, against bare length-prefixed frames on asyncio.

The bare peer does the least that could be called a protocol: u32 length, body; a future per call in order.  No
JSON, no numbers, no flow control but the socket's, no liveness.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from struct import Struct
from typing import Any, cast

import uvloop

from holdfast.limits import LIMITS
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.aio.server import serve_unix
from holdfast.rpc.events import EventReceived, Reply, RequestReceived
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.streams import Chunk, Writer

Figure = dict[str, Any]

MIB = 1024 * 1024
ROOT = Path(__file__).resolve().parent.parent
PEER = "bare frames on asyncio"
IN_FLIGHT = 32
EVENT_BODY = {"index": 12345}
"""A small event: a line's worth of news."""

_LENGTH = Struct(">I")


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` sends a tenth of everything."""
    share = 10 if quick else 1
    return uvloop.run(_measure_all(share))


async def _measure_all(share: int) -> list[Figure]:
    calls, events, total = 100_000 // share, 600_000 // share, 1024 * MIB // share
    return [
        await _paired(
            f"small calls, {IN_FLIGHT} in flight",
            "calls/s",
            50_000,
            lambda c: our_calls(c, calls),
            lambda p: bare_calls(p, calls),
        ),
        await _paired(
            "small events", "events/s", 300_000, lambda c: our_events(c, events), lambda p: bare_events(p, events)
        ),
        await _paired_packets(4096, total),
        await _paired_packets(65_536, total * 2),
    ]


Ours = Callable[[AsyncConnection], Awaitable[float]]
Bare = Callable[["BareClient"], Awaitable[float]]


async def _paired(name: str, unit: str, goal: float | str, ours: Ours, bare: Bare, pairs: int = 7) -> Figure:
    """Medians over pairs, ours and theirs in turn, after one pair that does not count."""
    our_rates, bare_rates = [], []
    async with _servers() as (connection, peer):
        for _ in range(pairs + 1):
            our_rates.append(await ours(connection))
            bare_rates.append(await bare(peer))
    value, peer_value = statistics.median(our_rates[1:]), statistics.median(bare_rates[1:])
    ratio = statistics.median([mine / theirs for mine, theirs in zip(our_rates[1:], bare_rates[1:], strict=True)])
    return {
        "name": name,
        "value": round(value),
        "unit": unit,
        "goal": goal,
        "reached": ratio >= 0.5 if isinstance(goal, str) else value >= goal,
        "peer": PEER,
        "peer_value": round(peer_value),
        "ratio": round(ratio, 3),
        "runs": pairs,
    }


async def _paired_packets(size: int, total: int) -> Figure:
    return await _paired(
        f"stream packets of {size // 1024} KiB",
        "MB/s",
        ">= 0.5 x peer",
        lambda connection: our_packets(connection, size, total),
        lambda peer: bare_packets(peer, size, total),
    )


# ours


async def our_calls(connection: AsyncConnection, count: int) -> float:
    """Small calls a second."""
    left = count

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await connection.call("echo", {"a": 1})

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return count / (time.perf_counter() - began)


async def our_events(connection: AsyncConnection, count: int) -> float:
    """Small events a second, pushed by the server on one call."""
    got = 0

    def on_event(_event: EventReceived) -> None:
        nonlocal got
        got += 1

    began = time.perf_counter()
    await connection.call("push", {"count": count}, on_event=on_event)
    took_s = time.perf_counter() - began
    assert got == count
    return count / took_s


async def our_packets(connection: AsyncConnection, size: int, total: int) -> float:
    """MB/s of one stream, in packets of ``size``."""
    reader = connection.open_reader(window_bytes=LIMITS.ring_bytes)
    await connection.call("stream", {"stream": reader.stream_id, "packet_bytes": size, "total": total})
    began = time.perf_counter()
    reader.start()
    got = 0
    while isinstance(item := await reader.read(), Chunk):
        got += len(item.data)
    took_s = time.perf_counter() - began
    assert got == total
    return total / took_s / 1e6


class BenchHandler:
    """The serving end of the above."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def handle(self, request: RequestReceived) -> Reply:
        if request.method == "echo":
            return Reply(request.params)
        if request.method == "push":
            await self._push(request.number, request.params["count"])
        elif request.method == "stream":
            self._stream(**request.params)
        return Reply(None)

    def closed(self) -> None:
        """Nothing to close."""

    async def _push(self, number: int, count: int) -> None:
        emit = self._connection.emit
        for index in range(count):
            emit(number, "tick", EVENT_BODY)
            if index % 1000 == 999:
                await self._connection.drained()

    def _stream(self, stream: int, packet_bytes: int, total: int) -> None:
        writer = Writer(
            stream, packet_bytes=packet_bytes, packet_bytes_max=packet_bytes, window_bytes=LIMITS.ring_bytes
        )
        block = bytes(MIB)
        left = total

        def fill() -> None:
            nonlocal left
            while left > 0:
                taken = writer.write(memoryview(block)[: min(left, MIB)])
                left -= taken
                if not taken:
                    break
            if left == 0:
                writer.close()
            self._connection.sender_ready(stream)

        self._connection.attach_sender(writer, fill)
        fill()


# bare


class BareFrames(asyncio.Protocol):
    """u32 length, body.  Cuts what is received into frames and gathers what is sent in a turn into one write."""

    def __init__(self) -> None:
        self._part = b""
        self._out: list[bytes] = []
        self._writable = asyncio.Event()
        self._writable.set()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._part:
            data = self._part + data
        at, end = 0, len(data)
        while end - at >= 4:
            (length,) = _LENGTH.unpack_from(data, at)
            if at + 4 + length > end:
                break
            self.frame_received(data[at + 4 : at + 4 + length])
            at += 4 + length
        self._part = data[at:]

    def frame_received(self, body: bytes) -> None:
        """One frame came."""

    def send(self, body: bytes) -> None:
        """Send one frame, at the end of the turn."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(_LENGTH.pack(len(body)))
        self._out.append(body)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def writable(self) -> None:
        """Wait until the transport takes more."""
        await asyncio.sleep(0)
        await self._writable.wait()

    def _flush(self) -> None:
        out, self._out = self._out, []
        self._transport.writelines(out)


class BareServer(BareFrames):
    """Echoes; or, asked with ``count size``, sends that many frames of that size."""

    def frame_received(self, body: bytes) -> None:
        if body[:1] == b"!":
            count, size = map(int, body[1:].split())
            self._task = asyncio.ensure_future(self._push(count, size))
        else:
            self.send(body)

    async def _push(self, count: int, size: int) -> None:
        body = bytes(size)
        batch = max(1, 262_144 // (size + 4))
        for _ in range(count // batch + 1):
            for _ in range(min(batch, count)):
                self.send(body)
            count -= min(batch, count)
            await self.writable()


class BareClient(BareFrames):
    """Calls in order, and counts what is pushed."""

    def __init__(self) -> None:
        super().__init__()
        self._answers: deque[asyncio.Future[bytes]] = deque()
        self._expected = 0
        self._pushed: asyncio.Future[None]

    def frame_received(self, body: bytes) -> None:
        if self._expected:
            self._expected -= 1
            if not self._expected:
                self._pushed.set_result(None)
        else:
            self._answers.popleft().set_result(body)

    async def call(self, body: bytes) -> bytes:
        """The echo of ``body``."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._answers.append(answer)
        self.send(body)
        return await answer

    async def pushed(self, count: int, size: int) -> None:
        """Ask for ``count`` frames of ``size`` bytes and wait for the last."""
        self._expected = count
        self._pushed = self._loop.create_future()
        self.send(b"!%d %d" % (count, size))
        await self._pushed


async def bare_calls(peer: BareClient, count: int) -> float:
    """Small calls a second."""
    left = count
    body = b'{"method":"echo","params":{"a":1}}'

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await peer.call(body)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return count / (time.perf_counter() - began)


async def bare_events(peer: BareClient, count: int) -> float:
    """Small frames a second, one way."""
    began = time.perf_counter()
    await peer.pushed(count, 38)
    return count / (time.perf_counter() - began)


async def bare_packets(peer: BareClient, size: int, total: int) -> float:
    """MB/s one way in frames of ``size``."""
    began = time.perf_counter()
    await peer.pushed(total // size, size)
    return total / (time.perf_counter() - began) / 1e6


# two processes


@contextlib.asynccontextmanager
async def _servers() -> AsyncIterator[tuple[AsyncConnection, BareClient]]:
    """Connections to both kinds of server, in a process of their own."""
    with tempfile.TemporaryDirectory(prefix="hf", dir="/tmp") as directory:
        process = subprocess.Popen(  # noqa: ASYNC220 - before anything is measured
            [sys.executable, "-m", "bench.rpc", directory], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdout.readline()
            loop = asyncio.get_running_loop()
            async with await dial_unix(f"{directory}/ours", LocalClient()) as connection:
                transport, peer = await loop.create_unix_connection(BareClient, f"{directory}/bare")
                yield connection, peer
                transport.close()
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait()


async def _serve(directory: str) -> None:
    """The serving process: until its standard input closes."""
    loop = asyncio.get_running_loop()
    bare = await loop.create_unix_server(BareServer, f"{directory}/bare")
    async with await serve_unix(
        f"{directory}/ours",
        make_authenticator=lambda uid: LocalOwner(os.getuid(), uid),
        make_handler=BenchHandler,
    ):
        print("ready", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
    bare.close()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
