from __future__ import annotations

import asyncio

from holdfast.simulation.world import World
from holdfast.sync.transports.memory import MemoryNetwork


def test_all_others_hear_and_the_sender_does_not() -> None:
    async def main() -> None:
        network = MemoryNetwork()
        first, second, third = (network.transport(name) for name in "abc")
        heard: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
        for transport in (first, second, third):
            await transport.open(heard[transport.name].append)
        first.send(b"one")
        await asyncio.sleep(0)
        assert heard == {"a": [], "b": [], "c": []}
        await asyncio.sleep(0.001)
        assert heard == {"a": [], "b": [b"one"], "c": [b"one"]}
        assert first.stats.messages_sent == second.stats.messages_received == 1
        first.send(b"two")
        await second.close()
        await asyncio.sleep(0.001)
        assert heard["b"] == [b"one"]
        assert heard["c"] == [b"one", b"two"]

    asyncio.run(main())


def test_fate_loses_repeats_and_delays() -> None:
    world = World()
    network = MemoryNetwork(call_later=world.after, fate=lambda sender, receiver, message: (3.0, 1.0)[: len(message)])
    sender, receiver = network.transport("a"), network.transport("b")
    heard: list[tuple[float, bytes]] = []
    sender.connect(lambda message: None)
    receiver.connect(lambda message: heard.append((world.now(), message)))
    for message in (b"", b"x", b"yy"):
        sender.send(message)
    world.run(lambda: False)
    assert heard == [(1.0, b"yy"), (3.0, b"x"), (3.0, b"yy")]
