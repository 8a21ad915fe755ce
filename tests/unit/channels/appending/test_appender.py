"""The way of a batch, on the memory engine: the order of those that come while a channel is loaded."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.channels.model import ChannelLimits
from holdfast.channels.packing import encode_draft
from holdfast.channels.testkit import ChannelRoom
from holdfast.engine.memory import MemoryEngine
from holdfast.engine.sqlite import SqliteEngine
from holdfast.engine.sqlite.database import FILE_NAME
from holdfast.errors import CorruptionError
from tests.conftest import Run

CHANNEL = "p/c"
WIDE = ChannelLimits(rate_per_s=1e9, burst=10**9, entries_max=10**6, payload_bytes_max=1 << 20)


def room() -> ChannelRoom:
    engine = MemoryEngine()
    return ChannelRoom(lambda: engine)


async def append(here: ChannelRoom, sequence: int) -> None:
    draft = encode_draft(b"%d" % sequence, sequence=sequence)
    await here.router.append(here.owner, CHANNEL, draft, "disk", "me")


@pytest.mark.parametrize("turns", range(12))
def test_whoever_comes_when_a_channel_was_just_loaded_does_not_overtake(run: Run, turns: int) -> None:
    """Also after a restart: the first append waits for what was appended before, and so do those behind it."""

    async def main() -> None:
        async with room() as here:
            await here.router.create(here.owner, "p", "c", limits=WIDE)
            await append(here, 1)
            await here.restart()
            first = [asyncio.create_task(append(here, sequence)) for sequence in (2, 3)]
            for _ in range(turns):
                await asyncio.sleep(0)
            await asyncio.gather(*first, append(here, 4))
            entries = await here.entries(CHANNEL)
            assert [(each.index, each.sequence, each.late) for each in entries] == [
                (place, place, False) for place in range(1, 5)
            ]

    run(main())


def test_the_first_in_line_may_give_up(run: Run) -> None:
    async def main() -> None:
        async with room() as here:
            await here.router.create(here.owner, "p", "c", limits=WIDE)
            await here.restart()
            waiting = [asyncio.create_task(append(here, sequence)) for sequence in (1, 2, 3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert isinstance(results[0], asyncio.CancelledError)
            assert results[1:] == [None, None]
            assert [each.sequence for each in await here.entries(CHANNEL)] == [2, 3]

    run(main())


def test_a_damaged_channel_refuses_appends_and_says_so(run: Run, tmp_path: Path) -> None:
    """Who sent what cannot be read any more; nobody waits for that, and other channels go on."""

    async def main() -> None:
        async with ChannelRoom(lambda: SqliteEngine(tmp_path)) as here:
            for name in ("c", "whole"):
                await here.router.create(here.owner, "p", name, limits=WIDE)
            await append(here, 1)
            await here.__aexit__(None, None, None)
            with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
                connection.execute("UPDATE run SET crc = crc + 1")
            await here.__aenter__()
            for _ in range(2):
                with pytest.raises(CorruptionError):
                    await append(here, 2)
            await here.router.append(here.owner, "p/whole", encode_draft(b"x", sequence=1), "disk", "me")

    run(main())
