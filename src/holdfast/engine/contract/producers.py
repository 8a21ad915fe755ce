"""Appends with a sequence: once each, in order, whatever is tried again; and what is known of it after a restart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...errors import ClosedError, Conflict, Duplicate, Fenced, NotFound, SequenceGap, UsageError
from ..base import Engine, Producer
from .support import EngineFactory, payload, scenario


class ProducerContract:
    """What a log promises to those who try again."""

    @scenario
    async def test_once_each_and_in_order(self, engine: Engine) -> None:
        await engine.log.create("b")
        assert await engine.log.producer("b", "p") is None
        for sequence in range(3):
            end = await engine.log.append("b", b"%d" % sequence, producer=Producer("p", 0, sequence))
            assert end == sequence + 1
            assert await engine.log.producer("b", "p") == Producer("p", 0, sequence)
        for sequence in range(3):
            with pytest.raises(Duplicate) as caught:
                await engine.log.append("b", b"x", producer=Producer("p", 0, sequence))
            assert (caught.value.sequence, caught.value.position) == (2, 3)
        with pytest.raises(SequenceGap) as gap:
            await engine.log.append("b", b"x", producer=Producer("p", 0, 4))
        assert (gap.value.expected, gap.value.received) == (3, 4)
        assert payload(await engine.log.read("b", 0)) == b"012"

    @scenario
    async def test_a_higher_epoch_fences_the_lower_ones_off(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", b"a", producer=Producer("p", 3, 0))
        with pytest.raises(UsageError, match=r"producer\.sequence"):
            await engine.log.append("b", b"x", producer=Producer("p", 4, 1))
        await engine.log.append("b", b"b", producer=Producer("p", 7, 0))
        for epoch in (0, 3, 6):
            with pytest.raises(Fenced) as caught:
                await engine.log.append("b", b"x", producer=Producer("p", epoch, 1))
            assert caught.value.epoch == 7
        await engine.log.append("b", b"c", producer=Producer("p", 7, 1))
        assert payload(await engine.log.read("b", 0)) == b"abc"

    @scenario
    async def test_producers_do_not_mind_each_other(self, engine: Engine) -> None:
        await engine.log.create("e", mode="entries")
        await engine.log.create("other", mode="entries")
        for sequence in range(3):
            for name in ("p", "q", "é"):
                await engine.log.append("e", [name.encode()], producer=Producer(name, 0, sequence))
        assert await engine.log.append("e", [b"nobody"]) == 11
        assert await engine.log.producer("other", "p") is None
        with pytest.raises(UsageError):
            await engine.log.append("other", [b"x"], producer=Producer("p", 0, 1))

    @scenario
    async def test_it_is_decided_in_the_order_of_the_calls(self, engine: Engine) -> None:
        await engine.log.create("b")
        parts = [(b"a", 0), (b"x", 0), (b"b", 1), (b"x", 3), (b"c", 2), (b"x", 1), (b"d", 3)]
        waits = [engine.log.append("b", data, producer=Producer("p", 0, sequence)) for data, sequence in parts]
        assert await engine.log.producer("b", "p") == Producer("p", 0, 3)
        results = await asyncio.gather(*waits, return_exceptions=True)
        kinds = [result if isinstance(result, int) else type(result) for result in results]
        assert kinds == [1, Duplicate, 2, SequenceGap, 3, Duplicate, 4]
        assert payload(await engine.log.read("b", 0)) == b"abcd"

    @scenario
    async def test_a_repetition_comes_before_the_end_and_the_expected_tail(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", b"ab", producer=Producer("p", 1, 0), expected_tail=0)
        with pytest.raises(Duplicate):
            await engine.log.append("b", b"ab", producer=Producer("p", 1, 0), expected_tail=0)
        with pytest.raises(Conflict):
            await engine.log.append("b", b"cd", producer=Producer("p", 1, 1), expected_tail=0)
        await engine.log.append("b", b"cd", producer=Producer("p", 1, 1), close=True)
        with pytest.raises(Duplicate):
            await engine.log.append("b", b"cd", producer=Producer("p", 1, 1), close=True)
        with pytest.raises(Fenced):
            await engine.log.append("b", b"x", producer=Producer("p", 0, 2))
        for sequence in (2, 3):
            with pytest.raises(ClosedError):
                await engine.log.append("b", b"x", producer=Producer("p", 1, sequence))

    @scenario
    async def test_what_is_refused_leaves_no_trace(self, engine: Engine) -> None:
        await engine.log.create("b")
        data: Any = "text"
        for refused in (
            engine.log.append("b", b"x", producer=Producer("p", 0, 0), expected_tail=1),
            engine.log.append("b", data, producer=Producer("p", 0, 0)),
            engine.log.append("b", b"x", producer=Producer("p", 0, 0), tag=99),
            engine.log.append("b", b"x", producer=Producer("p", 0, 0), meta=data),
            engine.log.append("c", b"x", producer=Producer("p", 0, 0)),
        ):
            with pytest.raises((UsageError, Conflict, NotFound)):
                await refused
        for producer in (Producer("", 0, 0), Producer("p", -1, 0), Producer("p", 0, -1), Producer("p", 0, 1 << 70)):
            with pytest.raises(UsageError, match="producer"):
                await engine.log.append("b", b"x", producer=producer)
        assert await engine.log.producer("b", "p") is None
        assert (await engine.log.stat("b")).tail == 0
        with pytest.raises(NotFound):
            await engine.log.producer("c", "p")

    @scenario
    async def test_nothing_can_be_appended_with_a_sequence_too(self, engine: Engine) -> None:
        await engine.log.create("b")
        assert await engine.log.append("b", b"", producer=Producer("p", 0, 0)) == 0
        with pytest.raises(Duplicate):
            await engine.log.append("b", b"", producer=Producer("p", 0, 0))

    @scenario
    async def test_a_new_log_of_the_same_name_knows_nobody(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", b"x", producer=Producer("p", 5, 0))
        await engine.log.delete("b")
        await engine.log.create("b")
        assert await engine.log.producer("b", "p") is None
        assert await engine.log.append("b", b"x", producer=Producer("p", 0, 0)) == 1

    def test_all_of_it_is_known_after_a_restart(self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            await engine.log.create("r", mode="runs")
            for sequence in range(10):
                for name in ("p", "q"):
                    await engine.log.append(
                        "r", name.encode(), count=2, producer=Producer(name, sequence // 5, sequence % 5), ack="os"
                    )
            await engine.log.trim("r", 41)
            await engine.stop()
            engine = engine_factory()
            await engine.start()
            assert await engine.log.producer("r", "q") == Producer("q", 1, 4)
            with pytest.raises(Duplicate):
                await engine.log.append("r", b"x", count=1, producer=Producer("p", 1, 4))
            with pytest.raises(Fenced):
                await engine.log.append("r", b"x", count=1, producer=Producer("p", 0, 5))
            assert await engine.log.append("r", b"x", count=1, producer=Producer("p", 1, 5)) == 42
            await engine.stop()

        asyncio.run(main())
