"""The bus between nodes on a real NATS server: who hears whom, and what happens when the server goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import nats
import pytest

from holdfast.engine.base import BusMessage
from holdfast.engine.nats.bus import NatsBus
from holdfast.engine.nats.link.connection import connect
from holdfast.engine.nats.options import NatsOptions
from holdfast.errors import ClosedError, DeadlineExceeded, LimitExceeded, Unavailable
from holdfast.natsbox import NatsServer


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer.temporary() as made:
        yield made


class Host:
    """A node's bus."""

    def __init__(self, bus: NatsBus, back: asyncio.Event) -> None:
        self.bus = bus
        self.back = back
        """Set when the connection was made again."""


@asynccontextmanager
async def host(server: NatsServer, prefix: str = "bus") -> AsyncIterator[Host]:
    link = await connect(NatsOptions(url=server.url, prefix=prefix))
    try:
        bus = NatsBus(link)
        await bus.start()
        back = asyncio.Event()
        link.on_reconnected.append(back.set)
        yield Host(bus, back)
        bus.stop()
    finally:
        await link.close()


async def until_refused(ask: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Until it is known that the server has gone."""
    while True:
        try:
            await ask()
        except Unavailable:
            return
        await asyncio.sleep(0)


def test_hosts_of_a_deployment_hear_each_other_and_no_others(server: NatsServer) -> None:
    async def main() -> None:
        async with host(server) as one, host(server) as two, host(server, "another") as stranger:
            here = await two.bus.subscribe("jobs.*.state")
            there = await stranger.bus.subscribe(">")
            await one.bus.publish("jobs.4x7.state", b"running", reply="answers.here")
            assert await anext(here) == BusMessage("jobs.4x7.state", b"running", "answers.here")
            await stranger.bus.publish("end", b"")
            assert (await anext(there)).subject == "end"
            await there.close()
            with pytest.raises(Unavailable, match="nobody"):
                await stranger.bus.request("jobs.4x7.state", b"", timeout_s=60.0)

    asyncio.run(main())


def test_a_question_is_answered_by_another_host(server: NatsServer) -> None:
    async def main() -> None:
        async with host(server) as one, host(server) as two:
            questions = await two.bus.subscribe("add")

            async def serve() -> None:
                async for message in questions:
                    await two.bus.publish(message.reply, b"%d" % sum(map(int, message.data.split())))

            serving = asyncio.create_task(serve())
            answers = await asyncio.gather(
                *(one.bus.request("add", b"%d 1" % number, timeout_s=60.0) for number in range(100))
            )
            assert [int(answer.data) for answer in answers] == list(range(1, 101))
            await questions.close()
            await serving
            await two.bus.subscribe("other")  # the server has heard of both then
            with pytest.raises(Unavailable, match="nobody"):
                await one.bus.request("add", b"", timeout_s=60.0)

    asyncio.run(main())


def test_subscriptions_of_one_pattern_come_and_go_by_themselves(server: NatsServer) -> None:
    async def main() -> None:
        async with host(server) as one, host(server) as two:
            first, second = await asyncio.gather(one.bus.subscribe("s"), one.bus.subscribe("s"))
            await two.bus.publish("s", b"both")
            assert [(await anext(each)).data for each in (first, second)] == [b"both"] * 2
            await first.close()
            await two.bus.publish("s", b"one")
            assert (await anext(second)).data == b"one"
            await second.close()
            third = await one.bus.subscribe("s")
            await two.bus.publish("s", b"again")
            assert (await anext(third)).data == b"again"
            gone = asyncio.create_task(one.bus.subscribe("s"))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            await two.bus.publish("s", b"still")
            assert (await anext(third)).data == b"still"

    asyncio.run(main())


def test_programs_that_are_no_node_of_ours_can_take_part(server: NatsServer) -> None:
    """What they want to have answered outside of the bus cannot be."""

    async def main() -> None:
        async with host(server) as one, await nats.connect(server.url) as client:
            heard = await client.subscribe("bus.bus.news.>")
            await client.flush()
            hearing = await one.bus.subscribe("news.>")
            await one.bus.publish("news.eu", b"from us")
            assert (await heard.next_msg(60.0)).data == b"from us"
            assert (await anext(hearing)).data == b"from us"
            await client.publish("bus.bus.news.us", b"from them", reply="_INBOX.theirs")
            assert await anext(hearing) == BusMessage("news.us", b"from them", "")

    asyncio.run(main())


def test_a_server_that_dies_and_comes_back() -> None:
    async def main(server: NatsServer) -> None:
        async with host(server) as one, host(server) as two:
            hearing = await two.bus.subscribe("news.>")
            silent = await two.bus.subscribe("silent")
            question = asyncio.create_task(one.bus.request("silent", b"?", timeout_s=1.0))
            assert (await anext(silent)).data == b"?"
            server.kill()
            await until_refused(lambda: one.bus.publish("news.eu", b"lost"))
            with pytest.raises(Unavailable, match="not connected"):
                await one.bus.request("silent", b"?", timeout_s=60.0)
            with pytest.raises(DeadlineExceeded):
                await question
            subscribing = asyncio.create_task(one.bus.subscribe("late"))
            await asyncio.sleep(0)
            server.start()
            late = await subscribing
            await asyncio.gather(one.back.wait(), two.back.wait())
            await one.bus.publish("news.eu", b"kept")
            while (message := await anext(hearing)).data != b"kept":
                assert message.data == b"lost", "what was on its way may come"
            await two.bus.publish("late", b"in force")
            assert (await anext(late)).data == b"in force"

    with NatsServer.temporary() as server:
        asyncio.run(main(server))


def test_the_servers_own_limit_is_named() -> None:
    async def main(server: NatsServer) -> None:
        async with host(server) as one:
            hearing = await one.bus.subscribe("s")
            await one.bus.publish("s", bytes(4096))
            assert len((await anext(hearing)).data) == 4096
            for ask in (one.bus.publish("s", bytes(4097)), one.bus.request("s", bytes(4097), timeout_s=60.0)):
                with pytest.raises(LimitExceeded, match="max_payload = 4096") as caught:
                    await ask
                assert (caught.value.name, caught.value.limit, caught.value.value) == ("max_payload", 4096, 4097)

    with NatsServer.temporary(max_payload=4096) as server:
        asyncio.run(main(server))


def test_the_end_lets_go_of_everybody(server: NatsServer) -> None:
    async def main() -> None:
        async with host(server) as one:
            hearing, _ = await asyncio.gather(one.bus.subscribe("s"), one.bus.subscribe("silent"))
            waits: list[asyncio.Task[Any]] = [
                asyncio.create_task(hearing.receive()),
                asyncio.create_task(one.bus.request("silent", b"", timeout_s=60.0)),
                asyncio.create_task(one.bus.subscribe("other")),
            ]
            await asyncio.sleep(0)
            one.bus.stop()
            results = await asyncio.gather(*waits, return_exceptions=True)
            assert [type(result) for result in results] == [ClosedError] * 3

    asyncio.run(main())
