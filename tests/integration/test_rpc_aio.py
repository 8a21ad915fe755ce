"""AsyncConnection over real unix sockets: calls, events, cancellation, deadlines, cuts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import (
    BusyError,
    ClosedError,
    DeadlineExceeded,
    DisconnectedError,
    InternalError,
    LimitExceeded,
    NotFound,
    Unavailable,
    UsageError,
)
from holdfast.limits import LIMITS, Limits
from holdfast.rpc.aio import AsyncConnection, dial_unix
from holdfast.rpc.events import EventReceived, Reply, RequestReceived
from holdfast.rpc.handshake import LocalClient, LocalOwner
from holdfast.rpc.server import Server, serve_unix

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class EchoHandler:
    """Answers a few methods; remembers what became of the ones that wait."""

    def __init__(self, connection: AsyncConnection | None = None) -> None:
        self.connection = connection
        self.waiting = asyncio.Event()
        self.release = asyncio.Event()
        self.ended: list[str] = []
        self.closed_times = 0

    async def handle(self, request: RequestReceived) -> Reply:
        if request.method == "echo":
            return Reply(request.params, request.attachment)
        if request.method == "wait":
            return await self._wait()
        if request.method == "busy":
            raise BusyError("taken", holder="me")
        if request.method == "bug":
            raise RuntimeError("secret")
        if request.method == "unsendable":
            return Reply(object())
        if request.method == "push":
            assert self.connection is not None
            for index in range(request.params["count"]):
                self.connection.emit(request.number, "tick", index, b"x")
            self.connection.emit(0, "tock", None)
            return Reply("pushed")
        raise NotFound(kind="method", name=request.method)

    def closed(self) -> None:
        self.closed_times += 1

    async def _wait(self) -> Reply:
        self.waiting.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # tidying up takes a turn
            self.ended.append("cancelled")
            raise
        self.ended.append("released")
        return Reply("released")


@asynccontextmanager
async def a_pair(
    directory: Path, limits: Limits = LIMITS
) -> AsyncIterator[tuple[AsyncConnection, EchoHandler, Server]]:
    """A client, the handler that answers it, and the server."""
    handlers: list[EchoHandler] = []

    def make_handler(connection: AsyncConnection) -> EchoHandler:
        handlers.append(EchoHandler(connection))
        return handlers[-1]

    path = str(directory / "s")
    async with await serve_unix(
        path, make_authenticator=lambda uid: LocalOwner(os.getuid(), uid), make_handler=make_handler, limits=limits
    ) as server:
        async with await dial_unix(path, LocalClient(), limits=limits) as client:
            yield client, handlers[-1], server


def test_a_call_and_its_answer(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as (client, _, _):
            assert str(client.link) == "open"
            assert client.identity == f"local:{os.getuid()}"
            assert await client.call("echo", {"a": [1, "ü", None]}, b"\x00raw") == ({"a": [1, "ü", None]}, b"\x00raw")
        assert str(client.link) == "closed"

    run_on_both(main())
