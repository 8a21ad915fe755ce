from __future__ import annotations

import asyncio

import pytest

from holdfast.engine.bus import LocalBus
from holdfast.errors import ClosedError, LimitExceeded, UsageError
from holdfast.limits import LIMITS
from holdfast.sync.group import Group
from holdfast.sync.transports.bus import BusTransport


def test_a_group_over_a_bus() -> None:
    async def main() -> None:
        bus = LocalBus()
        async with (
            Group("ops", me="alice", transport=BusTransport(bus, "groups.ops")) as alice,
            Group("ops", me="bob", transport=BusTransport(bus, "groups.ops")) as bob,
            Group("other", me="carol", transport=BusTransport(bus, "groups.other")) as carol,
        ):
            for number in range(20):
                await alice.send(f"{number}".encode())
            got = [(await anext(bob)).text for _ in range(20)]
            assert got == [str(number) for number in range(20)]
            assert carol.status().transport.messages_received == 0
            assert alice.status().counts.duplicates == 0
            assert alice.status().transport.messages_sent >= 20

    asyncio.run(main())


def test_a_bus_that_stops_is_silence_and_closing_leaves_no_task() -> None:
    async def main() -> None:
        bus = LocalBus()
        transport = BusTransport(bus, "groups.ops")
        transport.send(b"nobody is there yet")
        assert transport.stats.dropped == 1
        await transport.open(lambda message: None)
        bus.stop()
        transport.send(b"x")
        for _ in range(10):
            await asyncio.sleep(0)
        assert transport.stats.dropped == 2
        await transport.close()
        await transport.close()
        assert len(asyncio.all_tasks()) == 1
        with pytest.raises(ClosedError):
            await transport.open(lambda message: None)

    asyncio.run(main())


def test_the_largest_message_there_may_be_goes_over_a_bus_in_parts() -> None:
    async def main() -> None:
        bus = LocalBus()
        async with (
            Group("ops", me="alice", transport=BusTransport(bus, "groups.ops")) as alice,
            Group("ops", me="bob", transport=BusTransport(bus, "groups.ops")) as bob,
        ):
            largest = bytes(LIMITS.group_content_bytes_max)
            await alice.send(largest)
            assert (await anext(bob)).content == largest
            assert bob.status().transport.datagrams_received == 2
            await bob.send(b"noise is none")
            await bus.publish("groups.ops", b"noise")
            assert (await anext(alice)).text == "noise is none"
            while not alice.status().transport.malformed:
                await asyncio.sleep(0)

    asyncio.run(main())


def test_what_the_bus_would_not_take_is_named() -> None:
    async def main() -> None:
        transport = BusTransport(LocalBus(), "groups.ops")
        with pytest.raises(LimitExceeded, match="group_wire_bytes_max"):
            transport.send(bytes(LIMITS.group_wire_bytes_max + 1))
        with pytest.raises(UsageError):
            await BusTransport(LocalBus(), "no good").open(lambda message: None)

    asyncio.run(main())
