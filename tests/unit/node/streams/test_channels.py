"""Live readers of channels: every entry once, in pages, however large the batches were."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from holdfast.channels.model import ChannelLimits
from holdfast.channels.packing import encode_batch
from holdfast.channels.state.record import log_name
from holdfast.channels.testkit import ChannelRoom
from holdfast.durable.model import Page
from holdfast.engine.memory import MemoryEngine
from holdfast.limits import LIMITS
from holdfast.node.streams.channels import ChannelStreams, LiveMessages
from holdfast.security.audit import AuditLog

Run = Callable[[Coroutine[Any, Any, Any]], Any]

FAST = ChannelLimits(rate_per_s=1e9, burst=10**9, entries_max=10**6)
BATCHES = (1, 700, 3, 2000, 1)
ENTRIES = sum(BATCHES)


def indexes(page: Page) -> list[int]:
    found = [json.loads(message)["index"] for message in page.chunks]
    assert found == list(range(page.start + 1, page.end + 1))
    return found


async def filled(room: ChannelRoom) -> None:
    await room.router.create(room.owner, "p", "c", limits=FAST)
    first = 1
    for count in BATCHES:
        batch = encode_batch([b"x" * (place % 7) for place in range(count)], first_sequence=first)
        await room.router.append(room.owner, "p/c", batch)
        first += count


@pytest.mark.parametrize("max_bytes", [1, 5000, 1 << 20])
@pytest.mark.parametrize("start", [0, 1, 300, 701, 2000, ENTRIES])
def test_a_live_reader_gives_each_entry_once(run: Run, start: int, max_bytes: int) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        async with ChannelRoom(lambda: engine) as room:
            await filled(room)
            await room.router.end(room.owner, "p/c")
            live = LiveMessages(room.engine.log, log_name("p", "c"), start, max_bytes)
            found: list[int] = []
            while (page := await live.next()) is not None:
                assert sum(map(len, page.chunks[:-1])) < max_bytes
                assert live.position == page.end
                found += indexes(page)
            assert found == list(range(start + 1, ENTRIES + 1))
            live.close()

    run(main())


@pytest.mark.parametrize("start", [0, 300, 701])
def test_pages_from_anywhere(run: Run, start: int, tmp_path: Path) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        async with ChannelRoom(lambda: engine) as room:
            await filled(room)
            audit = AuditLog(str(tmp_path), clock=room.clock, limits=LIMITS)
            streams = ChannelStreams(room.router, room.engine.log, audit)
            found, position = [], start
            while not (page := await streams.read("p/c", position, 20_000)).caught_up:
                found += indexes(page)
                position = page.end
            assert [*found, *indexes(page)] == list(range(start + 1, ENTRIES + 1))

    run(main())
