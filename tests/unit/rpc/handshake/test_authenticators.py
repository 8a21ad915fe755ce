"""Proving who is there: by uid, by a token, by one of several ways; every refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from holdfast.errors import PermissionDenied, ProtocolError, Unauthenticated
from holdfast.rpc.handshake.authenticators import BearerClient, BearerVerifier, LocalClient, LocalOwner, OneOf
from holdfast.rpc.handshake.job_link import JobLinkKeeper, JobLinkNode

if TYPE_CHECKING:
    from tests.unit.rpc.handshake.conftest import Prove

JOB = "0123456789ab"
SECRET = bytes(range(32))


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


def test_the_owner_is_let_in(prove: Prove) -> None:
    owner = LocalOwner(1000, 1000)
    prove(LocalClient(), owner)
    assert owner.proven and owner.identity == "local:1000"


@pytest.mark.parametrize(("peer_uid", "says"), [(1001, "user 1001"), (0, "user 0"), (None, "does not say")])
def test_another_user_is_not(prove: Prove, peer_uid: int | None, says: str) -> None:
    owner = LocalOwner(1000, peer_uid)
    with pytest.raises(PermissionDenied, match=says):
        prove(LocalClient(), owner)
    assert not owner.proven and owner.identity == ""


def test_a_local_client_is_never_asked() -> None:
    with pytest.raises(ProtocolError):
        LocalClient().receive({"challenge": 1})


@pytest.mark.parametrize("token", ["good", lambda: "good"])
def test_a_bearer_is_who_the_token_says(prove: Prove, token: str | Callable[[], str]) -> None:
    verifier = BearerVerifier(verify)
    both = OneOf([LocalOwner(1000, None), verifier])
    assert both.chosen is None and not both.proven
    prove(BearerClient(token), both)
    assert both.proven and both.identity == "friend" and both.chosen is verifier
    assert verifier.principal == Friend("friend")


def test_a_bad_token_is_not_let_in(prove: Prove) -> None:
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


def test_the_first_auth_chooses_one_of_several_ways(prove: Prove) -> None:
    either = OneOf([LocalOwner(1000, 1000), keeper()])
    assert either.method == "local or job-link" and either.first() is None
    prove(node(), either)
    assert either.proven and either.method == "job-link" and either.identity == f"node:{JOB}"


def test_a_way_that_is_not_offered(prove: Prove) -> None:
    either = OneOf([LocalOwner(1000, 1000)])
    with pytest.raises(Unauthenticated, match="'token' is not offered here, only by local"):
        either.receive({"method": "token"})
    assert not either.proven and either.identity == ""
    with pytest.raises(Unauthenticated, match="only by job-link"):
        prove(LocalClient(), keeper())
