"""Logs of runs: blobs that count as many entries as they say, given back as they came."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...errors import Gone, LimitExceeded, UsageError
from ...limits import LIMITS
from ..base import Engine, Packed, Piece
from .support import EngineFactory, collect, payload, read_all, scenario, step


class RunsContract:
    """What a log in runs mode does."""

    @scenario
    async def test_positions_count_entries(self, engine: Engine) -> None:
        made = await engine.log.create("r", mode="runs")
        assert (made.mode, made.oldest, made.tail) == ("runs", 1, 1)
        assert await engine.log.append("r", b"three", count=3) == 4
        assert await engine.log.append("r", b"one", count=1) == 5
        assert await engine.log.append("r", b"", count=2) == 7
        assert await engine.log.read("r", 1) == [Packed(1, 3, b"three"), Packed(4, 1, b"one"), Packed(5, 2, b"")]
        assert await engine.log.read("r", 7) == []
        assert (await engine.log.stat("r")).stored_bytes == 8

    @scenario
    async def test_a_position_inside_a_blob_gives_all_of_it(self, engine: Engine) -> None:
        await engine.log.create("r", mode="runs")
        for text in (b"a" * 100, b"b" * 100, b"c" * 100):
            await engine.log.append("r", text, count=10)
        assert await engine.log.read("r", 15) == [Packed(11, 10, b"b" * 100), Packed(21, 10, b"c" * 100)]
        assert await engine.log.read("r", 20, max_bytes=1) == [Packed(11, 10, b"b" * 100)]
        assert await engine.log.read("r", 21, max_bytes=1) == [Packed(21, 10, b"c" * 100)]
        assert await engine.log.read("r", 1, max_bytes=250) == [Packed(1, 10, b"a" * 100), Packed(11, 10, b"b" * 100)]
        await engine.log.close("r")
        assert payload(await collect(engine.log.follow("r", 15, max_bytes=1))) == b"b" * 100 + b"c" * 100

    @scenario
    async def test_followers_get_blobs_as_they_come(self, engine: Engine) -> None:
        await engine.log.create("r", mode="runs")
        reader = asyncio.create_task(collect(engine.log.follow("r", 1)))
        slow = engine.log.follow("r", 1, max_bytes=70)
        blobs = [(b"%d " % number * (number % 7), number % 5 + 1) for number in range(200)]
        waits = [engine.log.append("r", blob, count=count, ack=("disk", "os")[count % 2]) for blob, count in blobs]
        await asyncio.gather(*waits)
        await engine.log.close("r")
        want: list[Piece] = []
        for blob, count in blobs:
            want.append(Packed(want[-1].end if want else 1, count, blob))
        assert await reader == await collect(slow) == want
        assert await read_all(engine.log, "r", 1, max_bytes=333) == want

    @scenario
    async def test_trimming_inside_a_blob(self, engine: Engine) -> None:
        await engine.log.create("r", mode="runs")
        for text in (b"a" * 100, b"b" * 100, b"c" * 100):
            await engine.log.append("r", text, count=10)
        follower = engine.log.follow("r", 14)
        for position, stored in ((5, 300), (11, 200), (15, 200), (15, 200), (14, 200), (30, 100), (31, 0)):
            await engine.log.trim("r", position)
            stat = await engine.log.stat("r")
            assert (stat.oldest, stat.stored_bytes) == (max(position, stat.oldest), stored)
            if position == 15:
                assert (await engine.log.read("r", 15))[0] == Packed(11, 10, b"b" * 100)
                with pytest.raises(Gone) as caught:
                    await engine.log.read("r", 14)
                assert caught.value.oldest == 15
                with pytest.raises(Gone):
                    await step(follower)
        assert await engine.log.append("r", b"d", count=5) == 36
        assert await engine.log.read("r", 33) == [Packed(31, 5, b"d")]

    @scenario
    async def test_nothing_to_append(self, engine: Engine) -> None:
        await engine.log.create("r", mode="runs")
        assert await engine.log.append("r", b"", count=0) == await engine.log.append("r", b"") == 1

    @scenario
    async def test_what_cannot_be_appended(self, engine: Engine) -> None:
        for mode in ("runs", "bytes", "entries"):
            await engine.log.create(mode, mode=mode)
        bad: list[tuple[str, Any, dict[str, Any]]] = [
            ("runs", b"x", {}),
            ("runs", b"x", {"count": 0}),
            ("runs", b"x", {"count": -1}),
            ("runs", b"x", {"count": 1.5}),
            ("runs", b"x", {"count": 1 << 32}),
            ("runs", [b"x"], {"count": 1}),
            ("runs", "x", {"count": 1}),
            ("runs", b"x", {"count": 1, "tag": 1}),
            ("bytes", b"x", {"count": 1}),
            ("entries", [b"x"], {"count": 1}),
        ]
        for name, data, options in bad:
            with pytest.raises(UsageError):
                await engine.log.append(name, data, **options)
        with pytest.raises(LimitExceeded, match="append_bytes_max"):
            await engine.log.append("runs", bytes(LIMITS.append_bytes_max + 1), count=1)
        with pytest.raises(UsageError):
            await engine.log.skip("runs", 1)
        assert sorted(stat.tail for stat in await engine.log.list()) == [0, 1, 1]

    @scenario
    async def test_the_largest_count(self, engine: Engine) -> None:
        await engine.log.create("r", mode="runs")
        waits = [engine.log.append("r", b"x", count=(1 << 32) - 1) for _ in range(5)]
        assert [await wait for wait in waits][-1] == 5 * ((1 << 32) - 1) + 1
        assert (await engine.log.read("r", 1 << 34))[0] == Packed(4 * ((1 << 32) - 1) + 1, (1 << 32) - 1, b"x")

    def test_everything_is_there_after_a_restart(self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            await engine.log.create("r", mode="runs")
            for number in range(60):
                wait = engine.log.append("r", b"%d," % number * (number % 9), count=number % 4 + 1)
                if number % 3:
                    await wait
            await engine.log.trim("r", 40)
            before = await read_all(engine.log, "r", 40), await engine.log.stat("r")
            await engine.stop()
            engine = engine_factory()
            await engine.start()
            assert (await read_all(engine.log, "r", 40), await engine.log.stat("r")) == before
            assert before[0][0].position <= 40 < before[0][0].end
            assert await engine.log.append("r", b"more", count=2) == before[1].tail + 2
            await engine.stop()

        asyncio.run(main())
