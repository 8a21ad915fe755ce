"""Participants on every store of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.engine.base import Engine
from holdfast.engine.memory import MemoryEngine
from holdfast.engine.sqlite import SqliteEngine
from holdfast.sync.profiles import LAN, Profile
from holdfast.sync.testkit import SyncRoom


@pytest.fixture(params=["memory", "memory-engine", "sqlite"])
def make_room(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., SyncRoom]:
    """Participants with a store of each kind, which outlives them."""
    memory = MemoryEngine()

    def open_engine() -> Engine:
        return memory if request.param == "memory-engine" else SqliteEngine(tmp_path / "engine")

    def make(profile: Profile = LAN) -> SyncRoom:
        return SyncRoom(None if request.param == "memory" else open_engine, profile)

    return make
