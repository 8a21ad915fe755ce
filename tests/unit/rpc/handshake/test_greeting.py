"""The handshake on a connection: what opens it, what is told of a refusal, and nothing else before it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from holdfast.errors import HoldfastError, PermissionDenied, ProtocolError, Unauthenticated
from holdfast.rpc.bodies import JsonCodec
from holdfast.rpc.events import ClosedByPeer, Failed, Opened
from holdfast.rpc.frames import PREAMBLE, FrameReader, FrameType, encode_frame
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.rpc.handshake.job_link import JobLinkKeeper, JobLinkNode
from holdfast.rpc.states import Link, State

if TYPE_CHECKING:
    from tests.unit.rpc.conftest import MakePair, Pair

JOB = "0123456789ab"
SECRET = bytes(range(32))


def fixed(byte: int) -> Callable[[int], bytes]:
    return lambda size: bytes([byte]) * size


def node(job: str = JOB, secret: bytes = SECRET) -> JobLinkNode:
    return JobLinkNode(job, secret, fixed(1))


def keeper() -> JobLinkKeeper:
    return JobLinkKeeper(JOB, SECRET, fixed(2))


def links(pair: Pair) -> tuple[Link, Link]:
    return pair.client.link, pair.server.link


def test_a_local_connection_opens(make_pair: MakePair) -> None:
    pair = make_pair(LocalClient(), LocalOwner(7, 7), client_features=["b", "a"], server_features=["a", "c"])
    assert links(pair) == (Link.CONNECTING, Link.CONNECTING)
    pair.settle()
    opened = Opened("local:7", frozenset("a"), (1, 0))
    assert pair.take() == ([opened], [opened])
    assert pair.client.identity == pair.server.identity == "local:7"
    assert pair.client.features == {"a"} and pair.client.version == (1, 0)
    assert links(pair) == (Link.OPEN, Link.OPEN)


def test_a_local_connection_opens_in_one_round_trip(make_pair: MakePair) -> None:
    pair = make_pair(LocalClient(), LocalOwner(7, 7))
    pair.settle()
    assert (len(pair.to_server), len(pair.to_client)) == (1, 1)


def test_an_accepting_end_says_nothing_unasked(keeper_pair: Pair) -> None:
    assert keeper_pair.server.data_to_send(1 << 20, keeper_pair.now) == []


def test_a_job_link_opens_and_the_secret_never_travels(keeper_pair: Pair) -> None:
    keeper_pair.settle()
    opened = Opened(f"node:{JOB}", frozenset(), (1, 0))
    assert keeper_pair.take() == ([opened], [opened])
    sent = b"".join(keeper_pair.to_server + keeper_pair.to_client)
    assert SECRET not in sent and SECRET.hex().encode() not in sent


def refusal(pair: Pair) -> tuple[HoldfastError | None, HoldfastError | None]:
    """Why the client, and why the server, did not open."""
    pair.settle()
    client, server = pair.take()
    assert links(pair) == (Link.CLOSED, Link.CLOSED)
    assert pair.client.finished and pair.server.finished
    (client_end,), (server_end,) = client, server
    assert isinstance(client_end, ClosedByPeer | Failed) and isinstance(server_end, ClosedByPeer | Failed)
    return client_end.error, server_end.error


def test_another_user_is_told_so(make_pair: MakePair) -> None:
    at_client, at_server = refusal(make_pair(LocalClient(), LocalOwner(7, 8)))
    assert isinstance(at_client, PermissionDenied) and isinstance(at_server, PermissionDenied)


def test_the_wrong_job_is_told_so(make_pair: MakePair) -> None:
    at_client, at_server = refusal(make_pair(node(job="other"), keeper()))
    assert isinstance(at_client, Unauthenticated) and isinstance(at_server, Unauthenticated)
    assert "another job" in at_client.message


def test_the_wrong_secret_fails_at_the_node_first(make_pair: MakePair) -> None:
    at_client, at_server = refusal(make_pair(node(secret=bytes(32)), keeper()))
    assert isinstance(at_client, Unauthenticated) and isinstance(at_server, Unauthenticated)


def test_ready_from_a_keeper_that_proved_nothing(keeper_pair: Pair) -> None:
    hello = {"versions": {"min": [1, 0], "max": [1, 0]}, "features": [], "agent": "liar/1", "role": "server"}
    ready = {"identity": "node:x", "version": [1, 0], "features": []}
    encode = JsonCodec().encode
    lie = PREAMBLE + encode_frame(FrameType.HELLO, 0, encode(hello)) + encode_frame(FrameType.READY, 0, encode(ready))
    (event,) = keeper_pair.client.receive_bytes(lie, keeper_pair.now)
    assert isinstance(event, Failed) and isinstance(event.error, Unauthenticated)
    assert keeper_pair.client.link is Link.CLOSED


BEFORE_OPEN = sorted(set(FrameType) - {FrameType.HELLO, FrameType.AUTH, FrameType.READY, FrameType.GOODBYE})


@pytest.mark.parametrize("frame_type", BEFORE_OPEN)
@pytest.mark.parametrize("greeted", [True, False])
def test_nothing_but_the_handshake_before_both_succeeded(
    keeper_pair: Pair, frame_type: FrameType, greeted: bool
) -> None:
    if greeted:
        dialed = b"".join(keeper_pair.client.data_to_send(1 << 20, keeper_pair.now))
        assert keeper_pair.server.receive_bytes(dialed, keeper_pair.now) == []
    else:
        keeper_pair.server.receive_bytes(PREAMBLE, keeper_pair.now)
    server = keeper_pair.server
    (event,) = server.receive_bytes(encode_frame(frame_type, 1, bytes(24)), keeper_pair.now)
    assert isinstance(event, Failed) and isinstance(event.error, ProtocolError)
    assert event.error.reason == "not-open" and frame_type.name in event.error.message
    said = b"".join(server.data_to_send(1 << 20, keeper_pair.now))
    frames = list(FrameReader(1 << 20).frames(said))
    assert frames[-1].type == FrameType.GOODBYE and server.state is State.CLOSED


def test_optional_frames_are_ignored_even_before(keeper_pair: Pair) -> None:
    keeper_pair.server.receive_bytes(PREAMBLE + encode_frame(0x80, 0, b"?"), keeper_pair.now)
    assert keeper_pair.server.link is Link.CONNECTING


def test_a_handshake_has_its_time(make_pair: MakePair) -> None:
    pair = make_pair(LocalClient(), LocalOwner(7, 7))
    pair.advance(10.0, exchange=False)
    for events in pair.take():
        (event,) = events
        assert isinstance(event, Failed) and "handshake: no answer within 10 s" in event.error.message
    assert pair.client.state is State.CLOSING
