"""Three peers keep one log over a network that loses 40 % of everything; one of them dies and comes back.

No node is needed: this is ``holdfast.sync`` as a library.  The network is in memory here; ``sync.Udp`` is one between
machines.  Run it with ``python examples/group_over_a_bad_network.py``.
"""

from __future__ import annotations

import asyncio
import random
import tempfile

from holdfast import sync
from holdfast.engine.sqlite import SqliteEngine

LOSS = 0.4
EACH = 30
PEERS = ("alice", "bob", "carol")
PROFILE = sync.LAN.replaced(resend_s=0.3, sync_s=0.2, repair_again_s=0.2)


async def main() -> None:
    """Send, lose, leave, come back, agree."""
    something = asyncio.Event()
    dice = random.Random(7)  # noqa: S311 - the same losses each time
    network = sync.MemoryNetwork(fate=lambda *_: () if dice.random() < LOSS else (0.005,))

    with tempfile.TemporaryDirectory() as directory:
        engine = SqliteEngine(directory)
        await engine.start()

        def join(name: str) -> sync.Group:
            store = sync.EnginePersistence(engine, space=name)
            transport = network.transport(name)
            return sync.Group(
                "ops",
                me=name,
                transport=transport,
                persistence=store,
                profile=PROFILE,
                on_event=lambda _: something.set(),
            )

        groups = {name: join(name) for name in PEERS}
        for group in groups.values():
            await group.open()

        for number in range(EACH):
            for name in PEERS:
                await groups[name].send(f"{name} {number}".encode())
            if number == EACH // 2:
                print("carol leaves, and comes back with what she had stored")
                await groups["carol"].close()
                groups["carol"] = join("carol")
                await groups["carol"].open()

        while not all(len(group.log()) == len(PEERS) * EACH for group in groups.values()):
            something.clear()
            await something.wait()

        logs = [[message.content for message in group.log()] for group in groups.values()]
        for name, group in groups.items():
            print(f"{name}: {len(group.log())} messages, {group.status().channel.state}")
            await group.close()
        assert logs[0] == logs[1] == logs[2]
        print(f"three logs of {len(logs[0])} messages, all in the same order")
        await engine.stop()


if __name__ == "__main__":
    asyncio.run(main())
