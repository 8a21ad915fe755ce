"""A node and a keeper prove the job's secret to each other; every refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.errors import ProtocolError, Unauthenticated
from holdfast.rpc.handshake.job_link import JobLinkKeeper, JobLinkNode

if TYPE_CHECKING:
    from tests.unit.rpc.handshake.conftest import Prove

JOB = "0123456789ab"
SECRET = bytes(range(32))
NONCE = "ab" * 32


def fixed(byte: int) -> Callable[[int], bytes]:
    return lambda size: bytes([byte]) * size


def node(job: str = JOB, secret: bytes = SECRET) -> JobLinkNode:
    return JobLinkNode(job, secret, fixed(1))


def keeper() -> JobLinkKeeper:
    return JobLinkKeeper(JOB, SECRET, fixed(2))


def test_both_ends_of_a_job_link_prove_the_secret(prove: Prove) -> None:
    dialing, accepting = node(), keeper()
    prove(dialing, accepting)
    assert dialing.proven and accepting.proven
    assert (dialing.identity, accepting.identity) == ("", f"node:{JOB}")


def test_a_keeper_of_another_job(prove: Prove) -> None:
    accepting = keeper()
    with pytest.raises(Unauthenticated, match="another job"):
        prove(node(job="zzzzzzzzzzzz"), accepting)
    assert not accepting.proven


def test_a_node_refuses_a_keeper_without_the_secret(prove: Prove) -> None:
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


def test_more_than_was_asked_is_refused(prove: Prove) -> None:
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
