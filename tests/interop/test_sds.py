"""Groups as others know them: ``@waku/sds`` from npm as a party, in virtual time, over a network that loses things."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.simulation.world import World
from holdfast.sync.events import Event, MessageAcknowledged, MessageReady, RepairReady
from holdfast.sync.model import HistoryEntry, Message
from holdfast.sync.peer import SyncPeer
from holdfast.sync.profiles import INTEROP
from holdfast.sync.transports.memory import MemoryNetwork, MemoryTransport
from holdfast.sync.wire import Wire
from holdfast.sync.wire.bloom import Bloom, shape, signed_hashes

GROUP = "ops"
HORIZON_S = 3_600.0
"""Virtual: their timers are minutes."""


class Bridge:
    """The other implementation, in a process of its own; see ``sds/bridge.mjs``."""

    def __init__(self, project: Path) -> None:
        self._process = subprocess.Popen(
            ["node", "bridge.mjs"], cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, op: str, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"op": op, **request}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def bridge(sds_project: Path) -> Iterator[Bridge]:
    made = Bridge(sds_project)
    yield made
    made.close()


class Ours:
    """One of our participants, in a simulated world."""

    def __init__(self, name: str, world: World, network: MemoryNetwork) -> None:
        self.name = name
        self.world = world
        self.events: list[Event] = []
        self.peer = SyncPeer(name, profile=INTEROP, wall_offset_s=world.clock.wall() - world.now(), persistent=False)
        self.peer.ensure(GROUP, world.now())
        self.transport = network.transport(name)
        self.transport.connect(self.receive)
        self._due = float("inf")

    def send(self, content: bytes) -> None:
        data = self.peer.wrap(GROUP, content, self.world.now())
        self._after()
        self.transport.send(data)

    def receive(self, data: bytes) -> None:
        self.peer.unwrap(data, self.world.now())
        self._after()

    def _tick(self) -> None:
        self._due = float("inf")
        self.peer.handle_timer(self.world.now())
        self._after()

    def _after(self) -> None:
        self.events += self.peer.events()
        for packet in self.peer.packets():
            self.transport.send(packet.data)
        deadline = self.peer.next_deadline()
        if deadline is not None and deadline < self._due:
            self._due = max(deadline, self.world.now())
            self.world.at(self._due, self._tick)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def log(self) -> list[str]:
        return [message.message_id for message in self.peer.log(GROUP)]


class Theirs:
    """The other implementation's participant in the same world; swept, synced and resent as its users are told to."""

    def __init__(self, name: str, world: World, network: MemoryNetwork, bridge: Bridge) -> None:
        self.name = name
        self.world = world
        self.bridge = bridge
        self.events: list[tuple[str, list[str]]] = []
        self.transport = network.transport(name)
        self.transport.connect(self.receive)
        self.do("open", group=GROUP, me=name)
        self._every(5.0, "sweep")
        self._every(30.0, "sync")
        self._every(60.0, "resend")

    def receive(self, data: bytes) -> None:
        self.do("receive", message=b64encode(data).decode())

    def _every(self, seconds: float, op: str) -> None:
        def again() -> None:
            self.do(op)
            self.world.after(seconds, again)

        self.world.after(seconds, again)

    def do(self, op: str, **request: Any) -> dict[str, Any]:
        self.bridge.ask("time", now_ms=int(self.world.clock.wall() * 1000))
        answer = self.bridge.ask(op, **request)
        self.events += [(name, ids) for name, ids in answer["events"]]
        assert not [ids for name, ids in self.events if name == "error"]
        for message in answer["out"]:
            self.transport.send(b64decode(message))
        return answer

    def send(self, content: bytes) -> None:
        self.do("send", content=b64encode(content).decode())

    def of(self, name: str) -> list[str]:
        return [each for kind, ids in self.events if kind == name for each in ids]

    def state(self) -> dict[str, Any]:
        return self.bridge.ask("state")


class Trio:
    """Two of ours and one of theirs.  ``fate`` decides what each copy comes to."""

    def __init__(self, bridge: Bridge, fate: Callable[[MemoryTransport, MemoryTransport, bytes], list[float]]) -> None:
        self.world = World(7)
        network = MemoryNetwork(call_later=self.world.after, fate=fate)
        self.alice = Ours("alice", self.world, network)
        self.bob = Ours("bob", self.world, network)
        self.carol = Theirs("carol", self.world, network, bridge)
        self.parties: tuple[Ours | Theirs, ...] = (self.alice, self.bob, self.carol)
        self._look_at = 0.0

    def run_until(self, done: Callable[[], bool]) -> None:
        """Look every few virtual seconds whether it is done; asking the other process each step would be slow."""
        while not done():
            self._look_at += 10.0
            assert self._look_at < HORIZON_S, "no convergence"
            assert self.world.run(lambda: self.world.now() >= self._look_at)


def lossy(random: Random, loss: float) -> Callable[..., list[float]]:
    def fate(*_: object) -> list[float]:
        return [] if random.random() < loss else [random.uniform(0.001, 0.05)]

    return fate


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_group_of_two_of_ours_and_one_of_theirs_converges_though_messages_are_lost(bridge: Bridge, seed: int) -> None:
    random = Random(seed)
    trio = Trio(bridge, lossy(random, 0.3))
    sent = 0
    for number in range(30):
        party = trio.parties[number % 3]
        trio.world.at(random.uniform(0.0, 120.0), party.send, f"{party.name} {number}".encode())
        sent += 1

    def done() -> bool:
        theirs = trio.carol.state()
        return (
            len(trio.alice.log) == len(trio.bob.log) == len(theirs["history"]) == sent
            and not theirs["unacknowledged"]
            and trio.alice.peer.status(GROUP).outgoing == trio.bob.peer.status(GROUP).outgoing == 0
        )

    trio.run_until(done)
    assert trio.alice.log == trio.bob.log == trio.carol.state()["history"]
    for ours in (trio.alice, trio.bob):
        delivered = [event.message_id for event in ours.of(MessageReady)]
        assert len(delivered) == len(set(delivered)) == 20
        assert len(ours.of(MessageAcknowledged)) == 10
        assert all(not event.lost for event in ours.of(MessageReady))
    assert len(set(trio.carol.of("acknowledged"))) == 10
    contents = {b64decode(content).decode() for content in trio.carol.state()["contents"]}
    assert len(contents) == sent


