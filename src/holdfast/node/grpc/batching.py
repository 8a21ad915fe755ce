"""Single questions asked at the same time, answered together: what comes while a batch is worked on makes the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from ...errors import HoldfastError

Q = TypeVar("Q")
A = TypeVar("A")


class Batcher(Generic[Q, A]):
    """``work`` answers a batch: for each question its answer, or the error that is raised to who asked it."""

    def __init__(
        self,
        work: Callable[[Sequence[Q]], Awaitable[Sequence[A | HoldfastError]]],
        *,
        items_max: int,
        bytes_max: int,
        size_of: Callable[[Q], int],
    ) -> None:
        self._work = work
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._size_of = size_of
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """The answer.  Cancelled, the question may still be worked on."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="batches")
        return await future

    async def close(self) -> None:
        """Cancel what is under way; who waits gets CancelledError."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        try:
            while batch := self._take():
                await self._answer(batch)
        finally:
            self._task = None
            for _, future in [*batch, *self._waiting]:
                future.cancel()
            self._waiting.clear()

    def _take(self) -> list[tuple[Q, asyncio.Future[A]]]:
        """The next batch: at least one, if there is any that is still waited for."""
        waiting = [entry for entry in self._waiting if not entry[1].done()]
        count = size_bytes = 0
        for question, _ in waiting[: self._items_max]:
            size_bytes += self._size_of(question)
            if count and size_bytes > self._bytes_max:
                break
            count += 1
        self._waiting = waiting[count:]
        return waiting[:count]

    async def _answer(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._work([question for question, _ in batch])
        except Exception as error:  # noqa: BLE001 - who asked gets it
            answers = [error] * len(batch)  # type: ignore[list-item]
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
