"""One participant of a group, as a process of its own; run by the tests beside it with its part as JSON.

Says where it listens, is told its peers, sends and hears, reports what it was given in which order, and stays to
repair what others lack until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable
from typing import Any

from holdfast.engine.nats.bus import NatsBus
from holdfast.engine.nats.link.connection import connect
from holdfast.engine.nats.options import NatsOptions
from holdfast.errors import LimitExceeded
from holdfast.sync.group import Group, GroupMessage
from holdfast.sync.transports.base import Receive
from holdfast.sync.transports.bus import BusTransport
from holdfast.sync.transports.udp import Udp


def say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def hear_line() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


class Lossy(BusTransport):
    """A bus that loses what it should carry to us."""

    def __init__(self, bus: NatsBus, subject: str, drop: Callable[[bytes], bool]) -> None:
        super().__init__(bus, subject)
        self._drop = drop

    async def open(self, receive: Receive) -> None:
        await super().open(lambda message: None if self._drop(message) else receive(message))


class Party:
    """Counts what it has of whom; each message says what its sender had."""

    def __init__(self, part: dict[str, Any]) -> None:
        self.part = part
        self.has = dict.fromkeys(part["expect"], 0)
        self.trouble: list[str] = []
        chance = random.Random(part["seed"])
        self.drop: Callable[[bytes], bool] = lambda _: chance.random() < part["drop"]

    async def run(self) -> None:
        if "bus" in self.part:
            link = await connect(NatsOptions(**self.part["bus"]))
            bus = NatsBus(link)
            await bus.start()
            await self.talk(Lossy(bus, "groups.test", self.drop))
            bus.stop()
            await link.close()
        else:
            await self.talk(Udp(**self.part["transport"], drop=self.drop))

    async def talk(self, transport: Udp | Lossy) -> None:
        self.group = Group("test", me=self.part["me"], transport=transport)
        async with self.group:
            say({"address": ":".join(map(str, transport.address)) if isinstance(transport, Udp) else ""})
            peers = json.loads(await hear_line())
            if peers and isinstance(transport, Udp):
                transport.set_peers(peers)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.send())
                tasks.create_task(self.hear())
            await self.group.settle()
            status = self.group.status()
            say({"has": self.has, "trouble": self.trouble, "counts": status.counts._asdict(),
                 "state": status.channel.state, "transport": status.transport._asdict()})  # fmt: skip
            await hear_line()

    async def send(self) -> None:
        for number in range(self.part["send"]):
            content = json.dumps({"n": number, "seen": self.has}).encode().ljust(self.part.get("size", 0))
            while True:
                try:
                    await self.group.send(content)
                    break
                except LimitExceeded:  # too many on their way
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.001)

    async def hear(self) -> None:
        while self.has != self.part["expect"]:
            message = await self.group.receive()
            assert message is not None
            self.check(message)

    def check(self, message: GroupMessage) -> None:
        said = json.loads(message.content)
        if said["n"] != self.has[message.sender]:
            self.trouble.append(f"{message.sender}: {said['n']} after {self.has[message.sender]}")
        for sender, count in said["seen"].items():
            if sender != self.part["me"] and count > self.has[sender]:
                self.trouble.append(f"{message.sender} {said['n']} had {count} of {sender}, we have {self.has[sender]}")
        if message.lost:
            self.trouble.append(f"lost before {said['n']}: {message.lost}")
        self.has[message.sender] += 1


if __name__ == "__main__":
    asyncio.run(Party(json.loads(sys.argv[1])).run())
