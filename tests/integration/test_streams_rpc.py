"""The stream commands over a real connection and a memory engine, in the test's own event loop: the edges."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.clock import VirtualClock
from holdfast.durable import api
from holdfast.durable.api import StreamsApi
from holdfast.durable.model import Creation
from holdfast.durable.readers import Readers
from holdfast.durable.service import Streams, StreamsService
from holdfast.durable.store import Mounts, StreamStore
from holdfast.durable.streams import DurableStreams
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import (
    Gone,
    HoldfastError,
    InternalError,
    LimitExceeded,
    NotFound,
    StreamReplaced,
    UsageError,
)
from holdfast.limits import LIMITS
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.aio.server import serve_unix
from holdfast.rpc.commands import invoke
from holdfast.rpc.dispatch import Dispatcher
from holdfast.rpc.events import Reply, RequestReceived
from holdfast.rpc.failures import decode_failure
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.streams import Chunk, End, Failed

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Owner:
    """May all."""

    def sees(self, path: str) -> bool:
        return True

    def check_read(self, path: str) -> None:
        """Nothing to say."""

    def view_of(self, store: StreamStore) -> StreamStore:
        return store


class Handler:
    """One connection's stream commands."""

    def __init__(self, service: StreamsService) -> None:
        self._service = service
        self._dispatcher = Dispatcher()
        self._dispatcher.add(api.COMMANDS, service)

    async def handle(self, request: RequestReceived) -> Reply:
        return await self._dispatcher.handle(request)

    def closed(self) -> None:
        self._service.close()


class Place:
    """Streams, and a caller's connection to them."""

    def __init__(self, engine: MemoryEngine, streams: Streams, connection: AsyncConnection, url: str) -> None:
        self.engine = engine
        self.url = url
        self.own = streams.own
        self.readers = streams.readers
        self.connection = connection

    async def make(self, path: str, body: bytes = b"", content_type: str = "text/plain") -> str:
        info, _ = await self.own.create(path, Creation(content_type=content_type, body=body))
        return info.id

    async def read(self, path: str, position: Any = "start", *, follow: bool = False, id: str = "") -> bytes:
        """What a whole reading gives; raises what it fails with."""
        reader = self.connection.open_reader(window_bytes=1000)
        try:
            start = await invoke(self.connection, StreamsApi.read, path, reader.stream_id, position, follow, id)
            reader.start(start.position if start.info.mode == "bytes" else 0)
            parts = []
            while isinstance(item := await reader.read(), Chunk):
                parts.append(bytes(item.data))
            if isinstance(item, Failed):
                raise decode_failure(item.error, 0)
            assert isinstance(item, End)
        finally:
            reader.close()
        return b"".join(parts)

    async def quiet(self) -> None:
        """Wait until nobody reads any more."""
        while len(self.readers):
            await asyncio.sleep(0)


@asynccontextmanager
async def place(socket_dir: Path, **limits: Any) -> AsyncIterator[Place]:
    bounds = LIMITS._replace(**limits)
    engine = MemoryEngine()
    await engine.start()
    own = DurableStreams(engine, clock=VirtualClock(), limits=bounds)
    await own.open()
    streams = Streams(own, Mounts(own, ("jobs",)), Readers(bounds))
    path = str(socket_dir / "s")

    def handler(connection: AsyncConnection) -> Handler:
        return Handler(StreamsService(streams, Owner(), connection, bounds))

    async with await serve_unix(
        path, make_authenticator=lambda uid: LocalOwner(os.getuid(), uid), make_handler=handler
    ):
        connection = await dial_unix(path, LocalClient())
        async with connection:
            yield Place(engine, streams, connection, f"unix://{path}")
    await streams.readers.close()
    await own.close()
    await engine.stop()


def play(run: Run, socket_dir: Path, test: Callable[[Place], Coroutine[Any, Any, None]], **limits: Any) -> None:
    async def main() -> None:
        async with place(socket_dir, **limits) as here:
            await test(here)

    run(main())


def test_a_reader_ends_at_the_tail_it_came_at_or_at_the_close(run: Run, socket_dir: Path) -> None:
    async def test(here: Place) -> None:
        await here.make("a", b"0123456789" * 1000)
        assert await here.read("a") == b"0123456789" * 1000
        assert await here.read("a", 9_995) == b"56789"
        assert await here.read("a", -3) == b"789"
        assert await here.read("a", -20_000) == b"0123456789" * 1000
        assert await here.read("a", "now") == b""
        following = asyncio.create_task(here.read("a", 10_000, follow=True))
        await invoke(here.connection, StreamsApi.append, "a", b"more ")
        await invoke(here.connection, StreamsApi.append, "a", b"end", close=True)
        assert await following == b"more end"
        assert await here.read("a", 10_008, follow=True) == b""
        with pytest.raises(UsageError, match="beyond the tail"):
            await here.read("a", 10_009)
        await here.quiet()

    play(run, socket_dir, test)


def test_messages_come_a_line_each(run: Run, socket_dir: Path) -> None:
    async def test(here: Place) -> None:
        await here.make("j", b'[{"a":\r\n1}, [2],\n"\\n"]', "application/json")
        assert await here.read("j") == b'{"a":  1}\n[2]\n"\\n"\n'
        assert await here.read("j", 1) == b'[2]\n"\\n"\n'
        assert await here.read("j", -1) == b'"\\n"\n'

    play(run, socket_dir, test)


