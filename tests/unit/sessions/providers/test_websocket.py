"""A WebSocket feed that is subscribed to, dies, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from holdfast.clock import RealClock
from holdfast.errors import Unavailable, UsageError
from holdfast.limits import LIMITS
from holdfast.sessions.model import Message
from holdfast.sessions.providers.base import Context
from holdfast.sessions.providers.websocket import Naming, WebSocketProvider

Run = Callable[[Coroutine[Any, Any, Any]], Any]
QUICK = LIMITS._replace(reconnect_first_s=0.001, reconnect_last_s=0.01)


class Notes:
    """What of a sink is used here."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.gaps: list[tuple[str, str]] = []

    def messages(self, batch: Sequence[Message]) -> None:
        self.got += [(message.subject, message.payload) for message in batch]

    def gap(self, subject: str, reason: str) -> None:
        self.gaps.append((subject, reason))


class Exchange:
    """A feed of made-up prices: sends what is subscribed to, when a test says so."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        """What each connection sent."""
        self.headers: list[str | None] = []
        self.connections: list[ServerConnection] = []
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with serve(self._serve, "127.0.0.1", self.port) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.headers.append(connection.request.headers.get("Authorization"))
        asked: list[str] = []
        self.asked.append(asked)
        self.connections.append(connection)
        with contextlib.suppress(Exception):
            async for text in connection:
                asked.append(str(text))  # noqa: PERF401 - seen by the test while more comes

    async def send(self, value: Any) -> None:
        await self.connections[-1].send(value if isinstance(value, str | bytes) else json.dumps(value))

    def provider(self, **options: str) -> WebSocketProvider:
        return WebSocketProvider("feed", {"url": f"ws://127.0.0.1:{self.port}", **options}, Context(RealClock(), QUICK))


async def until(true: Callable[[], Any]) -> None:
    while not true():
        await asyncio.sleep(0.001)


def test_subscribed_cut_and_back(run: Run) -> None:
    async def main() -> None:
        exchange = Exchange()
        async with exchange.running():
            provider = exchange.provider(
                subscribe='{"op": "sub", "to": "{subject}"}',
                unsubscribe='{"op": "unsub", "to": "{subject}"}',
                always="heartbeat",
                subject="data.symbol",
                header="Authorization: Bearer secret",
            )
            await provider.start()
            one, everything = Notes(), Notes()
            stream = await provider.open("feed.btc.eur", one)  # type: ignore[arg-type]
            await provider.open("feed.>", everything)  # type: ignore[arg-type]
            await until(lambda: len(exchange.asked[0]) == 2)
            assert exchange.asked[0] == ['{"op": "sub", "to": "heartbeat"}', '{"op": "sub", "to": "btc.eur"}']
            assert exchange.headers == ["Bearer secret"]
            await exchange.send({"data": {"symbol": "btc.eur"}, "price": 1})
            await exchange.send({"other": True})
            await until(lambda: len(everything.got) == 2)
            assert [subject for subject, _ in one.got] == ["feed.btc.eur"]
            assert [subject for subject, _ in everything.got] == ["feed.btc.eur", "feed.messages"]
            exchange.connections[-1].transport.abort()
            await until(lambda: one.gaps and everything.gaps)
            assert [subject for subject, _ in one.gaps] == ["feed.btc.eur"]
            assert "is back" in one.gaps[0][1]
            await until(lambda: len(exchange.asked[1]) == 2)
            assert exchange.asked[1] == exchange.asked[0], "the same subscriptions, before anybody is told it is back"
            await exchange.send({"data": {"symbol": "btc.eur"}, "price": 2})
            await until(lambda: len(one.got) == 2)
            await stream.close()
            await until(lambda: exchange.asked[1][-1] == '{"op": "unsub", "to": "btc.eur"}')
            await exchange.send({"data": {"symbol": "btc.eur"}, "price": 3})
            await until(lambda: len(everything.got) == 4)
            assert len(one.got) == 2
            await provider.stop()

    run(main())


def test_while_it_is_away_nothing_new_can_be_followed(run: Run) -> None:
    async def main() -> None:
        exchange = Exchange()
        notes = Notes()
        async with exchange.running():
            provider = exchange.provider()
            await provider.start()
            await provider.open("feed.>", notes)  # type: ignore[arg-type]
        await until(lambda: provider._connection is None)
        with pytest.raises(Unavailable, match="is cut"):
            await provider.open("feed.x", notes)  # type: ignore[arg-type]
        async with exchange.running():
            await until(lambda: notes.gaps)
            await exchange.send(b"\x00binary")
            await until(lambda: notes.got)
            assert notes.got == [("feed.messages", b"\x00binary")]
            await provider.stop()

    run(main())


def test_nobody_there(run: Run) -> None:
    async def main() -> None:
        exchange = Exchange()
        async with exchange.running():
            pass
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            await exchange.provider().start()

    run(main())


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "options.url"),
        ({"url": "http://x"}, "options.url"),
        ({"url": "ws://x", "header": "no colon"}, "options.header"),
        ({"url": "ws://x", "sub": "y"}, "options.sub"),
    ],
)
def test_what_is_wrong_is_named(options: dict[str, str], field: str) -> None:
    with pytest.raises(UsageError) as caught:
        WebSocketProvider("feed", options, Context(RealClock(), LIMITS))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("path", "text", "subject"),
    [
        ("", '{"a": 1}', "f.messages"),
        ("a", '{"a": "x"}', "f.x"),
        ("a", '{"a": "x.y z"}', "f.x.y%20z"),
        ("a.1.b", '{"a": [0, {"b": 7}]}', "f.7"),
        ("a", '{"b": "x"}', "f.messages"),
        ("a", '{"a": true}', "f.messages"),
        ("a", '{"a": ""}', "f.messages"),
        ("a", '{"a": "..."}', "f.messages"),
        ("a", "[1]", "f.messages"),
        ("a", "no json", "f.messages"),
        ("a", '{"a": "' + "x" * 300 + '"}', "f.messages"),
        ("a", '{"a": "*"}', "f.%2A"),
    ],
)
def test_the_subject_of_a_message(path: str, text: str, subject: str) -> None:
    assert Naming("f", path).subject_of(text) == subject