def test_they_repair_what_we_miss(bridge: Bridge) -> None:
    """Bob never hears alice; what he misses, only carol can give him."""
    trio = Trio(bridge, lambda sender, receiver, _: [] if {sender.name, receiver.name} == {"alice", "bob"} else [0.01])
    trio.world.at(1.0, trio.alice.send, b"question")
    trio.world.at(2.0, trio.carol.send, b"answer")
    trio.run_until(lambda: len(trio.bob.of(MessageReady)) == 2)
    assert [event.content for event in trio.bob.of(MessageReady)] == [b"question", b"answer"]
    question = trio.alice.log[0]
    assert question in trio.carol.of("repair_request_received")
    assert question in trio.carol.of("repaired")


def test_we_repair_what_they_miss(bridge: Bridge) -> None:
    """Carol never hears alice; what she misses, only bob can give her."""
    trio = Trio(
        bridge, lambda sender, receiver, _: [] if {sender.name, receiver.name} == {"alice", "carol"} else [0.01]
    )
    trio.world.at(1.0, trio.alice.send, b"question")
    trio.world.at(2.0, trio.bob.send, b"answer")
    trio.run_until(lambda: len(trio.carol.state()["history"]) == 2)
    question = trio.alice.log[0]
    assert trio.carol.state()["history"] == trio.bob.log
    assert question in trio.carol.of("repair_requested")
    assert question in [event.message_id for event in trio.bob.of(RepairReady)]


# bytes


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
entries = st.builds(HistoryEntry, texts, st.binary(max_size=8), st.text(max_size=5))
# Their encoder writes whatever was in memory for a timestamp of 2^28 to 2^32 - 1: January and February 1970.
times = st.integers(1, (1 << 28) - 1) | st.integers(1 << 32, (1 << 63) - 1)
contents = st.binary(min_size=1, max_size=40)
messages = st.builds(
    Message,
    texts,
    texts,
    times,
    contents | st.just(b""),
    texts,
    st.lists(entries, max_size=3).map(tuple),
    st.binary(max_size=16),
    st.lists(entries, max_size=3).map(tuple),
) | st.builds(Message, texts, texts, st.none(), contents, texts)


def fields_of(message: Message) -> dict[str, Any]:
    """As the bridge shows them."""

    def optional(data: bytes) -> str | None:
        return b64encode(data).decode() if data else None

    def shown(entry: HistoryEntry) -> dict[str, Any]:
        return {
            "message_id": entry.message_id,
            "retrieval_hint": optional(entry.retrieval_hint),
            "sender_id": entry.sender_id or None,
        }

    kinds = {"content": "ContentMessage", "sync": "SyncMessage", "ephemeral": "EphemeralMessage"}
    return {
        "kind": kinds[message.kind],
        "sender_id": message.sender_id,
        "message_id": message.message_id,
        "channel_id": message.channel,
        "lamport_timestamp": None if message.lamport is None else str(message.lamport),
        "causal_history": [shown(entry) for entry in message.causal],
        "bloom_filter": optional(message.bloom),
        "repair_request": [shown(entry) for entry in message.repairs],
        "content": optional(message.content),
    }


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(message=messages)
def test_bytes_are_equal_fields_in_both_directions(bridge: Bridge, message: Message) -> None:
    wire, fields = Wire("spec"), fields_of(message)
    ours = wire.encode(message)
    assert bridge.ask("decode", message=b64encode(ours).decode())["fields"] == fields
    theirs = b64decode(bridge.ask("encode", fields=fields)["message"])
    assert wire.decode(theirs).message == message
    assert theirs == ours


# filters


def test_filters_have_equal_bits_for_ten_thousand_ids(bridge: Bridge) -> None:
    random = Random(3)
    ids = [
        random.choice((f"m{number}", random.randbytes(32).hex(), f"ü{number}€", f"{number}\N{GRINNING FACE}"))
        for number in range(10_000)
    ]
    filter_ = Bloom("spec", shape(INTEROP.bloom_capacity, INTEROP.bloom_error_rate), INTEROP.bloom_error_rate)
    for message_id in ids:
        filter_.add(signed_hashes(message_id))
    theirs = b64decode(bridge.ask("bloom", ids=ids)["filter"])
    assert filter_.wire() == theirs
    assert len(theirs) == 18_752


def test_they_find_in_our_filter_what_we_put_there(bridge: Bridge) -> None:
    filter_ = Bloom("spec", shape(INTEROP.bloom_capacity, INTEROP.bloom_error_rate), INTEROP.bloom_error_rate)
    ids = [f"m{number}" for number in range(300)]
    for message_id in ids[:200]:
        filter_.add(signed_hashes(message_id))
    found = bridge.ask("lookup", filter=b64encode(filter_.wire()).decode(), ids=ids)["found"]
    assert set(ids[:200]) <= set(found)
    assert len(found) < 205
