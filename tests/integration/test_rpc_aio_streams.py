"""Streams over asyncio connections and real unix sockets: pace, ends, cancellation, cuts and resuming."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import ClosedError, DisconnectedError, StorageError, UsageError
from holdfast.limits import GIB, LIMITS, MIB
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.aio.server import serve_unix
from holdfast.rpc.aio.streams import AsyncReader, AsyncWriter
from holdfast.rpc.events import Reply, RequestReceived
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.streams import Chunk, End, Failed, Gap, OutputSender, RingBuffer

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Write = Callable[[AsyncWriter], Coroutine[Any, Any, None]]


class StreamHandler:
    """Runs ``write`` on a writer for each stream it is asked for, or attaches ``sender``."""

    def __init__(self, connection: AsyncConnection, write: Write | None, sender: OutputSender | None) -> None:
        self.connection = connection
        self._write = write
        self._sender = sender
        self.tasks: list[asyncio.Task[None]] = []
        self.writers: list[AsyncWriter] = []

    async def handle(self, request: RequestReceived) -> Reply:
        if request.method == "echo":
            return Reply(request.params, request.attachment)
        stream, offset = request.params["stream"], request.params.get("from_offset", 0)
        if request.method == "resume":
            assert self._sender is not None
            start = self._sender.connect(stream, 0, offset, self.connection.now())
            self.connection.attach_sender(self._sender)
            return Reply(start)
        assert self._write is not None
        self.writers.append(self.connection.open_writer(stream))
        self.tasks.append(asyncio.create_task(self._run(self._write, self.writers[-1])))
        return Reply(0)

    async def _run(self, write: Write, writer: AsyncWriter) -> None:
        await write(writer)

    def closed(self) -> None:
        """Nothing to close."""


class Pair:
    """A client and what answers it."""

    def __init__(self, client: AsyncConnection, handler: StreamHandler) -> None:
        self.client = client
        self.handler = handler

    async def open(self, method: str = "write", **options: Any) -> AsyncReader:
        """A started reader."""
        reader = self.client.open_reader(**options)
        reply = await self.client.call(method, {"stream": reader.stream_id, "from_offset": reader.offset})
        assert isinstance(reply.result, int)
        reader.start()
        return reader


@asynccontextmanager
async def a_pair(
    directory: Path, write: Write | None = None, sender: OutputSender | None = None
) -> AsyncIterator[Pair]:
    handlers: list[StreamHandler] = []

    def make_handler(connection: AsyncConnection) -> StreamHandler:
        handlers.append(StreamHandler(connection, write, sender))
        return handlers[-1]

    path = str(directory / "s")
    async with (
        await serve_unix(path, make_authenticator=lambda uid: LocalOwner(os.getuid(), uid), make_handler=make_handler),
        await dial_unix(path, LocalClient()) as client,
    ):
        yield Pair(client, handlers[0])
    await asyncio.gather(*handlers[0].tasks, return_exceptions=True)


async def read_all(reader: AsyncReader) -> list[Any]:
    """Every item to the end, neighbouring bytes of a tag joined."""
    items: list[Any] = []
    while True:
        item = await reader.read()
        last = items[-1] if items else None
        if isinstance(item, Chunk) and isinstance(last, Chunk) and last.tag == item.tag:
            items[-1] = Chunk(last.offset, bytes(last.data) + bytes(item.data), item.tag)
        else:
            items.append(item)
        if isinstance(item, End | Failed):
            return items


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until ``condition`` holds."""
    while not condition():
        await asyncio.sleep(0)


async def settled(value: Callable[[], int]) -> int:
    """``value`` once it has stood still for many turns: nothing but us could move it."""
    last, still = value(), 0
    while still < 200:
        await asyncio.sleep(0)
        still = still + 1 if value() == last else 0
        last = value()
    return last


