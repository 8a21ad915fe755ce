"""The meta of logs, and appends that close: both with the append, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...errors import ClosedError, LimitExceeded, NotFound, UsageError
from ...limits import LIMITS
from ..base import Engine
from .support import EngineFactory, collect, payload, scenario, step


class MetaContract:
    """What a log keeps beside its content."""

    @scenario
    async def test_meta_is_given_changed_and_listed(self, engine: Engine) -> None:
        assert (await engine.log.create("b", meta=b"first")).meta == b"first"
        assert (await engine.log.create("c")).meta == b""
        await engine.log.annotate("b", b"second\0")
        assert (await engine.log.stat("b")).meta == b"second\0"
        assert await engine.log.append("b", b"xy", meta=b"third") == 2
        assert await engine.log.append("b", b"", meta=b"fourth") == 2
        assert [stat.meta for stat in await engine.log.list()] == [b"fourth", b""]
        await engine.log.annotate("b", b"")
        assert await engine.log.append("b", b"z") == 3
        assert (await engine.log.stat("b")).meta == b""
        assert payload(await engine.log.read("b", 0)) == b"xyz"

    @scenario
    async def test_the_last_call_wins(self, engine: Engine) -> None:
        await engine.log.create("b")
        for levels in (("disk", "os", "memory"), ("memory", "disk", "os"), ("os", "memory", "disk")):
            waits: list[Any] = [
                engine.log.append("b", b"x", meta=b"%d" % number, ack=level)  # type: ignore[arg-type]
                for number, level in enumerate(levels)
            ]
            await asyncio.gather(*waits[:2], engine.log.annotate("b", b"a"), waits[2])
            assert (await engine.log.stat("b")).meta == b"a"
            waits = [engine.log.append("b", b"x", meta=level.encode()) for level in levels]
            await asyncio.gather(*waits)
            assert (await engine.log.stat("b")).meta == levels[2].encode()

    @scenario
    async def test_what_cannot_be_meta(self, engine: Engine) -> None:
        await engine.log.create("b", meta=b"kept")
        text: Any = "text"
        large = bytes(LIMITS.log_meta_bytes_max + 1)
        with pytest.raises(UsageError, match="meta"):
            await engine.log.create("c", meta=text)
        with pytest.raises(UsageError, match="meta"):
            await engine.log.annotate("b", text)
        with pytest.raises(LimitExceeded, match="log_meta_bytes_max"):
            await engine.log.append("b", b"x", meta=large)
        with pytest.raises(LimitExceeded, match="log_meta_bytes_max"):
            await engine.log.create("c", meta=large)
        with pytest.raises(NotFound):
            await engine.log.annotate("c", b"")
        assert [(stat.name, stat.meta, stat.tail) for stat in await engine.log.list()] == [("b", b"kept", 0)]
        await engine.log.annotate("b", large[:-1])
        assert (await engine.log.stat("b")).meta == large[:-1]

    @scenario
    async def test_a_closed_log_can_be_annotated(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.close("b")
        await engine.log.annotate("b", b"why")
        assert (await engine.log.stat("b")).meta == b"why"
        with pytest.raises(ClosedError):
            await engine.log.append("b", b"", meta=b"no")

    @scenario
    async def test_an_append_that_closes(self, engine: Engine) -> None:
        await engine.log.create("e", mode="entries")
        reader = asyncio.create_task(collect(engine.log.follow("e", 1)))
        first = engine.log.append("e", [b"a"])
        last = engine.log.append("e", [b"b", b"c"], close=True, meta=b"done")
        with pytest.raises(ClosedError):
            await engine.log.append("e", [b"late"])
        assert (await first, await last) == (2, 4)
        stat = await engine.log.stat("e")
        assert (stat.closed, stat.tail, stat.meta) == (True, 4, b"done")
        assert payload(await reader) == b"abc"
        await engine.log.close("e")
        with pytest.raises(ClosedError):
            await engine.log.append("e", [], close=True)

    @scenario
    async def test_closing_with_nothing_more(self, engine: Engine) -> None:
        for level in ("disk", "os", "memory"):
            await engine.log.create(level)
            follower = engine.log.follow(level, 0)
            waiting = asyncio.create_task(collect(follower))
            await asyncio.sleep(0)
            assert await engine.log.append(level, b"", close=True, ack=level) == 0
            assert await waiting == []
            with pytest.raises(StopAsyncIteration):
                await step(follower)
            await engine.log.close(level)
            assert (await engine.log.stat(level)).closed

    def test_all_of_it_is_there_after_a_restart(self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            await engine.log.create("created", meta=b"\0\xff")
            await engine.log.create("closed", meta=b"old")
            await engine.log.append("closed", b"last", meta=b"new", close=True)
            await engine.log.create("noted", mode="runs")
            wait = engine.log.append("noted", b"x", count=1, meta=b"with", ack="memory")
            await engine.stop()
            await wait
            engine = engine_factory()
            await engine.start()
            stats = [(stat.name, stat.meta, stat.closed, stat.tail) for stat in await engine.log.list()]
            assert stats == [
                ("closed", b"new", True, 4),
                ("created", b"\0\xff", False, 0),
                ("noted", b"with", False, 2),
            ]
            await engine.stop()

        asyncio.run(main())
