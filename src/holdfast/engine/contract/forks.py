"""Forks: logs that begin with what another held, and depend on nothing that happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from ...errors import AlreadyExists, Gone, NotFound, UsageError
from ..base import Engine, Entry, Hole, LogMode, Packed, Producer, Run
from .support import EngineFactory, cells, collect, payload, read_all, scenario, step


class ForkContract:
    """What a fork is, and what it has to do with its source."""

    @scenario
    async def test_it_begins_with_what_the_source_holds(self, engine: Engine) -> None:
        await engine.log.create("b", meta=b"source's")
        await engine.log.append("b", b"hello ", tag=3, producer=Producer("p", 0, 0))
        await engine.log.append("b", b"world", close=True)
        made = await engine.log.fork("f", "b", 8, meta=b"fork's")
        assert (made.name, made.mode, made.oldest, made.tail) == ("f", "bytes", 0, 8)
        assert (made.closed, made.stored_bytes, made.meta) == (False, 8, b"fork's")
        assert await engine.log.producer("f", "p") is None
        assert await engine.log.append("f", b"there", expected_tail=8) == 13
        want = [(byte, 3) for byte in b"hello "] + [(byte, 0) for byte in b"wothere"]
        assert cells(await read_all(engine.log, "f", 0), 0) == want
        assert payload(await read_all(engine.log, "b", 0)) == b"hello world"
        assert payload(await engine.log.read("f", 7, max_bytes=1)) == b"o"

    @scenario
    async def test_in_every_mode(self, engine: Engine) -> None:
        await _some_of_each(engine)
        await asyncio.gather(*(engine.log.fork(f"{mode} fork", mode, 6) for mode in ("bytes", "entries", "runs")))
        assert await engine.log.read("bytes fork", 1) == [Run(1, b"b"), Hole(2, 3), Run(5, b"c", 1)]
        assert await engine.log.read("entries fork", 5) == [Entry(5, b"e")]
        assert await engine.log.read("runs fork", 2) == [Packed(1, 3, b"abc"), Packed(4, 2, b"de")]
        stats = {stat.name: stat for stat in await engine.log.list()}
        assert stats["bytes fork"].hole_bytes == 3
        assert [stats[f"{mode} fork"].stored_bytes for mode in ("bytes", "entries", "runs")] == [3, 5, 5]

    @scenario
    async def test_a_blob_is_not_cut(self, engine: Engine) -> None:
        await _some_of_each(engine)
        for position in (2, 3, 5):
            with pytest.raises(UsageError, match="blob"):
                await engine.log.fork("f", "runs", position)
        await engine.log.fork("f", "runs", 4)
        assert await engine.log.read("f", 1) == [Packed(1, 3, b"abc")]
        await engine.log.create("at once", mode="runs")
        await asyncio.gather(*(engine.log.append("at once", bytes([count]), count=count) for count in (2, 3, 4)))
        for position in (2, 4, 5, 7, 9):
            with pytest.raises(UsageError, match="blob"):
                await engine.log.fork("g", "at once", position)
        await engine.log.fork("g", "at once", 6)
        assert await engine.log.read("g", 4) == [Packed(3, 3, b"\x03")]
        await engine.log.trim("at once", 4)
        await engine.log.fork("h", "at once", 6)
        assert await engine.log.read("h", 4) == [Packed(3, 3, b"\x03")]
        assert (await engine.log.stat("h")).stored_bytes == 1

    @scenario
    async def test_what_happens_to_the_source_does_nothing_to_it(self, engine: Engine) -> None:
        await engine.log.create("b")
        for number in range(50):
            await engine.log.append("b", bytes([number]) * 100)
        await engine.log.fork("f", "b", 3_050)
        follower = engine.log.follow("f", 0, max_bytes=777)
        given = list(await step(follower))
        await engine.log.trim("b", 4_000)
        given += await step(follower)
        await engine.log.append("b", b"more")
        await engine.log.delete("b")
        await engine.log.create("b")
        await engine.log.append("f", b"end", close=True)
        given += await collect(follower)
        want = b"".join(bytes([number]) * 100 for number in range(50))[:3_050] + b"end"
        assert payload(given) == payload(await read_all(engine.log, "f", 0)) == want
        assert (await engine.log.stat("f")).stored_bytes == len(want)

    @scenario
    async def test_what_happens_to_it_does_nothing_to_the_source(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", bytes(range(200)))
        for name in ("f", "g"):
            await engine.log.fork(name, "b", 150)
        await engine.log.trim("f", 100)
        assert (await engine.log.stat("f")).stored_bytes == 50
        with pytest.raises(Gone):
            await engine.log.read("f", 99)
        await engine.log.append("f", b"x")
        await engine.log.delete("g")
        await engine.log.trim("f", 151)
        assert await engine.log.read("f", 151) == []
        assert (await engine.log.stat("f")).stored_bytes == 0
        assert payload(await engine.log.read("b", 0)) == bytes(range(200))

    @scenario
    async def test_forks_of_forks(self, engine: Engine) -> None:
        await engine.log.create("0", mode="entries")
        names = [str(number) for number in range(6)]
        for source, name in pairwise(names):
            await engine.log.append(source, [f"{source}{place}".encode() for place in range(4)])
            await engine.log.fork(name, source, (await engine.log.stat(source)).tail - 1)
        for name in names[:-1]:
            await engine.log.delete(name)
        want = [f"{source}{place}".encode() for source in names[:-1] for place in range(3)]
        assert [piece.data for piece in await read_all(engine.log, "5", 1) if isinstance(piece, Entry)] == want
        await engine.log.trim("5", 8)
        assert await engine.log.fork("6", "5", 9) == await engine.log.stat("6")
        await engine.log.delete("5")
        assert await engine.log.read("6", 8) == [Entry(8, want[7])]

    @scenario
    async def test_appends_before_it_are_in_it(self, engine: Engine) -> None:
        await engine.log.create("b")
        waits = [engine.log.append("b", b"%d" % number, ack=("disk", "memory")[number % 2]) for number in range(6)]
        forking = asyncio.ensure_future(engine.log.fork("f", "b", 5))
        late = [engine.log.append("b", b"x") for _ in range(3)]
        await asyncio.gather(forking, *waits, *late)
        assert payload(await engine.log.read("f", 0)) == b"01234"

    @scenario
    async def test_nothing_of_it(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.fork("of nothing", "b", 0)
        await engine.log.append("b", b"abc")
        await engine.log.trim("b", 2)
        await engine.log.fork("at the oldest", "b", 2)
        for name, tail in (("of nothing", 0), ("at the oldest", 2)):
            stat = await engine.log.stat(name)
            assert (stat.oldest, stat.tail, stat.stored_bytes) == (tail, tail, 0)
            assert await engine.log.append(name, b"x") == tail + 1
            assert await engine.log.read(name, tail) == [Run(tail, b"x")]

    @scenario
    async def test_where_none_can_be(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", b"abc")
        await engine.log.trim("b", 1)
        bad: Sequence[tuple[type[Exception], Any]] = [
            (Gone, ("f", "b", 0)),
            (UsageError, ("f", "b", 4)),
            (UsageError, ("f", "b", -1)),
            (UsageError, ("", "b", 2)),
            (NotFound, ("f", "c", 2)),
            (AlreadyExists, ("b", "b", 2)),
        ]
        for error, arguments in bad:
            with pytest.raises(error):
                await engine.log.fork(*arguments)
        results = await asyncio.gather(*(engine.log.fork("f", "b", 2) for _ in range(2)), return_exceptions=True)
        assert [type(result) for result in results if isinstance(result, Exception)] == [AlreadyExists]
        trimming = asyncio.ensure_future(engine.log.trim("b", 3))
        await asyncio.sleep(0)
        with pytest.raises(Gone):
            await engine.log.fork("late", "b", 2)
        await trimming
        assert [stat.name for stat in await engine.log.list()] == ["b", "f"]
        assert (await engine.log.create("late")).tail == 0

    def test_all_of_it_is_there_after_a_restart(self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            await _some_of_each(engine)
            for mode in ("bytes", "entries", "runs"):
                await engine.log.fork(f"{mode} f", mode, 6)
                await engine.log.trim(f"{mode} f", 3)
                await engine.log.fork(f"{mode} g", f"{mode} f", 6)
                await engine.log.delete(mode)
            await engine.log.append("bytes f", b"!")
            before = [(stat, await read_all(engine.log, stat.name, stat.oldest)) for stat in await engine.log.list()]
            await engine.stop()
            engine = engine_factory()
            await engine.start()
            after = [(stat, await read_all(engine.log, stat.name, stat.oldest)) for stat in await engine.log.list()]
            assert [stat for stat, _ in after] == [stat for stat, _ in before]
            for (stat, old), (_, new) in zip(before, after, strict=True):
                assert cells(new, stat.oldest) == cells(old, stat.oldest)
            await engine.stop()

        asyncio.run(main())


async def _some_of_each(engine: Engine) -> None:
    modes: tuple[LogMode, ...] = ("bytes", "entries", "runs")
    for mode in modes:
        await engine.log.create(mode, mode=mode)
    await engine.log.append("bytes", b"ab")
    await engine.log.skip("bytes", 3)
    await engine.log.append("bytes", b"cde", tag=1)
    await engine.log.append("entries", [b"a", b"b", b"c"], tag=1)
    await engine.log.append("entries", [b"d", b"e", b"f"])
    for blob, count in ((b"abc", 3), (b"de", 2), (b"f", 1)):
        await engine.log.append("runs", blob, count=count)
