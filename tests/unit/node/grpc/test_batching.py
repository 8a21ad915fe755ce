"""Questions asked at the same time are answered together, each with its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from holdfast.errors import HoldfastError, NotFound
from holdfast.node.grpc.batching import Batcher


def batcher_of(batches: list[list[int]], gate: asyncio.Event | None = None) -> Batcher[int, int]:
    async def work(questions: Sequence[int]) -> list[int | HoldfastError]:
        batches.append(list(questions))
        if gate is not None:
            await gate.wait()
        if 99 in questions:
            raise RuntimeError("all of them")
        return [NotFound(kind="answer", name="13") if each == 13 else each * 2 for each in questions]

    return Batcher(work, items_max=4, bytes_max=20, size_of=lambda each: each)


def test_what_comes_while_a_batch_is_worked_on_makes_the_next() -> None:
    async def main() -> None:
        batches: list[list[int]] = []
        gate = asyncio.Event()
        batcher = batcher_of(batches, gate)
        first = asyncio.create_task(batcher.ask(1))
        while not batches:
            await asyncio.sleep(0)
        rest = [asyncio.create_task(batcher.ask(each)) for each in (2, 3, 4, 5, 6)]
        await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(first, *rest) == [2, 4, 6, 8, 10, 12]
        assert batches == [[1], [2, 3, 4, 5], [6]]

    asyncio.run(main())


def test_a_batch_is_bounded_in_bytes_and_a_large_question_goes_alone() -> None:
    async def main() -> None:
        batches: list[list[int]] = []
        batcher = batcher_of(batches)
        await asyncio.gather(*(batcher.ask(each) for each in (15, 4, 50, 5, 16)))
        assert batches == [[15, 4], [50], [5], [16]]

    asyncio.run(main())


def test_an_error_is_of_the_question_it_belongs_to() -> None:
    async def main() -> None:
        batcher = batcher_of([])
        found = await asyncio.gather(*(batcher.ask(each) for each in (1, 13, 2)), return_exceptions=True)
        assert found[0] == 2
        assert isinstance(found[1], NotFound)
        assert found[2] == 4
        with pytest.raises(RuntimeError, match="all of them"):
            await batcher.ask(99)
        assert await batcher.ask(7) == 14

    asyncio.run(main())


def test_who_left_is_not_worked_for_and_closing_ends_all() -> None:
    async def main() -> None:
        batches: list[list[int]] = []
        gate = asyncio.Event()
        batcher = batcher_of(batches, gate)
        tasks = [asyncio.create_task(batcher.ask(1))]
        while not batches:
            await asyncio.sleep(0)
        tasks += [asyncio.create_task(batcher.ask(each)) for each in (2, 3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        await batcher.close()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in found)
        gate.set()
        assert await batcher.ask(4) == 8
        assert batches == [[1], [4]]

    asyncio.run(main())