@pytest.mark.parametrize("under_forks", [False, True])
def test_who_follows_a_stream_that_is_removed_is_told(run: Run, socket_dir: Path, under_forks: bool) -> None:
    async def test(here: Place) -> None:
        await here.make("a", b"x")
        if under_forks:
            await invoke(here.connection, StreamsApi.create, "fork", fork_of="a")
        following = asyncio.create_task(here.read("a", follow=True))
        while not here.readers:
            await asyncio.sleep(0)
        await invoke(here.connection, StreamsApi.remove, "a")
        with pytest.raises(NotFound, match="stream 'a' was removed"):
            await following
        with pytest.raises(Gone if under_forks else NotFound):
            await here.read("a")
        await here.quiet()

    play(run, socket_dir, test)


def test_a_stream_made_again_is_another_one(run: Run, socket_dir: Path) -> None:
    async def test(here: Place) -> None:
        first = await here.make("a", b"one")
        assert await here.read("a", 1, id=first) == b"ne"
        await here.own.delete("a")
        second = await here.make("a", b"two")
        with pytest.raises(StreamReplaced, match="made again"):
            await here.read("a", 1, id=first)
        assert await here.read("a", 1, id=second) == b"wo"

    play(run, socket_dir, test)


def test_what_was_trimmed_away_is_gone_not_skipped(run: Run, socket_dir: Path) -> None:
    async def test(here: Place) -> None:
        await here.make("a", b"0123456789")
        await here.engine.log.trim("streams/a", 4)
        assert await here.read("a") == b"456789"
        assert await here.read("a", -100) == b"456789"
        with pytest.raises(Gone) as caught:
            await here.read("a", 3)
        assert caught.value.oldest == 4
        info = await invoke(here.connection, StreamsApi.info, "a")
        assert (info.oldest, info.tail) == (4, 10)

    play(run, socket_dir, test)


def test_there_are_only_so_many_readers_and_their_room_comes_back(run: Run, socket_dir: Path) -> None:
    async def test(here: Place) -> None:
        await here.make("a", b"x")
        two = [asyncio.create_task(here.read("a", follow=True)) for _ in range(2)]
        while len(here.readers) < 2:
            await asyncio.sleep(0)
        with pytest.raises(LimitExceeded) as caught:
            await here.read("a")
        assert (caught.value.name, caught.value.limit) == ("stream_readers_max", 2)
        for task in two:
            task.cancel()
        await asyncio.gather(*two, return_exceptions=True)
        await here.quiet()
        assert await here.read("a") == b"x"

    play(run, socket_dir, test, stream_readers_max=2)


def test_readers_go_with_their_connection(run: Run, socket_dir: Path) -> None:
    async def test(here: Place) -> None:
        await here.make("a", b"x" * 100_000)
        for position in ("start", "now"):
            reader = here.connection.open_reader(window_bytes=1000)
            await invoke(here.connection, StreamsApi.read, "a", reader.stream_id, position, True)
            reader.start(100_000 if position == "now" else 0)
        assert len(here.readers) == 2
        here.connection.close()
        await here.connection.wait_closed()
        await here.quiet()

    play(run, socket_dir, test)


def test_a_large_append_is_taken_whole_or_not_at_all(run: Run, socket_dir: Path) -> None:
    async def test(here: Place) -> None:
        await here.make("a")

        async def append(path: str, size: int, data: bytes) -> int:
            writer = here.connection.open_writer()

            async def write() -> None:
                await writer.write(data)
                await writer.close()

            writing = asyncio.create_task(write())
            try:
                added = await invoke(here.connection, StreamsApi.append_stream, path, writer.stream_id, size)
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                here.connection.unwatch_stream(writer.stream_id)
                here.connection.core.broker.remove(writer.stream_id)
            return added.tail

        assert await append("a", 300_000, b"y" * 300_000) == 300_000
        for path, size, data, error in (
            ("a", 10, b"y" * 9, UsageError),
            ("a", 10, b"y" * 11, UsageError),
            ("a", 300_001, b"y", LimitExceeded),
            ("none", 5, b"yyyyy", NotFound),
            ("jobs/a", 5, b"yyyyy", UsageError),
        ):
            with pytest.raises(error):
                await append(path, size, data)
        assert (await invoke(here.connection, StreamsApi.info, "a")).tail == 300_000

    play(run, socket_dir, test, stream_append_bytes_max=300_000)


def test_an_engine_that_fails_under_a_reader_fails_the_reader(run: Run, socket_dir: Path) -> None:
    async def test(here: Place) -> None:
        await here.make("a", b"x")
        await here.engine.log.skip("streams/a", 5)  # as if some of it had been lost
        await here.engine.log.append("streams/a", b"y")
        with pytest.raises(HoldfastError) as caught:
            await here.read("a")
        assert isinstance(caught.value, Gone) and caught.value.oldest == 6
        assert await here.read("a", 6) == b"y"

    play(run, socket_dir, test)


def test_a_mistake_of_ours_does_not_leave_a_reader_waiting(
    run: Run, socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_messages: list[bytes]) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr("holdfast.durable.readers.lines_of", broken)

    async def test(here: Place) -> None:
        await here.make("j", b"[1]", "application/json")
        with pytest.raises(InternalError, match="the node's log says why") as caught:
            await here.read("j", follow=True)
        assert caught.value.reference

    play(run, socket_dir, test)


def test_a_loop_that_was_left_reads_no_more(run: Run, socket_dir: Path) -> None:
    async def test(here: Place) -> None:
        await here.make("a", b"x")
        async with holdfast.connect(here.url, autostart=False) as node:
            async for chunk in node.streams.stream("a").read(follow=True):
                assert chunk.data == b"x"
                break
            gc.collect()
            await here.quiet()
            async with node.streams.stream("a").read(follow=True) as reading:
                assert (await anext(reading)).end == 1
                assert len(here.readers) == 1
            await here.quiet()
            assert [chunk async for chunk in reading] == []

    play(run, socket_dir, test)
