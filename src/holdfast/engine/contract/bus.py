"""The bus: at most once, in order, bounded, with patterns and replies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...errors import ClosedError, DeadlineExceeded, LimitExceeded, Unavailable, UsageError
from ...limits import LIMITS
from ..base import BusMessage, BusSubscription, Engine
from .support import EngineFactory, scenario, step


async def take(subscription: BusSubscription, count: int) -> list[BusMessage]:
    """The next ``count`` messages."""
    messages: list[BusMessage] = []
    while len(messages) < count:
        messages += await subscription.receive()
    assert len(messages) == count
    return messages


class BusContract:
    """What a bus does."""

    @scenario
    async def test_published_and_received(self, engine: Engine) -> None:
        subscription = await engine.bus.subscribe("news.eu")
        await engine.bus.publish("news.eu", b"one")
        await engine.bus.publish("news.us", b"not this")
        await engine.bus.publish("news.eu", b"", reply="here")
        assert await anext(subscription) == BusMessage("news.eu", b"one")
        assert await subscription.receive() == [BusMessage("news.eu", b"", "here")]

    @scenario
    async def test_nobody_listens(self, engine: Engine) -> None:
        await engine.bus.publish("news.eu", b"before")
        subscription = await engine.bus.subscribe("news.>")
        await engine.bus.publish("news.eu", b"after")
        assert [message.data for message in await take(subscription, 1)] == [b"after"]

    @scenario
    async def test_patterns(self, engine: Engine) -> None:
        patterns = ("a.b", "a.*", "*.b", "a.>", ">", "a.b.>", "*", "a.*.c", "*.*")
        subscriptions = {pattern: await engine.bus.subscribe(pattern) for pattern in patterns}
        for subject in ("a", "a.b", "a.c", "a.b.c", "b.b"):
            await engine.bus.publish(subject, subject.encode())
        await engine.bus.publish("end.of.it.all", b"end")
        got = {}
        for pattern, subscription in subscriptions.items():
            await engine.bus.publish(pattern.replace("*", "x").replace(">", "x.x"), b"last")
            messages: list[bytes] = []
            while not messages or messages[-1] != b"last":
                messages += [message.data for message in await subscription.receive()]
            got[pattern] = [data for data in messages if data not in (b"last", b"end")]
        assert got == {
            "a.b": [b"a.b"],
            "a.*": [b"a.b", b"a.c"],
            "*.b": [b"a.b", b"b.b"],
            "a.>": [b"a.b", b"a.c", b"a.b.c"],
            ">": [b"a", b"a.b", b"a.c", b"a.b.c", b"b.b"],
            "a.b.>": [b"a.b.c"],
            "*": [b"a"],
            "a.*.c": [b"a.b.c"],
            "*.*": [b"a.b", b"a.c", b"b.b"],
        }

    @scenario
    async def test_each_publisher_in_its_order(self, engine: Engine) -> None:
        subscription = await engine.bus.subscribe("from.*")

        async def publish(number: int) -> None:
            for count in range(50):
                await engine.bus.publish(f"from.{number}", b"%d" % count)
                await asyncio.sleep(0)

        await asyncio.gather(*map(publish, range(4)))
        messages = await take(subscription, 200)
        for number in range(4):
            own = [int(message.data) for message in messages if message.subject == f"from.{number}"]
            assert own == list(range(50))

    @scenario
    async def test_a_slow_subscriber_loses_the_oldest_and_nobody_else_does(self, engine: Engine) -> None:
        slow = await engine.bus.subscribe("s", messages_max=3)
        small = await engine.bus.subscribe("s", bytes_max=2_000)
        other = await engine.bus.subscribe("s")
        for count in range(10):
            await engine.bus.publish("s", b"%d" % count * 500)
        assert len(await take(other, 10)) == 10
        kept = [message.data[:1] for message in await slow.receive()]
        assert kept == [b"7", b"8", b"9"]
        assert slow.dropped == 7
        kept = [message.data[:1] for message in await small.receive()]
        assert kept[-1] == b"9"
        assert 0 < len(kept) < 5
        assert small.dropped == 10 - len(kept)
        assert other.dropped == 0

    @scenario
    async def test_closing(self, engine: Engine) -> None:
        subscription = await engine.bus.subscribe("s")
        await engine.bus.publish("s", b"dropped")
        await subscription.close()
        await subscription.close()
        await engine.bus.publish("s", b"late")
        assert await subscription.receive() == []
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)
        waiting = await engine.bus.subscribe("s")
        task = asyncio.create_task(waiting.receive())
        await asyncio.sleep(0)
        await waiting.close()
        assert await task == []

    @scenario
    async def test_a_cancelled_wait_loses_nothing(self, engine: Engine) -> None:
        subscription = await engine.bus.subscribe("s")
        for make in (subscription.receive, lambda: step(subscription)):
            task: asyncio.Task[Any] = asyncio.create_task(make())
            await asyncio.sleep(0)
            await engine.bus.publish("s", b"one")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await engine.bus.publish("s", b"two")
            assert [message.data for message in await take(subscription, 2)] == [b"one", b"two"]

    @scenario
    async def test_request_and_reply(self, engine: Engine) -> None:
        service = await engine.bus.subscribe("add")

        async def serve() -> None:
            async for message in service:
                await engine.bus.publish(message.reply, b"%d" % sum(map(int, message.data.split())))
                await engine.bus.publish(message.reply, b"a second answer is nobody's")

        server = asyncio.create_task(serve())
        answers = await asyncio.gather(
            *(engine.bus.request("add", b"%d 1" % number, timeout_s=60.0) for number in range(20))
        )
        assert [int(answer.data) for answer in answers] == list(range(1, 21))
        await service.close()
        await server

    @scenario
    async def test_requests_nobody_answers(self, engine: Engine) -> None:
        with pytest.raises(Unavailable, match="nobody"):
            await engine.bus.request("add", b"", timeout_s=60.0)
        silent = await engine.bus.subscribe("add")
        with pytest.raises(DeadlineExceeded) as caught:
            await engine.bus.request("add", b"1", timeout_s=0.01)
        assert caught.value.phase == "request"
        assert (await anext(silent)).data == b"1"

    @scenario
    async def test_what_cannot_be(self, engine: Engine) -> None:
        text: Any = "text"
        for subject in ("", "a..b", ".a", "a.", "a b", "a.*", ">", "a\n"):
            with pytest.raises(UsageError, match="subject"):
                await engine.bus.publish(subject, b"")
        for pattern in ("", "a..b", "a.>.b", "a*", "a.b>", "a\tb", "a" * (LIMITS.subject_length_max + 1)):
            with pytest.raises(UsageError, match="pattern"):
                await engine.bus.subscribe(pattern)
        with pytest.raises(UsageError, match="data"):
            await engine.bus.publish("a", text)
        with pytest.raises(UsageError, match="reply"):
            await engine.bus.publish("a", b"", reply="*")
        with pytest.raises(UsageError, match="messages_max"):
            await engine.bus.subscribe("a", messages_max=-1)
        with pytest.raises(LimitExceeded, match="bus_message_bytes_max"):
            await engine.bus.publish("a", bytes(LIMITS.bus_message_bytes_max + 1))

    def test_the_end_of_the_engine(self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory()
            with pytest.raises(ClosedError):
                await engine.bus.publish("s", b"")
            await engine.start()
            bus = engine.bus
            subscription = await bus.subscribe("s")
            task = asyncio.create_task(subscription.receive())
            await asyncio.sleep(0)
            await engine.stop()
            with pytest.raises(ClosedError):
                await task
            with pytest.raises(ClosedError):
                await bus.publish("s", b"")
            with pytest.raises(ClosedError):
                await bus.subscribe("s")

        asyncio.run(main())