def pattern(size: int) -> bytes:
    """Bytes in which every misplaced piece shows."""
    return b"".join(index.to_bytes(4, "big") for index in range(size // 4))


def test_what_is_written_is_read_with_offsets_tags_gaps_and_the_end(run_on_both: Run, socket_dir: Path) -> None:
    async def write(writer: AsyncWriter) -> None:
        await writer.write(b"out")
        await writer.write(b"err", tag=1)
        await writer.skip(10)
        await writer.write(bytearray(b"more"))
        assert writer.written == 20
        await writer.close()
        assert writer.acknowledged == 20

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = await pair.open()
            assert await read_all(reader) == [
                Chunk(0, b"out", 0),
                Chunk(3, b"err", 1),
                Gap(6, 10),
                Chunk(16, b"more", 0),
                End(20),
            ]
            assert reader.offset == 20
            with pytest.raises(UsageError, match="to its end"):
                await reader.read()
            await pair.handler.tasks[0]
            await until(lambda: len(pair.client.core.broker) == len(pair.handler.connection.core.broker) == 0)

    run_on_both(main())


def test_a_broken_source_is_told_after_the_last_byte(run: Run, socket_dir: Path) -> None:
    async def write(writer: AsyncWriter) -> None:
        await writer.write(b"x" * 1000)
        await writer.fail("disk on fire")

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            items = await read_all(await pair.open())
            assert [type(item) for item in items] == [Chunk, Failed]
            assert items[-1] == Failed(1000, "disk on fire")
            await pair.handler.tasks[0]

    run(main())


def test_a_megabyte_in_many_sizes_arrives_whole(run_on_both: Run, socket_dir: Path) -> None:
    data = pattern(4 * MIB)

    async def write(writer: AsyncWriter) -> None:
        at = 0
        for size in (1, 7, 4096, 65_536, 1_000_000, len(data)):
            await writer.write(memoryview(data)[at : at + size])
            at += size
        await writer.close()

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = await pair.open(window_bytes=100_000)
            got = bytearray()
            while isinstance(item := await reader.read(50_000), Chunk):
                assert item.offset == len(got)
                assert len(item.data) <= 50_000
                got += item.data
            assert item == End(len(data))
            assert got == data

    run_on_both(main())


def test_a_writer_waits_for_its_reader_and_never_holds_more_than_ring_and_window(run: Run, socket_dir: Path) -> None:
    async def write(writer: AsyncWriter) -> None:
        await writer.write(b"x" * (16 * MIB))
        await writer.close()

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = await pair.open(window_bytes=MIB)
            (writer,) = pair.handler.writers
            held = await settled(lambda: writer.written)
            assert MIB <= held <= LIMITS.ring_bytes + MIB
            while isinstance(await reader.read(), Chunk):
                pass
            assert reader.offset == writer.written == 16 * MIB

    run(main())


def test_calls_are_answered_and_other_streams_flow_while_one_is_replayed(run: Run, socket_dir: Path) -> None:
    size = GIB

    async def write(writer: AsyncWriter) -> None:
        block = bytes(MIB)
        if writer.stream_id == 1:
            for _ in range(size // MIB):
                await writer.write(block)
        else:
            await writer.write(b"keystroke")
        await writer.close()

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            replay = await pair.open(window_bytes=MIB)
            assert replay.stream_id == 1
            done = asyncio.Event()
            answered: list[int] = []

            async def call_all_the_time() -> None:
                while not done.is_set():
                    await pair.client.call("echo", {})
                    answered.append(replay.offset)

            calling = asyncio.create_task(call_all_the_time())
            total = 0
            other: AsyncReader | None = None
            while isinstance(item := await replay.read(), Chunk):
                total += len(item.data)
                if other is None and total > size // 2:
                    other = await pair.open()
            assert total == size
            assert other is not None
            assert await other.read() == Chunk(0, b"keystroke", 0)
            assert await other.read() == End(9)
            done.set()
            await calling
            # Answers came all along, never more than a few windows apart.
            steps = [later - earlier for earlier, later in pairwise(answered)]
            assert max(steps) <= 16 * MIB

    run(main())


def test_closing_a_reader_stops_the_writer_with_the_reason(run_on_both: Run, socket_dir: Path) -> None:
    async def write(writer: AsyncWriter) -> None:
        while True:
            await writer.write(b"x" * 100_000)

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = await pair.open()
            await reader.read()
            reader.close("seen enough")
            reader.close()
            with pytest.raises(ClosedError, match="seen enough"):
                await pair.handler.tasks[0]
            with pytest.raises(ClosedError):
                await reader.read()
            await until(lambda: len(pair.client.core.broker) == len(pair.handler.connection.core.broker) == 0)

    run_on_both(main())


def test_closing_a_reader_that_was_never_started_stops_the_writer_too(run: Run, socket_dir: Path) -> None:
    async def write(writer: AsyncWriter) -> None:
        await writer.write(b"x")
        await writer.close()

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = pair.client.open_reader()
            await pair.client.call("write", {"stream": reader.stream_id})
            with pytest.raises(UsageError, match="start"):
                await reader.read()
            reader.close()
            with pytest.raises(ClosedError):
                await pair.handler.tasks[0]

    run(main())


def test_a_cut_gives_readers_what_arrived_then_the_offset_to_resume_from(run_on_both: Run, socket_dir: Path) -> None:
    async def write(writer: AsyncWriter) -> None:
        await writer.write(b"x" * 300_000)
        await asyncio.Event().wait()

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = await pair.open()
            (writer,) = pair.handler.writers
            await until(lambda: writer.acknowledged == 300_000)
            pair.handler.connection.wire.abort()
            await pair.client.wait_closed()
            got = 0
            with pytest.raises(DisconnectedError) as caught:
                while True:
                    item = await reader.read(7000)
                    assert isinstance(item, Chunk)
                    got += len(item.data)
            assert got == reader.offset == caught.value.resume_offset == 300_000
            with pytest.raises(DisconnectedError) as cut:
                await writer.write(b"more")
            assert cut.value.resume_offset == 300_000
            pair.handler.tasks[0].cancel()

    run_on_both(main())


def test_a_cut_wakes_whoever_waits(run: Run, socket_dir: Path) -> None:
    async def write(writer: AsyncWriter) -> None:
        await writer.write(b"x" * (64 * MIB))

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = await pair.open()
            idle = await pair.open()
            waiting = asyncio.create_task(read_all(idle))
            await reader.read()
            pair.client.wire.abort()
            for task in pair.handler.tasks:
                with pytest.raises(DisconnectedError):
                    await task
            with pytest.raises(DisconnectedError):
                await waiting

    run(main())


def test_closing_the_connection_ends_its_streams_as_closed(run: Run, socket_dir: Path) -> None:
    async def write(writer: AsyncWriter) -> None:
        await writer.write(b"x")
        await writer.close()

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = pair.client.open_reader()
            pair.client.close()
            with pytest.raises(ClosedError):
                reader.start()
            reader.close()

    run(main())


def test_cancelling_a_read_loses_no_item(run_on_both: Run, socket_dir: Path) -> None:
    data = pattern(200_000)

    async def write(writer: AsyncWriter) -> None:
        for at in range(0, len(data), 1000):
            await writer.write(data[at : at + 1000])
            await asyncio.sleep(0)
        await writer.close()

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = await pair.open(window_bytes=10_000)
            got = bytearray()
            turns = cancelled = 0
            while True:
                read = asyncio.create_task(reader.read(1500))
                for _ in range(turns % 5):
                    await asyncio.sleep(0)
                turns += 1
                read.cancel()
                await asyncio.wait([read])
                if read.cancelled():
                    cancelled += 1
                    continue
                item = read.result()
                if isinstance(item, End):
                    break
                assert isinstance(item, Chunk)
                assert item.offset == len(got)
                got += item.data
            assert got == data
            assert cancelled > 10

    run_on_both(main())


def test_cancelling_a_write_loses_and_doubles_nothing(run: Run, socket_dir: Path) -> None:
    data = pattern(12 * MIB)

    async def write(writer: AsyncWriter) -> None:
        turns = 0
        while writer.written < len(data):
            task = asyncio.create_task(writer.write(memoryview(data)[writer.written :]))
            for _ in range(turns % 7):
                await asyncio.sleep(0)
            turns += 1
            task.cancel()
            await asyncio.wait([task])
        closing = asyncio.create_task(writer.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = await pair.open()
            got = bytearray()
            while isinstance(item := await reader.read(), Chunk):
                got += item.data
            assert item == End(len(data))
            assert got == data
            await pair.handler.tasks[0]

    run(main())


def test_one_task_at_a_time_waits_on_a_stream(run: Run, socket_dir: Path) -> None:
    async def write(writer: AsyncWriter) -> None:
        await writer.close()

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = pair.client.open_reader()
            reader.start()
            with pytest.raises(UsageError, match="started already"):
                reader.start()
            first = asyncio.create_task(reader.read())
            await asyncio.sleep(0)
            with pytest.raises(UsageError, match="another task"):
                await reader.read()
            first.cancel()

    run(main())


def test_interrupting_a_read(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            reader = pair.client.open_reader()
            reader.start()
            read = asyncio.create_task(reader.read())
            await asyncio.sleep(0)
            reader.interrupt(StorageError("disk full"))
            with pytest.raises(StorageError):
                await read
            with pytest.raises(StorageError):
                await reader.read()

    run(main())


def test_with_manual_acknowledgement_the_writer_keeps_what_is_not_durable(run: Run, socket_dir: Path) -> None:
    async def write(writer: AsyncWriter) -> None:
        await writer.write(b"x" * 1000)
        await writer.close()

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:
            reader = await pair.open(manual_ack=True)
            (writer,) = pair.handler.writers
            assert isinstance(await reader.read(600), Chunk)
            assert await settled(lambda: writer.acknowledged) == 0
            with pytest.raises(UsageError):
                reader.acknowledge(601)
            reader.acknowledge(500)
            await until(lambda: writer.acknowledged == 500)
            await reader.read()
            assert await reader.read() == End(1000)
            assert not pair.handler.tasks[0].done()
            reader.acknowledge(1000)
            await pair.handler.tasks[0]

    run(main())


def test_an_output_sender_survives_cuts_and_its_readers_see_every_byte_once(run: Run, socket_dir: Path) -> None:
    data = pattern(6 * MIB)

    async def main() -> None:
        sender = OutputSender(RingBuffer(8 * MIB))
        sender.write(data)
        sender.finish()
        got = bytearray()
        ended = False
        cuts = 0
        while not ended:
            async with a_pair(socket_dir, sender=sender) as pair:
                reader = await pair.open("resume", start_offset=len(got), window_bytes=MIB)
                until_cut = len(got) + MIB
                while len(got) < until_cut and not ended:
                    item = await reader.read()
                    if isinstance(item, Chunk):
                        assert item.offset == len(got)
                        got += item.data
                    else:
                        assert item == End(len(data))
                        ended = True
                if not ended:
                    pair.client.wire.abort()
                    cuts += 1
                await until(lambda: not sender.connected)
        assert got == data
        assert cuts >= 5
        assert sender.done

    run(main())


def test_an_attached_sender_sends_what_is_written_later(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        sender = OutputSender()
        moved: list[int] = []
        async with a_pair(socket_dir) as pair:
            reader = pair.client.open_reader()
            sender.connect(reader.stream_id, 0, 0, 0.0)
            accepted = pair.handler.connection
            accepted.attach_sender(sender, lambda: moved.append(sender.acknowledged))
            reader.start()
            for count in range(3):
                sender.write(b"tick")
                accepted.sender_ready(reader.stream_id)
                assert await reader.read() == Chunk(count * 4, b"tick", 0)
            await until(lambda: sender.acknowledged == 12)
            assert moved[-1] == 12
        assert not sender.connected

    run(main())


def test_thousands_of_short_streams_leave_nothing(run: Run, socket_dir: Path) -> None:
    async def write(writer: AsyncWriter) -> None:
        await writer.write(b"x")
        await writer.close()

    async def main() -> None:
        async with a_pair(socket_dir, write) as pair:

            async def one_after_another(count: int) -> None:
                for _ in range(count):
                    items = await read_all(await pair.open())
                    assert items[-1] == End(1)

            await asyncio.gather(*(one_after_another(100) for _ in range(20)))
            accepted = pair.handler.connection
            await asyncio.gather(*pair.handler.tasks)
            await until(lambda: len(pair.client.core.broker) == len(accepted.core.broker) == 0)
            assert not pair.client._stream_wakers
            assert not accepted._stream_wakers

    run(main())
