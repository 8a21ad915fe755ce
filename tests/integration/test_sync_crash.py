"""A participant killed at any moment: what it was told is stored is there, and nothing is half there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from holdfast.engine import open_engine
from holdfast.engine.base import Engine
from holdfast.natsbox import NatsServer
from holdfast.sync.events import MessageReady
from holdfast.sync.peer import SyncPeer
from holdfast.sync.persistence.engine import EnginePersistence
from holdfast.sync.profiles import LAN
from holdfast.sync.saver import Saver
from holdfast.sync.testkit import NOW_S

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Place(NamedTuple):
    """Which engine, and where."""

    kind: str
    directory: str
    url: str


HISTORY = 40
PROFILE = LAN.replaced(history_max=HISTORY)

LIFE = f"""
import asyncio, sys
from holdfast.engine import open_engine
from holdfast.sync.peer import SyncPeer
from holdfast.sync.persistence.engine import EnginePersistence
from holdfast.sync.saver import Saver
from holdfast.sync.profiles import LAN
from holdfast.sync.testkit import NOW_S, message

async def main():
    engine = open_engine(sys.argv[1], sys.argv[2], url=sys.argv[3])
    await engine.start()
    peer = SyncPeer("alice", profile=LAN.replaced(history_max={HISTORY}))
    saver = Saver(peer, EnginePersistence(engine))
    await saver.ensure("ops", NOW_S)
    number = int(sys.argv[4])
    while True:
        number += 1
        peer.wrap("ops", b"x" * 50, NOW_S + number, f"a{{number}}")
        peer.unwrap(message(f"c{{number}}", number, [f"b{{number}}"], channel="ops"), NOW_S + number)
        assert await saver.flush()
        print("waits", number, flush=True)
        peer.unwrap(message(f"b{{number}}", number, channel="ops"), NOW_S + number)
        assert await saver.flush()
        print("ready", number, flush=True)
        peer.events()

asyncio.run(main())
"""


@pytest.fixture(params=["sqlite", "nats"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where the state of one test lives."""
    if request.param == "sqlite":
        yield Place("sqlite", str(tmp_path), "")
    else:
        with NatsServer.temporary() as server:
            yield Place("nats", "", server.url)


@pytest.mark.parametrize("lines", [1, 2, 3, 50, 133])
def test_a_killed_participant_finds_what_was_stored(run: Run, place: Place, lines: int) -> None:
    before = 0
    for _ in range(2):  # killed, and killed again on what was left
        last = _live_until_killed(place, lines, before)

        async def look(last: tuple[str, int] = last) -> None:
            engine = open_engine(place.kind, place.directory, url=place.url)
            await engine.start()
            try:
                await _check(engine, *last)
            finally:
                await engine.stop()

        run(look())
        before = last[1] + 1


def _live_until_killed(place: Place, lines: int, first: int) -> tuple[str, int]:
    """The last thing the process said was stored; it may have stored more."""
    command = [sys.executable, "-c", LIFE, *place, str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said += process.stdout.readlines()
    whole = [line for line in said if line.endswith("\n")]
    what, number = whole[-1].split()
    return what, int(number)


async def _check(engine: Engine, what: str, number: int) -> None:
    peer = SyncPeer("alice", profile=PROFILE)
    await Saver(peer, EnginePersistence(engine)).ensure("ops", NOW_S)
    names = [message.message_id for message in peer.log("ops")]
    assert len(names) == len(set(names)) <= HISTORY
    assert f"a{number}" in names
    if what == "ready":
        assert {f"b{number}", f"c{number}"} <= set(names)
    # b and c were stored in one step: c is delivered if b is, and waits if b is not there.
    status = peer.status("ops")
    for one in range(max(1, number - HISTORY // 3 + 2), number + 1):
        delivered = {f"b{one}", f"c{one}"} & set(names)
        assert len(delivered) in {0, 2}, delivered
    assert status.incoming <= 2
    assert status.incoming == status.missing
    assert not [event for event in peer.events() if isinstance(event, MessageReady)]
