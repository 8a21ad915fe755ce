"""Proving who is there: by uid, by a job's secret; every refusal, and nothing but the handshake before it is done."""

from __future__ import annotations

import hashlib
import hmac
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import HoldfastError, PermissionDenied, ProtocolError, Unauthenticated
from holdfast.rpc import proofs
from holdfast.rpc.codec import JsonCodec
from holdfast.rpc.events import ClosedByPeer, Failed, Opened
from holdfast.rpc.frames import PREAMBLE, FrameReader, FrameType, encode_frame
from holdfast.rpc.handshake import (
    Authenticator,
    BearerClient,
    BearerVerifier,
    JobLinkKeeper,
    JobLinkNode,
    LocalClient,
    LocalOwner,
    OneOf,
)
from holdfast.rpc.states import Link, State

if TYPE_CHECKING:
    from tests.unit.rpc.conftest import MakePair, Pair

JOB = "0123456789ab"
SECRET = bytes(range(32))
NONCE = "ab" * 32


def fixed(byte: int) -> Callable[[int], bytes]:
    return lambda size: bytes([byte]) * size


def node(job: str = JOB, secret: bytes = SECRET) -> JobLinkNode:
    return JobLinkNode(job, secret, fixed(1))


def keeper() -> JobLinkKeeper:
    return JobLinkKeeper(JOB, SECRET, fixed(2))


class Friend(NamedTuple):
    name: str


def verify(token: str) -> Friend:
    if token != "good":
        raise Unauthenticated("not a good token")
    return Friend("friend")


def prove(dialing: Authenticator, accepting: Authenticator) -> None:
    """Pass bodies back and forth until nobody has more to say."""
    said = dialing.first()
    assert accepting.first() is None
    while said is not None:
        answer = accepting.receive(said)
        said = None if answer is None else dialing.receive(answer)


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_our_hmac_is_the_standard_one(key: bytes, message: bytes) -> None:
    assert proofs.hmac_sha256(key, message) == hmac.digest(key, message, "sha256")


def test_without_a_builtin_sha256_hashlib_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_sha2", "_sha256"):
        monkeypatch.setitem(sys.modules, name, None)
    assert proofs._find_sha256() is hashlib.sha256
    monkeypatch.setitem(sys.modules, "hashlib", None)
    with pytest.raises(ImportError):
        proofs._find_sha256()


def test_proofs_are_compared_whole() -> None:
    assert proofs.same(b"ab", b"ab") and not proofs.same(b"ab", b"ac") and not proofs.same(b"ab", b"abc")


def test_the_owner_is_let_in() -> None:
    owner = LocalOwner(1000, 1000)
    prove(LocalClient(), owner)
    assert owner.proven and owner.identity == "local:1000"


@pytest.mark.parametrize(("peer_uid", "says"), [(1001, "user 1001"), (0, "user 0"), (None, "does not say")])
def test_another_user_is_not(peer_uid: int | None, says: str) -> None:
    owner = LocalOwner(1000, peer_uid)
    with pytest.raises(PermissionDenied, match=says):
        prove(LocalClient(), owner)
    assert not owner.proven and owner.identity == ""


def test_a_local_client_is_never_asked() -> None:
    with pytest.raises(ProtocolError):
        LocalClient().receive({"challenge": 1})


def test_both_ends_of_a_job_link_prove_the_secret() -> None:
    dialing, accepting = node(), keeper()
    prove(dialing, accepting)
    assert dialing.proven and accepting.proven
    assert (dialing.identity, accepting.identity) == ("", f"node:{JOB}")


def test_a_keeper_of_another_job() -> None:
    accepting = keeper()
    with pytest.raises(Unauthenticated, match="another job"):
        prove(node(job="zzzzzzzzzzzz"), accepting)
    assert not accepting.proven


def test_a_node_refuses_a_keeper_without_the_secret() -> None:
    dialing, accepting = node(secret=bytes(32)), keeper()
    with pytest.raises(Unauthenticated, match="the keeper does not know the secret"):
        prove(dialing, accepting)
    assert not dialing.proven and not accepting.proven


