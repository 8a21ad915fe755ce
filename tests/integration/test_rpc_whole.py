"""Bodies too large for a request, from both clients: whole or refused, and nothing of them is left."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from holdfast.errors import LimitExceeded, UsageError
from holdfast.limits import LIMITS, MIB
from holdfast.rpc.aio import whole
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.aio.server import serve_unix
from holdfast.rpc.blocking.connection import BlockingConnection
from holdfast.rpc.blocking.whole import send_whole
from holdfast.rpc.commands import Commands, invoke
from holdfast.rpc.dispatch import Dispatcher
from holdfast.rpc.events import Reply, RequestReceived
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner

Run = Callable[[Coroutine[Any, Any, Any]], Any]

MOST = 4 * MIB
BODY = bytes(range(256)) * (3 * MIB // 256)


class DeskApi(Protocol):
    async def keep(self, place: str, stream: int, size_bytes: int, note: str = "") -> int:
        """Keep a body; how many there are."""
        ...


COMMANDS = Commands("desk", DeskApi)


class Desk:
    """One connection's: keeps what it takes, in ``kept`` of all connections."""

    def __init__(self, connection: AsyncConnection, kept: list[tuple[str, bytes, str]]) -> None:
        self.connection = connection
        self._kept = kept
        self._dispatcher = Dispatcher()
        self._dispatcher.add(COMMANDS, self)

    async def keep(self, place: str, stream: int, size_bytes: int, note: str = "") -> int:
        if size_bytes > MOST:
            raise LimitExceeded(name="most", limit=MOST, value=size_bytes)
        body = await whole.take_whole(self.connection, stream, size_bytes, LIMITS.viewer_window_bytes)
        self._kept.append((place, body, note))
        return len(self._kept)

    async def handle(self, request: RequestReceived) -> Reply:
        return await self._dispatcher.handle(request)

    def closed(self) -> None:
        """Nothing to close."""


class Office:
    """A server at ``path``, and what came to it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.kept: list[tuple[str, bytes, str]] = []
        self.desks: list[Desk] = []

    def make_desk(self, connection: AsyncConnection) -> Desk:
        self.desks.append(Desk(connection, self.kept))
        return self.desks[-1]

    async def rest(self) -> None:
        """Wait until no stream is left here."""
        while any(len(desk.connection.core.broker) for desk in self.desks):
            await asyncio.sleep(0)


@asynccontextmanager
async def an_office(directory: Path) -> AsyncIterator[Office]:
    office = Office(str(directory / "s"))
    async with await serve_unix(
        office.path,
        make_authenticator=lambda uid: LocalOwner(os.getuid(), uid),
        make_handler=office.make_desk,
    ):
        yield office


def test_a_body_larger_than_a_frame_arrives_whole(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with an_office(socket_dir) as office, await dial_unix(office.path, LocalClient()) as client:
            assert await whole.send_whole(client, BODY, DeskApi.keep, "shelf", "mind it") == 1
            assert await whole.send_whole(client, b"", DeskApi.keep, "shelf") == 2
            assert office.kept == [("shelf", BODY, "mind it"), ("shelf", b"", "")]
            assert not len(client.core.broker)
            await office.rest()

    run_on_both(main())


def test_one_that_is_refused_or_given_up_leaves_nothing(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with an_office(socket_dir) as office, await dial_unix(office.path, LocalClient()) as client:
            with pytest.raises(LimitExceeded, match="most"):
                await whole.send_whole(client, bytes(MOST + 1), DeskApi.keep, "shelf")
            assert not len(client.core.broker)
            sending = asyncio.create_task(whole.send_whole(client, BODY, DeskApi.keep, "shelf"))
            while not len(client.core.broker):
                await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert not len(client.core.broker)
            await office.rest()
            assert office.kept == []
            assert await whole.send_whole(client, BODY, DeskApi.keep, "shelf") == 1

    run(main())


@pytest.mark.parametrize("said", [9, 11])
def test_one_that_is_not_of_the_size_that_was_said_is_refused(run: Run, socket_dir: Path, said: int) -> None:
    async def main() -> None:
        async with an_office(socket_dir) as office, await dial_unix(office.path, LocalClient()) as client:
            writer = client.open_writer()
            call = asyncio.create_task(invoke(client, DeskApi.keep, "shelf", writer.stream_id, said))
            await writer.write(bytes(10))
            closing = asyncio.create_task(writer.close())
            with pytest.raises(UsageError, match=f"stream: it does not hold {said} bytes"):
                await call
            await asyncio.wait([closing])
            closing.exception()  # the reader may have left
            assert office.kept == []

    run(main())


def test_the_blocking_client_sends_it_too_and_tells_how_far_it_is(run: Run, socket_dir: Path) -> None:
    told: list[int] = []

    def send(path: str) -> None:
        with BlockingConnection.dial_unix(path, LocalClient()) as connection:
            assert send_whole(connection, BODY, told.append, DeskApi.keep, "shelf", note="mind it") == 1
            with pytest.raises(LimitExceeded, match="most"):
                send_whole(connection, bytes(MOST + 1), None, DeskApi.keep, "shelf")
            assert send_whole(connection, b"x", None, DeskApi.keep, "shelf") == 2

    async def main() -> None:
        async with an_office(socket_dir) as office:
            await asyncio.to_thread(send, office.path)
            assert office.kept == [("shelf", BODY, "mind it"), ("shelf", b"x", "")]

    run(main())
    assert told == sorted(told)
    assert 0 < told[-1] <= len(BODY)
