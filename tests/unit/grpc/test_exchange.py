"""The N-th answer belongs to the N-th request, and nothing outlives its call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import grpc
import pytest

from holdfast.grpc.exchange import Window, answers_of
from holdfast.grpc.shares import Share


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
    """The number that each answer is."""
    return [answer[0] async for answer in answers_of(requests, work, room(items_max, bytes_max))]


def room(items_max: int, bytes_max: int) -> Window:
    return Window(items_max, bytes_max, Share(1_000_000))


def others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_answers_are_in_the_order_of_requests_however_long_each_takes() -> None:
    async def main() -> None:
        gates = [asyncio.Event() for _ in range(10)]

        async def work(request: Any) -> bytes:
            await gates[request.number].wait()
            gates[request.number - 1].set()
            return bytes([request.number])

        gates[9].set()
        assert await collected(Requests(*[1] * 10), work, items_max=10) == list(range(10))
        assert not others()

    asyncio.run(main())


def test_no_more_is_worked_on_than_there_is_room_for() -> None:
    async def main() -> None:
        now, most = 0, 0

        async def work(request: Any) -> bytes:
            nonlocal now, most
            now += request.size
            most = max(most, now)
            await asyncio.sleep(0)
            now -= request.size
            return bytes(1)

        await collected(Requests(*[10] * 50), work, items_max=100, bytes_max=40)
        assert most <= 40
        most = 0
        await collected(Requests(*[1] * 50), work, items_max=3)
        assert most <= 3
        assert await collected(Requests(5000, 1, 5000), work) == [0, 0, 0]

    asyncio.run(main())


def test_an_error_comes_after_the_answers_before_it_and_ends_all_work() -> None:
    async def main() -> None:
        async def work(request: Any) -> bytes:
            if request.number == 2:
                raise ValueError(request.number)
            if request.number > 2:
                await asyncio.Event().wait()
            return bytes([request.number])

        got = []
        with pytest.raises(ValueError, match="2"):
            async for answer in answers_of(Requests(*[1] * 100, endless=True), work, room(8, 100)):
                got.append(answer[0])  # noqa: PERF401 - what came before the error is the point
        assert got == [0, 1]
        assert not others()

    asyncio.run(main())


def test_an_error_of_the_requests_comes_after_all_answers() -> None:
    async def main() -> None:
        async def work(request: Any) -> bytes:
            return bytes([request.number])

        got = []
        with pytest.raises(ConnectionError):
            async for answer in answers_of(Requests(1, 1, then=ConnectionError()), work, room(8, 100)):
                got.append(answer[0])  # noqa: PERF401 - what came before the error is the point
        assert got == [0, 1]

    asyncio.run(main())


def test_whoever_leaves_early_leaves_nothing_running() -> None:
    async def main() -> None:
        ended = 0

        async def work(request: Any) -> bytes:
            nonlocal ended
            try:
                if request.number:
                    await asyncio.Event().wait()
                return bytes(1)
            finally:
                ended += 1

        requests = Requests(*[1] * 100)
        async with aclosing(answers_of(requests, work, room(8, 100))) as answers:
            assert await anext(answers) == bytes(1)
            while requests.taken < 9:
                await asyncio.sleep(0)
        assert not others()
        assert requests.taken <= 10
        assert ended <= 9

    asyncio.run(main())


def test_a_call_that_is_cancelled_leaves_nothing_running() -> None:
    async def main() -> None:
        async def work(request: Any) -> bytes:
            await asyncio.Event().wait()
            return b""

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
        window = room(1, 10)
        charge = await window.enter(4)
        waiting = asyncio.create_task(window.enter(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        window.leave(4, charge)
        await waiting

    asyncio.run(main())


def test_while_a_share_is_crowded_each_call_works_on_one_request_at_a_time() -> None:
    async def main() -> None:
        share = Share(100)

        async def work(request: Any) -> bytes:
            return bytes(50 if request.number % 2 else 1)  # far less than may come

        async def begin() -> tuple[Requests, Any]:
            requests = Requests(*[10] * 40)
            answers = answers_of(requests, work, Window(4, 1000, share, answer_bytes=50))
            assert len(await anext(answers)) == 1
            return requests, answers

        calls = [await begin() for _ in range(5)]  # nobody takes more than the first answer
        for _ in range(100):
            await asyncio.sleep(0)
        taken = [requests.taken for requests, _ in calls]
        assert taken[0] >= 3 and taken[-1] <= 3, taken
        assert share.held_bytes <= 100 + 60 * len(calls)
        assert [[len(answer) async for answer in answers] for _, answers in calls] == [[50, *[1, 50] * 19]] * 5
        assert share.held_bytes == 0

    asyncio.run(main())


def test_one_who_waits_for_room_in_the_share_goes_on_when_another_call_ends() -> None:
    async def main() -> None:
        share = Share(100)

        async def work(request: Any) -> bytes:
            return bytes(95)

        async def first_of(requests: Requests) -> Any:
            answers = answers_of(requests, work, Window(4, 1000, share))
            assert len(await anext(answers)) == 95
            return answers

        one, requests = await first_of(Requests(10, 10, endless=True)), Requests(*[10] * 3, endless=True)
        two = await first_of(requests)
        for _ in range(50):
            await asyncio.sleep(0)
        assert requests.taken == 2, "the second request is read, and waits"
        await one.aclose()
        assert share.held_bytes == 95
        assert len(await anext(two)) == 95
        await two.aclose()
        assert share.held_bytes == 0
        assert not others()

    asyncio.run(main())


@pytest.mark.parametrize("steps", range(40))
def test_a_call_that_ends_anyhow_gives_all_of_its_share_back(steps: int) -> None:
    async def main() -> None:
        share = Share(1000)

        async def work(request: Any) -> bytes:
            for _ in range(request.number):
                await asyncio.sleep(0)
            if request.number == 7:
                raise ValueError
            return bytes(100)

        async def take() -> None:
            window = Window(4, 1000, share, answer_bytes=50)
            async with aclosing(answers_of(Requests(*[10] * 9), work, window)) as answers:
                async for _ in answers:
                    await asyncio.sleep(0)

        task = asyncio.create_task(take())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert share.held_bytes == 0
        assert not others()

    asyncio.run(main())
