"""Version skew: recorded bytes of release 1.0, and of a 1.1 that does not exist yet, against today's code.

``golden/session_*.txt`` hold what a node (``>``) and a keeper (``<``) said, in hex, a line per write.  A recording is
never made again: jobs started by the release that made it may still be running.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from holdfast.errors import ProtocolError, VersionMismatch
from holdfast.rpc.bodies import JsonCodec
from holdfast.rpc.connection import Connection
from holdfast.rpc.events import (
    ClosedByPeer,
    Event,
    EventReceived,
    Failed,
    Opened,
    RequestReceived,
    ResponseReceived,
    StreamReadable,
    StreamWritable,
)
from holdfast.rpc.frames import PREAMBLE, FrameType, encode_frame
from holdfast.rpc.handshake import hello
from holdfast.rpc.handshake.authenticators import LocalClient
from holdfast.rpc.handshake.hello import Hello, common_version, our_hello, parse_hello, parse_ready
from holdfast.rpc.handshake.job_link import JobLinkKeeper, JobLinkNode
from holdfast.rpc.states import Link, Role
from holdfast.streams.reader import Chunk, End, Item, Reader
from holdfast.streams.writer import Writer

if TYPE_CHECKING:
    from tests.unit.rpc.conftest import Pair

GOLDEN = Path(__file__).parent.parent / "golden"
JOB = "0123456789ab"
SECRET = bytes(range(32))
HELLO = {"job": JOB, "total": 6, "exit": None}


def fixed(byte: int) -> Callable[[int], bytes]:
    return lambda size: bytes([byte]) * size


class Turn(NamedTuple):
    """What one side said in one go."""

    by_node: bool
    data: bytes


def recording(name: str) -> list[Turn]:
    lines = (GOLDEN / f"session_{name}.txt").read_text().splitlines()
    return [Turn(line[0] == ">", bytes.fromhex(line[1:])) for line in lines if line[:1] in {">", "<"}]


class Keeper:
    """Today's keeper end, as far as the recorded session needs it."""

    def __init__(self) -> None:
        self.core = Connection(Role.SERVER, JobLinkKeeper(JOB, SECRET, fixed(2)), now=0.0, features=["exited"])
        self.events: list[Event] = []

    def receive(self, data: bytes) -> bytes:
        for event in self.core.receive_bytes(data, 0.0):
            self.events.append(event)
            if isinstance(event, RequestReceived):
                self._answer(event)
        return sent_by(self.core)

    def _answer(self, request: RequestReceived) -> None:
        if request.method == "keeper.hello":
            self.core.respond(request.number, HELLO)
        elif request.method == "keeper.output":
            writer = Writer(request.params["stream"])
            writer.write(b"hello\n")
            writer.close()
            self.core.broker.add_sender(writer)
            self.core.respond(request.number, {"start_offset": 0, "total": 6})
            self.core.emit(0, "exited", {"exit_code": 0})
        else:
            assert len(self.core.broker) == 0, "the release must not overtake the last acknowledgement"
            self.core.respond(request.number, {})


class Node:
    """Today's node end of the same session."""

    def __init__(self) -> None:
        self.core = Connection(Role.CLIENT, JobLinkNode(JOB, SECRET, fixed(1)), now=0.0, features=["exited"])
        self.events: list[Event] = []
        self.items: list[Item] = []
        self.reader = Reader(1)

    def receive(self, data: bytes) -> bytes:
        for event in self.core.receive_bytes(data, 0.0):
            self.events.append(event)
            if isinstance(event, Opened):
                self.core.call("keeper.hello", {}, now=0.0)
            elif isinstance(event, ResponseReceived):
                self._go_on(event.number)
            elif isinstance(event, StreamReadable):
                self._read()
        return sent_by(self.core)

    def _go_on(self, answered: int) -> None:
        if answered == 1:
            self.core.call("keeper.output", {"stream": 1, "from_offset": 0}, now=0.0)
        elif answered == 2:
            self.reader.start()
            self.core.broker.add_reader(self.reader)
        else:
            self.core.goodbye()

    def _read(self) -> None:
        while item := self.reader.read():
            self.items.append(item)
        self.core.broker.ready(1)
        if isinstance(self.items[-1], End):
            self.core.call("keeper.release", {}, now=0.0)


def sent_by(core: Connection) -> bytes:
    out = b""
    while buffers := core.data_to_send(1 << 20, 0.0):
        out += b"".join(buffers)
    return out


def record() -> str:
    """Today's session as a recording; how the golden ones were made."""
    node, keeper = Node(), Keeper()
    lines, said, by_node = [], sent_by(node.core), True
    while said:
        lines.append(f"{'>' if by_node else '<'} {said.hex()}")
        said = keeper.receive(said) if by_node else node.receive(said)
        by_node = not by_node
    return "\n".join(lines) + "\n"


VERSIONS = ["1_0", "1_1"]


@pytest.mark.parametrize("name", VERSIONS)
def test_a_keeper_of_today_serves_a_node_of(name: str) -> None:
    keeper = Keeper()
    for turn in recording(name):
        if turn.by_node:
            keeper.receive(turn.data)
    identity = f"node:{JOB}"
    moved = StreamWritable(1)
    assert moved in keeper.events
    opened, asked, output, release, goodbye = (event for event in keeper.events if event != moved)
    assert opened == Opened(identity, frozenset({"exited"}), (1, 0))
    assert isinstance(asked, RequestReceived) and asked.method == "keeper.hello"
    assert isinstance(output, RequestReceived) and output.params["stream"] == 1
    assert isinstance(release, RequestReceived) and release.method == "keeper.release"
    assert goodbye == ClosedByPeer(None, 0.0)
    assert len(keeper.core.broker) == 0


