"""What an HTTP request is to the policy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.clock import VirtualClock
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import NotFound, PermissionDenied, Unauthenticated
from holdfast.limits import LIMITS
from holdfast.node.token_gate import TokenGate
from holdfast.security.authority import Authority
from holdfast.security.identity import Identity

READER = Identity("ann", frozenset({"streams:read", "jobs:read"}), token_id="t")
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


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer nonsense", "token"])
def test_only_a_good_bearer_token_is_proof(gate: TokenGate, header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        gate.authenticate({} if header is None else {"authorization": header}, "peer")


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
        gate.authorize(READER, "append", "streams/secret")
    text = (tmp_path / "audit.log").read_text()
    assert '"http.append"' in text and "streams/secret" in text
