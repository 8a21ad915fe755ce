"""A node's authority without the node."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import VirtualClock
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import NotFound
from holdfast.limits import LIMITS, Limits
from holdfast.security.authority import Authority
from holdfast.security.identity import Identity
from holdfast.security.keys import NodeKey, node_key

JOB = "0123456789ab"

MakeAuthority = Callable[..., AbstractAsyncContextManager[Authority]]


def resolve_job(job: str) -> str:
    if job not in (JOB, "train"):
        raise NotFound(kind="job", name=job)
    return JOB


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(scope="session")
def key() -> NodeKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return node_key(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def make_authority(engine: MemoryEngine, clock: VirtualClock, state_dir: Path) -> MakeAuthority:
    """Use with ``async with``; again, for a node that was restarted."""

    @asynccontextmanager
    async def make(limits: Limits = LIMITS) -> AsyncIterator[Authority]:
        made = Authority(engine.kv, str(state_dir), resolve_job=resolve_job, clock=clock, limits=limits)
        try:
            await made.open()
            yield made
        finally:
            made.close()

    return make


@pytest.fixture
def audit_lines(state_dir: Path) -> Callable[[], list[dict[str, Any]]]:
    """What the audit log holds."""
    return lambda: [json.loads(line) for line in (state_dir / "audit.log").read_text().splitlines()]


@pytest.fixture
def alice() -> Identity:
    return Identity("alice", frozenset({"jobs:read"}), token_id="t", expires_at=1_700_003_600.0)