@pytest.mark.parametrize("name", VERSIONS)
def test_a_node_of_today_adopts_a_keeper_of(name: str) -> None:
    node = Node()
    for turn in recording(name):
        if not turn.by_node:
            node.receive(turn.data)
    assert node.items == [Chunk(0, b"hello\n", 0), End(6)]
    assert node.events[0] == Opened(f"node:{JOB}", frozenset({"exited"}), (1, 0))
    assert any(isinstance(e, ResponseReceived) and e.result["job"] == JOB for e in node.events[1:2])
    assert any(isinstance(e, EventReceived) and e.name == "exited" for e in node.events)
    assert node.core.link is Link.CLOSED and not any(isinstance(e, Failed) for e in node.events)


def test_the_recording_of_1_0_is_what_todays_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when a release changes its bytes: then keep this recording and add one beside it."""
    monkeypatch.setattr(hello, "AGENT", "holdfast/0.1.0")
    assert record() == (GOLDEN / "session_1_0.txt").read_text()


def hello_of(low: tuple[int, int], high: tuple[int, int]) -> Hello:
    return Hello(low, high, frozenset(), "x", "client")


@pytest.mark.parametrize(
    ("ours", "theirs", "common"),
    [
        (((1, 0), (1, 0)), ((1, 0), (1, 0)), (1, 0)),
        (((1, 0), (1, 0)), ((1, 0), (1, 1)), (1, 0)),
        (((1, 0), (1, 1)), ((1, 0), (1, 0)), (1, 0)),
        (((1, 0), (2, 1)), ((1, 3), (2, 0)), (2, 0)),
        (((1, 0), (1, 0)), ((1, 1), (1, 2)), None),
        (((2, 0), (2, 0)), ((1, 0), (1, 9)), None),
        (((1, 0), (1, 0)), ((1, 1), (1, 0)), None),
    ],
)
def test_the_highest_common_version_is_chosen(
    ours: tuple[tuple[int, int], tuple[int, int]],
    theirs: tuple[tuple[int, int], tuple[int, int]],
    common: tuple[int, int] | None,
) -> None:
    for one, other in ((hello_of(*ours), hello_of(*theirs)), (hello_of(*theirs), hello_of(*ours))):
        if common is None:
            with pytest.raises(VersionMismatch, match="no common protocol version"):
                common_version(one, other)
        else:
            assert common_version(one, other) == common


def greet(keeper_pair: Pair, body: dict[str, object]) -> list[Event]:
    data = PREAMBLE + encode_frame(FrameType.HELLO, 0, JsonCodec().encode(body))
    return keeper_pair.server.receive_bytes(data, keeper_pair.now)


OURS = our_hello("client", []).body()


def test_a_peer_of_the_future_is_told_which_versions_we_speak(keeper_pair: Pair) -> None:
    (event,) = greet(keeper_pair, OURS | {"versions": {"min": [2, 0], "max": [2, 4]}})
    assert isinstance(event, Failed) and isinstance(event.error, VersionMismatch)
    said = sent_by(keeper_pair.server)
    assert b'"versions":{"min":[1,0],"max":[1,0]}' in said and b'"code":"version_mismatch"' in said


@pytest.mark.parametrize(
    "broken",
    [
        {"versions": None},
        {"versions": {"min": [1, 0]}},
        {"versions": {"min": [1], "max": [1, 0]}},
        {"versions": {"min": [1, 0], "max": [1, "0"]}},
        {"versions": {"min": [1, 0], "max": [1, True]}},
        {"versions": {"min": [1, -1], "max": [1, 0]}},
        {"features": "all"},
        {"features": [1]},
        {"features": ["x"] * 257},
        {"agent": 1},
        {"role": None},
    ],
)
def test_malformed_greetings(keeper_pair: Pair, broken: dict[str, object]) -> None:
    (event,) = greet(keeper_pair, OURS | broken)
    assert isinstance(event, Failed) and isinstance(event.error, ProtocolError)
    assert event.error.reason == "malformed"


def test_two_dialing_ends_do_not_talk(keeper_pair: Pair) -> None:
    (event,) = greet(keeper_pair, OURS | {"role": "server"})
    assert isinstance(event, Failed) and isinstance(event.error, ProtocolError)
    assert event.error.reason == "wrong-state" and "both ends are server" in event.error.message


def test_a_greeting_may_leave_out_what_it_does_not_have() -> None:
    short = parse_hello({"versions": {"min": [1, 0], "max": [1, 0]}})
    assert (short.agent, short.role, short.features) == ("", "", frozenset())


@pytest.mark.parametrize("body", [{}, {"identity": 1, "version": [1, 0]}, {"identity": "x", "version": "1.0"}])
def test_malformed_ready(body: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        parse_ready(body)


def test_ready_must_choose_the_version_both_agreed_on() -> None:
    client = Connection(Role.CLIENT, LocalClient(), now=0.0)
    encode = JsonCodec().encode
    greeting = encode_frame(FrameType.HELLO, 0, encode(our_hello("server", []).body()))
    ready = encode_frame(FrameType.READY, 0, encode({"identity": "x", "version": [1, 7], "features": []}))
    (event,) = client.receive_bytes(PREAMBLE + greeting + ready, 0.0)
    assert isinstance(event, Failed) and "version (1, 7) was chosen" in event.error.message


def test_ready_is_not_for_a_dialing_end_to_say(keeper_pair: Pair) -> None:
    assert greet(keeper_pair, OURS) == []
    (event,) = keeper_pair.server.receive_bytes(encode_frame(FrameType.READY, 0, b"{}"), keeper_pair.now)
    assert isinstance(event, Failed) and isinstance(event.error, ProtocolError)
    assert event.error.reason == "wrong-state"