def test_a_keeper_refuses_a_node_without_the_secret() -> None:
    accepting = keeper()
    first = node().first()
    assert first is not None
    accepting.receive(first)
    with pytest.raises(Unauthenticated, match="the node does not know the secret"):
        accepting.receive({"proof": "00" * 32})
    assert not accepting.proven


def test_a_recorded_proof_is_worth_nothing_on_another_connection() -> None:
    dialing = node()
    said = dialing.first()
    assert said is not None
    challenge = keeper().receive(said)
    assert challenge is not None
    recorded = dialing.receive(challenge)
    assert recorded is not None
    another = JobLinkKeeper(JOB, SECRET, fixed(3))
    another.receive(said)
    with pytest.raises(Unauthenticated):
        another.receive(recorded)


def test_the_keepers_own_proof_sent_back_is_not_the_nodes() -> None:
    accepting = keeper()
    challenge = accepting.receive({"method": "job-link", "job": JOB, "role": "node", "nonce": NONCE})
    assert challenge is not None
    with pytest.raises(Unauthenticated):
        accepting.receive({"proof": challenge["proof"]})


def test_only_the_role_node_is_known() -> None:
    with pytest.raises(Unauthenticated, match="role"):
        keeper().receive({"method": "job-link", "job": JOB, "role": "admin", "nonce": NONCE})


def test_more_than_was_asked_is_refused() -> None:
    dialing, accepting = node(), keeper()
    prove(dialing, accepting)
    for end in (dialing, accepting):
        with pytest.raises(ProtocolError, match="AUTH after") as caught:
            end.receive({"nonce": NONCE, "proof": NONCE})
        assert caught.value.reason == "wrong-state"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"method": 1},
        {"method": "job-link"},
        {"method": "job-link", "job": 5, "role": "node", "nonce": NONCE},
        {"method": "job-link", "job": JOB, "role": "node"},
        {"method": "job-link", "job": JOB, "role": "node", "nonce": "xy"},
        {"method": "job-link", "job": JOB, "role": "node", "nonce": "abcd"},
        {"method": "job-link", "job": JOB, "role": "node", "nonce": NONCE + "é"},
    ],
)
def test_malformed_challenges(body: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="AUTH") as caught:
        keeper().receive(body)
    assert caught.value.reason == "malformed"


def test_the_first_auth_chooses_one_of_several_ways() -> None:
    either = OneOf([LocalOwner(1000, 1000), keeper()])
    assert either.method == "local or job-link" and either.first() is None
    prove(node(), either)
    assert either.proven and either.method == "job-link" and either.identity == f"node:{JOB}"


def test_a_way_that_is_not_offered() -> None:
    either = OneOf([LocalOwner(1000, 1000)])
    with pytest.raises(Unauthenticated, match="'token' is not offered here, only by local"):
        either.receive({"method": "token"})
    assert not either.proven and either.identity == ""
    with pytest.raises(Unauthenticated, match="only by job-link"):
        prove(LocalClient(), keeper())


# on a connection


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


@pytest.mark.parametrize("token", ["good", lambda: "good"])
def test_a_bearer_is_who_the_token_says(token: str | Callable[[], str]) -> None:
    verifier = BearerVerifier(verify)
    both = OneOf([LocalOwner(1000, None), verifier])
    assert both.chosen is None and not both.proven
    prove(BearerClient(token), both)
    assert both.proven and both.identity == "friend" and both.chosen is verifier
    assert verifier.principal == Friend("friend")


def test_a_bad_token_is_not_let_in() -> None:
    verifier = BearerVerifier(verify)
    with pytest.raises(Unauthenticated, match="not a good token"):
        prove(BearerClient("bad"), verifier)
    assert not verifier.proven and verifier.identity == ""


@pytest.mark.parametrize("body", [{"method": "bearer"}, {"method": "bearer", "token": 1}, {"token": "good"}])
def test_a_bearer_that_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        BearerVerifier(verify).receive(body)


def test_a_bearer_is_asked_for_nothing_more() -> None:
    with pytest.raises(ProtocolError, match="not asked for"):
        BearerClient("good").receive({"more": 1})
