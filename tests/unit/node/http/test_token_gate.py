"""What an HTTP request is to the policy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.clock import VirtualClock
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import NotFound, PermissionDenied, Unauthenticated
from holdfast.http.gate import Proof
from holdfast.limits import LIMITS
from holdfast.node.http.token_gate import TokenGate
from holdfast.security.authority import Authority
from holdfast.security.identity import Identity

READER = Identity("ann", frozenset({"streams:read", "jobs:read"}), token_id="t", expires_at=1_800_000_000.0)
BOUND = Identity("bob", frozenset({"jobs:read", "streams:read"}), job="j1", token_id="u")


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[TokenGate]:
    engine = MemoryEngine()
    made: list[Authority] = []

    async def main() -> None:
        await engine.start()
        made.append(Authority(engine.kv, str(tmp_path), resolve_job=str, clock=VirtualClock(), limits=LIMITS))
        await made[0].open()

    asyncio.run(main())
    yield TokenGate(made[0])
    made[0].close()


@pytest.mark.parametrize("proof", [Proof(), Proof(bearer="nonsense"), Proof(cookies={"holdfast": "x"}, own_page=True)])
def test_only_a_good_bearer_token_is_proof(gate: TokenGate, tmp_path: Path, proof: Proof) -> None:
    with pytest.raises(Unauthenticated):
        gate.authenticate(proof._replace(peer="192.0.2.1:7"))
    assert "192.0.2.1:7" in (tmp_path / "audit.log").read_text()


def log_in(gate: TokenGate) -> str:
    """The cookie of a browser that is logged in as READER."""
    code, _ = gate.link(READER, "")
    return asyncio.run(gate.enter(code, "peer")).cookie


def test_a_cookie_counts_for_pages_of_the_node_only(gate: TokenGate, tmp_path: Path) -> None:
    cookies = {gate.cookie_name: log_in(gate)}
    assert gate.authenticate(Proof(cookies=cookies, own_page=True)).scopes == READER.scopes
    with pytest.raises(PermissionDenied, match=r"^Origin: "):
        gate.authenticate(Proof(cookies=cookies, peer="p"))
    assert '"http.login"' in (tmp_path / "audit.log").read_text()


def test_a_cookie_of_another_node_is_none(gate: TokenGate) -> None:
    with pytest.raises(Unauthenticated):
        gate.authenticate(Proof(cookies={"holdfast-0123456789abcdef": log_in(gate)}, own_page=True))


def test_who_shows_a_bad_token_gets_nothing_for_a_good_cookie(gate: TokenGate) -> None:
    with pytest.raises(Unauthenticated):
        gate.authenticate(Proof(bearer="nonsense", cookies={gate.cookie_name: log_in(gate)}, own_page=True))


def test_a_login_makes_no_link(gate: TokenGate) -> None:
    identity = gate.authenticate(Proof(cookies={gate.cookie_name: log_in(gate)}, own_page=True))
    with pytest.raises(PermissionDenied, match="token itself"):
        gate.link(identity, "")
    asyncio.run(gate.leave(identity, "peer"))
    with pytest.raises(Unauthenticated):
        gate.check_in_force(identity)


def test_resources_are_asked_of_the_policy_by_their_kind(gate: TokenGate) -> None:
    gate.authorize(READER, "read", "streams/a/b")
    gate.authorize(READER, "read", "jobs/j1/output")
    gate.authorize(BOUND, "read", "jobs/j1/output")
    for action, resource in (
        ("append", "streams/a"),
        ("create", "streams/a"),
        ("delete", "streams/a"),
        ("read", "node/x"),
    ):
        with pytest.raises(PermissionDenied):
            gate.authorize(READER, action, resource)  # type: ignore[arg-type]
    for resource in ("jobs/j2/output", "streams/a"):
        with pytest.raises(NotFound):
            gate.authorize(BOUND, "read", resource)


@pytest.mark.parametrize(("action", "resource"), [("delete", "jobs/j1/output"), ("read", "elsewhere/x"), ("read", "")])
def test_what_is_in_no_table_is_for_nobody(gate: TokenGate, action: str, resource: str) -> None:
    everything = Identity("root", frozenset({"admin"}), token_id="v")
    with pytest.raises(PermissionDenied):
        gate.authorize(everything, action, resource)  # type: ignore[arg-type]


def test_denials_are_noted(gate: TokenGate, tmp_path: Path) -> None:
    with pytest.raises(PermissionDenied):
        gate.authorize(READER, "append", "streams/secret", "192.0.2.1:7")
    gate.refused("Host: 'evil' is not a name of this node", "192.0.2.2:7")
    denied, refused = (tmp_path / "audit.log").read_text().splitlines()
    assert all(part in denied for part in ('"http.append"', "streams/secret", "192.0.2.1:7"))
    assert all(part in refused for part in ("Host: 'evil'", "192.0.2.2:7"))
