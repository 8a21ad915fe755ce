"""The N-th answer belongs to the N-th request, and nothing outlives its call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import grpc
import pytest

from holdfast.grpc.exchange import Window, answers_of


class Request:
    def __init__(self, number: int, size: int = 1) -> None:
        self.number = number
        self.size = size

    def __len__(self) -> int:
        return self.size


class Requests:
    """The requests' side of a call: what grpc.aio's context gives to its handler."""

    def __init__(self, *sizes: int, then: BaseException | None = None, endless: bool = False) -> None:
        self.sizes = sizes
        self.taken = 0
        self.then = then
        self.endless = endless

    async def read(self) -> Any:
        if self.taken < len(self.sizes):
            self.taken += 1
            return Request(self.taken - 1, self.sizes[self.taken - 1])
        if self.then is not None:
            raise self.then
        if self.endless:
            await asyncio.Event().wait()
        return grpc.aio.EOF


async def collected(
    requests: Requests, work: Callable[[Any], Any], items_max: int = 4, bytes_max: int = 1000
) -> list[Any]:
    return [answer async for answer in answers_of(requests, work, items_max=items_max, bytes_max=bytes_max)]


def others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_answers_are_in_the_order_of_requests_however_long_each_takes() -> None:
    async def main() -> None:
        gates = [asyncio.Event() for _ in range(10)]

        async def work(request: Any) -> int:
            await gates[request.number].wait()
            gates[request.number - 1].set()
            return int(request.number)

        gates[9].set()
        assert await collected(Requests(*[1] * 10), work, items_max=10) == list(range(10))
        assert not others()

    asyncio.run(main())


def test_no_more_is_worked_on_than_there_is_room_for() -> None:
    async def main() -> None:
        now, most = 0, 0

        async def work(request: Any) -> int:
            nonlocal now, most
            now += request.size
            most = max(most, now)
            await asyncio.sleep(0)
            now -= request.size
            return 0

        await collected(Requests(*[10] * 50), work, items_max=100, bytes_max=40)
        assert most <= 40
        most = 0
        await collected(Requests(*[1] * 50), work, items_max=3)
        assert most <= 3
        assert await collected(Requests(5000, 1, 5000), work) == [0, 0, 0]

    asyncio.run(main())


def test_an_error_comes_after_the_answers_before_it_and_ends_all_work() -> None:
    async def main() -> None:
        async def work(request: Any) -> int:
            if request.number == 2:
                raise ValueError(request.number)
            if request.number > 2:
                await asyncio.Event().wait()
            return int(request.number)

        got = []
        with pytest.raises(ValueError, match="2"):
            async for answer in answers_of(Requests(*[1] * 100, endless=True), work, items_max=8, bytes_max=100):
                got.append(answer)  # noqa: PERF401 - what came before the error is the point
        assert got == [0, 1]
        assert not others()

    asyncio.run(main())


def test_an_error_of_the_requests_comes_after_all_answers() -> None:
    async def main() -> None:
        async def work(request: Any) -> int:
            return int(request.number)

        got = []
        with pytest.raises(ConnectionError):
            async for answer in answers_of(Requests(1, 1, then=ConnectionError()), work, items_max=8, bytes_max=100):
                got.append(answer)  # noqa: PERF401 - what came before the error is the point
        assert got == [0, 1]

    asyncio.run(main())


def test_whoever_leaves_early_leaves_nothing_running() -> None:
    async def main() -> None:
        ended = 0

        async def work(request: Any) -> int:
            nonlocal ended
            try:
                if request.number:
                    await asyncio.Event().wait()
                return 0
            finally:
                ended += 1

        requests = Requests(*[1] * 100)
        async with aclosing(answers_of(requests, work, items_max=8, bytes_max=100)) as answers:
            assert await anext(answers) == 0
            while requests.taken < 9:
                await asyncio.sleep(0)
        assert not others()
        assert requests.taken <= 10
        assert ended <= 9

    asyncio.run(main())


def test_a_call_that_is_cancelled_leaves_nothing_running() -> None:
    async def main() -> None:
        async def work(request: Any) -> int:
            return await asyncio.Event().wait()

        task = asyncio.create_task(collected(Requests(*[1] * 100), work))
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not others()

    asyncio.run(main())


def test_a_window_gives_its_room_back() -> None:
    async def main() -> None:
        window = Window(1, 10)
        await window.enter(4)
        waiting = asyncio.create_task(window.enter(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        window.leave(4)
        await waiting

    asyncio.run(main())
