"""An HTTP door over a memory engine in the test's own loop with a client that sees every byte; and a real node's."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

import pytest

from holdfast.clock import RealClock
from holdfast.durable.store import Mounts
from holdfast.durable.streams import DurableStreams
from holdfast.engine.memory import MemoryEngine
from holdfast.http.app import make_app
from holdfast.http.door import HttpDoor
from holdfast.http.gate import OpenGate
from holdfast.http.guard import Guard
from holdfast.http.live import Lasting
from holdfast.http.metrics import Figure, Metrics
from holdfast.http.settings import HttpSettings
from holdfast.http.streams import StreamEndpoint
from holdfast.limits import LIMITS, Limits
from holdfast.testing import NodeBox

STREAMS = "/v1/stream/"


class Answer(NamedTuple):
    """A status, headers by their names in small letters, and a body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def offset(self) -> str:
        return self.headers["stream-next-offset"]

    @property
    def problem(self) -> dict[str, Any]:
        """The error it tells of."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class Client:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        lines = {"Host": "localhost", "Content-Length": str(len(body)), **(headers or {})}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.writer.write(head.encode() + b"\r\n" + body)
        await self.writer.drain()

    async def head(self) -> Answer:
        """The next answer's status and headers."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = text.strip().split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return Answer(int(status.split()[1]), {name.lower(): value for name, _, value in pairs}, b"")

    async def answer(self, *, bodiless: bool = False) -> Answer:
        """The next answer."""
        answer = await self.head()
        if bodiless or answer.status in (204, 304):
            return answer
        if answer.headers.get("transfer-encoding") == "chunked":
            body = b"".join([chunk async for chunk in self.chunks()])
        else:
            body = await self.reader.readexactly(int(answer.headers["content-length"]))
        return answer._replace(body=body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a chunked body, to its proper end."""
        while True:
            size = int(await self.reader.readline(), 16)
            data = await self.reader.readexactly(size)
            await self.reader.readexactly(2)
            if not size:
                return
            yield data

    async def events(self) -> AsyncIterator[tuple[str, str]]:
        """The events of an event stream, to its proper end."""
        async for chunk in self.chunks():
            for block in chunk.decode().split("\n\n"):
                lines = [line for line in block.split("\n") if line and not line.startswith(":")]
                if lines:
                    yield (
                        lines[0].partition(":")[2].strip(),
                        "\n".join(line[5:] for line in lines if line.startswith("data:")),
                    )

    async def close(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)

    def abort(self) -> None:
        """Leave without a word."""
        self.writer.transport.abort()


async def _no_figures() -> AsyncIterator[Figure]:
    none: tuple[Figure, ...] = ()
    for figure in none:
        yield figure


class Site:
    """A door, and what is behind it."""

    def __init__(self, limits: Limits, guard: Guard) -> None:
        self.limits = limits
        self.engine = MemoryEngine()
        self.lasting = Lasting()
        self._guard = guard
        self.streams: DurableStreams
        self.door: HttpDoor

    async def open(self) -> Self:
        clock = RealClock()
        await self.engine.start()
        self.streams = DurableStreams(self.engine, clock=clock, limits=self.limits)
        await self.streams.open()
        mounts = Mounts(self.streams, ("jobs", "channels"))
        endpoint = StreamEndpoint(mounts, OpenGate(), self.lasting, clock=clock, limits=self.limits)
        app = make_app(
            streams=endpoint, guard=self._guard, gate=OpenGate(), probe=self.engine.probe, metrics=Metrics(_no_figures)
        )
        settings = HttpSettings("127.0.0.1", 0)
        self.door = HttpDoor(app, settings, self.lasting, clock=clock, limits=self.limits)
        await self.door.open()
        return self

    async def close(self) -> None:
        await self.door.close()
        await self.streams.close()
        await self.engine.stop()

    async def connect(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.door.port))

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """One request on a connection of its own; ``path`` below the streams, unless it begins with a slash."""
        client = await self.connect()
        try:
            await client.send(method, path if path.startswith("/") else STREAMS + path, headers, body)
            return await client.answer(bodiless=method == "HEAD")
        finally:
            await client.close()

    async def make(self, path: str, content_type: str = "text/plain", body: bytes = b"", **headers: str) -> Answer:
        """A new stream."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.ask("PUT", path, {"Content-Type": content_type, **named}, body)
        assert answer.status == 201, answer
        return answer

    async def add(self, path: str, body: bytes, content_type: str = "text/plain", **headers: str) -> Answer:
        """An append."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("POST", path, {"Content-Type": content_type, **named}, body)


@asynccontextmanager
async def site(limits: Limits = LIMITS, guard: Guard | None = None) -> AsyncIterator[Site]:
    """A door that is open for as long as the block lasts."""
    made = await Site(limits, guard or Guard()).open()
    try:
        yield made
    finally:
        await made.close()


class Got(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_ASKER = urllib.request.build_opener(_NoRedirect)


class Web:
    """A node with an HTTP door, asked with one token or another."""

    def __init__(self, box: NodeBox, *options: str) -> None:
        self.box = box
        self.options = ("--http", "127.0.0.1:0", *options)
        self.start()

    def start(self) -> None:
        self.box.start_node(*self.options)
        self.url = self.box.listening("http")

    def mint(self, *scopes: str, more: tuple[str, ...] = ()) -> str:
        wanted = [part for scope in scopes for part in ("--scope", scope)]
        return self.box.run("token", "mint", "--sub", "ann", *wanted, *more).stdout.decode().strip()

    def ask(self, method: str, path: str, token: str = "", body: bytes | None = None, **headers: str) -> Got:
        request = urllib.request.Request(self.url + path, method=method, data=body)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with _ASKER.open(request, timeout=30) as answer:
                return Got(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Got(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


@pytest.fixture
def make_web(box: NodeBox) -> Callable[..., Web]:
    return lambda *options: Web(box, *options)


def code(got: Got) -> str:
    return str(json.loads(got.body)["code"])


def audited(box: NodeBox) -> list[dict[str, Any]]:
    lines = (box.state_dir / "audit.log").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "denied"]
