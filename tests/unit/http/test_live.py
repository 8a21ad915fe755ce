"""Requests that last, and how they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.errors import NotFound, RateLimited
from holdfast.http.live import Lasting
from tests.conftest import Run


class Line:
    """An ASGI ``receive`` whose peer leaves when told to."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self._asked = 0

    async def receive(self) -> dict[str, Any]:
        self._asked += 1
        if self._asked == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def number(value: int) -> int:
    return value


def test_work_that_ends_gives_its_result(run: Run) -> None:
    async def main() -> None:
        lasting = Lasting()
        assert await lasting.run(number(7), Line().receive) == 7
        assert len(lasting) == 0

    run(main())


def test_one_holder_cannot_take_all_readers_there_may_be() -> None:
    lasting = Lasting()
    with lasting.held_by("a", 2), lasting.held_by("", 0):
        with lasting.held_by("a", 2), lasting.held_by("b", 2):
            with pytest.raises(RateLimited) as caught, lasting.held_by("a", 2):
                pass
            assert (caught.value.name, caught.value.limit, caught.value.value) == ("http_readers_per_token_max", 2, 3)
            assert caught.value.retry_after_s > 0
        with lasting.held_by("a", 2):
            pass


def test_work_is_cancelled_and_over_when_the_peer_leaves(run: Run) -> None:
    async def main() -> None:
        lasting, line, ended = Lasting(), Line(), asyncio.Event()

        async def work() -> int:
            line.gone.set()
            try:
                await asyncio.Event().wait()
                return 1
            finally:
                ended.set()

        assert await lasting.run(work(), line.receive) is None
        assert ended.is_set() and len(lasting) == 0

    run(main())


def test_an_error_of_the_work_comes_out(run: Run) -> None:
    async def main() -> None:
        async def work() -> None:
            raise NotFound(kind="stream", name="x")

        with pytest.raises(NotFound):
            await Lasting().run(work(), Line().receive)

    run(main())


def test_cancelling_the_request_cancels_its_work(run: Run) -> None:
    async def main() -> None:
        lasting, begun = Lasting(), asyncio.Event()

        async def work() -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(lasting.run(work(), Line().receive))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(lasting) == 0

    run(main())


def test_a_wait_gives_what_comes_or_none(run: Run) -> None:
    async def main() -> None:
        lasting = Lasting()
        assert await lasting.wait(number(3), 60.0) == 3
        assert await lasting.wait(asyncio.Event().wait(), 0.0) is None

    run(main())


def test_draining_ends_every_wait_and_every_later_one(run: Run) -> None:
    async def main() -> None:
        lasting = Lasting()
        waits = [asyncio.create_task(lasting.wait(asyncio.Event().wait(), 3600.0)) for _ in range(3)]
        await asyncio.sleep(0)
        lasting.drain()
        assert await asyncio.gather(*waits) == [None] * 3
        assert await lasting.wait(asyncio.Event().wait(), 3600.0) is None

    run(main())
