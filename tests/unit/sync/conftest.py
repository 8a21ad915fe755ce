"""Participants on every store of ours."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from holdfast.engine.base import Engine
from holdfast.engine.memory import MemoryEngine
from holdfast.engine.nats.engine import NatsEngine
from holdfast.engine.nats.options import NatsOptions
from holdfast.engine.sqlite import SqliteEngine
from holdfast.natsbox import NatsServer
from holdfast.sync.profiles import LAN, Profile
from holdfast.sync.testkit import SyncRoom

_deployments = count(1)


Story = Callable[[SyncRoom], Coroutine[Any, Any, None]]


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """One server for all."""
    with NatsServer.temporary() as server:
        yield server


@pytest.fixture(params=["memory", "memory-engine", "sqlite", "nats"])
def make_room(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., SyncRoom]:
    """Participants with a store of each kind, which outlives them."""
    open_engine: Callable[[], Engine] | None = None
    if request.param == "memory-engine":
        open_engine = partial(_the_same, MemoryEngine())
    elif request.param == "sqlite":
        open_engine = partial(SqliteEngine, tmp_path / "engine")
    elif request.param == "nats":
        server: NatsServer = request.getfixturevalue("nats_server")
        open_engine = partial(NatsEngine, NatsOptions(url=server.url, prefix=f"test-{next(_deployments)}"))

    def make(profile: Profile = LAN) -> SyncRoom:
        return SyncRoom(open_engine, profile)

    return make


def _the_same(engine: Engine) -> Engine:
    return engine


@pytest.fixture
def in_room(run: Callable[..., Any], make_room: Callable[..., SyncRoom]) -> Callable[..., None]:
    """Tells a story in a room whose channel is there."""

    def tell(story: Story, profile: Profile = LAN, *, ensured: bool = True) -> None:
        async def main() -> None:
            async with make_room(profile) as room:
                if ensured:
                    await room.ensure()
                await story(room)

        run(main())

    return tell
