"""A store on a real socket that does with each item of a stream whatever a test wants."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from holdfast.client.aio import Node, connect
from holdfast.errors import ClosedError, DisconnectedError, HoldfastError, NotFound
from holdfast.records.cid import cid_of_digest
from holdfast.records.wire import ERROR, EXISTED, OK, BatchDecoder, encode_batch, zstd
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.server import Server, serve_unix
from holdfast.rpc.events import Reply, RequestReceived
from holdfast.rpc.failures import encode_error, encode_failure
from holdfast.rpc.handshake.authenticators import LocalOwner
from holdfast.streams import Chunk


@dataclass
class OddStore:
    """Keeps records, and does what ``on_item`` says before it answers one."""

    records: dict[str, bytes] = field(default_factory=dict)
    on_item: Callable[[OddStore, int, bytes], Awaitable[HoldfastError | None]] | None = None
    """Gives the item's error, raises the stream's, or cuts links."""
    compression: bool = True
    received: list[int] = field(default_factory=list)
    """Indexes as they came, over all streams."""
    opened: int = 0
    open: int = 0
    """Streams that are being served now."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """For items that are held up; set at the end."""
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    """No stream is being served."""
    server: Server | None = None

    def cut(self) -> None:
        """Break all links, as a node that is killed does."""
        assert self.server is not None
        for connection in self.server.connections:
            connection.wire.abort()

    async def serve(self, service: OddService, kind: str, requests: int, answers: int, *, zstandard: bool) -> None:
        """One stream to its end."""
        self.opened += 1
        self.open += 1
        self.quiet.clear()
        compressor = zstd() if zstandard else None
        reader = service.connection.open_reader(requests)
        writer = service.connection.open_writer(answers)
        reader.start()
        decoder = BatchDecoder(compressor)
        try:
            while isinstance(item := await reader.read(), Chunk):
                decoder.feed(item.data)
                for batch in decoder:
                    done = [await self.do(kind, *one) for one in zip(batch.indexes, batch.bodies, strict=True)]
                    size = 1 if sum(len(body) for _, body in done) > 1 << 20 else len(done)
                    for first in range(0, len(done), size):
                        part = done[first : first + size]
                        statuses, bodies = bytes(status for status, _ in part), [body for _, body in part]
                        indexes = batch.indexes[first : first + size]
                        await writer.write(encode_batch(indexes, bodies, statuses, compressor))
            await writer.close()
        except (DisconnectedError, ClosedError):
            pass
        except HoldfastError as error:
            await writer.fail(encode_failure(error))
        finally:
            reader.close()
            writer.finish()
            self.open -= 1
            if not self.open:
                self.quiet.set()

    async def do(self, kind: str, index: int, body: bytes) -> tuple[int, bytes]:
        """One item."""
        self.received.append(index)
        error = None if self.on_item is None else await self.on_item(self, index, body)
        if error is not None:
            return ERROR, encode_error(error)
        if kind == "push":
            cid = cid_of_digest(sha256(body).digest())
            existed = cid in self.records
            self.records[cid] = body
            return EXISTED if existed else OK, cid.encode()
        found = self.records.get(body.decode())
        if found is None:
            return ERROR, encode_error(NotFound(kind="record", name=body.decode()))
        if kind == "lookup":
            return OK, json.dumps({"cid": body.decode(), "size_bytes": len(found)}).encode()
        if kind == "delete":
            del self.records[body.decode()]
        return OK, found if kind == "pull" else b""


class OddService:
    """What one connection calls."""

    def __init__(self, store: OddStore, connection: AsyncConnection) -> None:
        self.store = store
        self.connection = connection
        self.tasks: list[asyncio.Task[None]] = []

    async def handle(self, request: RequestReceived) -> Reply:
        kind, params = request.method.removeprefix("records."), request.params
        assert kind in ("push", "pull", "lookup", "delete")
        zstandard = self.store.compression and params.get("compression") == "zstd"
        serving = self.store.serve(self, kind, params["requests"], params["answers"], zstandard=zstandard)
        self.tasks.append(asyncio.create_task(serving))
        start = {"compression": "zstd" if zstandard else "", "batch_items_max": 100, "batch_bytes_max": 1 << 20}
        return Reply(start)

    def closed(self) -> None:
        """Streams end by themselves."""


@asynccontextmanager
async def odd_node(directory: Path, store: OddStore) -> AsyncIterator[Node]:
    """A client of ``store``; all streams have ended when it is left."""
    path = str(directory / "node.sock")
    services: list[OddService] = []

    def make_handler(connection: AsyncConnection) -> OddService:
        services.append(OddService(store, connection))
        return services[-1]

    store.server = await serve_unix(
        path, make_authenticator=lambda uid: LocalOwner(os.getuid(), uid), make_handler=make_handler
    )
    try:
        async with connect(f"unix://{path}", autostart=False, reconnect_s=5.0) as node:
            yield node
    finally:
        store.release.set()
        await store.server.close()
        for service in services:
            await asyncio.gather(*service.tasks)


@pytest.fixture
def store() -> OddStore:
    return OddStore()
