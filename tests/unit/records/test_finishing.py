from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast.errors import StorageError
from holdfast.records.finishing import finish

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def test_results_and_errors_come_through(run: Run) -> None:
    async def fine() -> int:
        await asyncio.sleep(0)
        return 7

    async def broken() -> int:
        raise StorageError("full")

    async def main() -> None:
        assert await finish(fine()) == 7
        with pytest.raises(StorageError):
            await finish(broken())

    run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_however_often_it_is_cancelled_it_waits_for_the_end(run: Run, fails: bool) -> None:
    async def main() -> None:
        release, done = asyncio.Event(), []

        async def work() -> None:
            await release.wait()
            done.append(True)
            if fails:
                raise StorageError("nobody waits for this any more")

        task = asyncio.create_task(finish(work()))
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        release.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert done

    run(main())
