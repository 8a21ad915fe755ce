"""One call's requests and answers: the N-th answer belongs to the N-th request, many are worked on at once.

Every call ends here, by an answer to its last request, an error, or the caller's leaving: no task and no request
outlives it, since grpc.aio keeps a call that its handler forgot for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol

import grpc

Work = Callable[[bytes], Awaitable[Any]]
"""From a request, as it stands on the wire, to its answer."""


class Call(Protocol):
    """What is used of grpc.aio's context of a streaming call."""

    def read(self) -> Awaitable[Any]: ...


class Window:
    """How much of one call is worked on at once: a count, and the bytes of the requests."""

    def __init__(self, items_max: int, bytes_max: int) -> None:
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._items = 0
        self._bytes = 0
        self._changed = asyncio.Event()

    async def enter(self, size_bytes: int) -> None:
        """Wait for room; a request above the bound goes alone.  Safe to cancel."""
        while self._items and (self._items >= self._items_max or self._bytes + size_bytes > self._bytes_max):
            self._changed.clear()
            await self._changed.wait()
        self._items += 1
        self._bytes += size_bytes

    def leave(self, size_bytes: int) -> None:
        """Give the room back."""
        self._items -= 1
        self._bytes -= size_bytes
        self._changed.set()


async def answers_of(call: Call, work: Work, *, items_max: int, bytes_max: int) -> AsyncGenerator[Any]:
    """What ``work`` makes of each request, in the order of the requests.

    At most ``items_max`` requests and ``bytes_max`` bytes of them are held that are not answered yet: beyond, nothing
    is read, so a caller who does not take answers is held back.  Raises what ``work`` raised for a request, after the
    answers before it; later requests may have been worked on.  Closing the iterator, or cancelling, cancels all work.
    """
    window = Window(items_max, bytes_max)
    queue: asyncio.Queue[tuple[asyncio.Future[Any], int] | None] = asyncio.Queue()
    feeder = asyncio.create_task(_feed(call, work, queue, window), name="grpc-requests")
    try:
        while (taken := await queue.get()) is not None:
            future, size_bytes = taken
            try:
                yield await future
            finally:
                future.cancel()
                window.leave(size_bytes)
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)
        await _cancel_all(queue)


async def _feed(
    call: Call, work: Work, queue: asyncio.Queue[tuple[asyncio.Future[Any], int] | None], window: Window
) -> None:
    """Start work on each request as it comes."""
    try:
        while (request := await call.read()) is not grpc.aio.EOF:
            size_bytes = len(request)
            await window.enter(size_bytes)
            queue.put_nowait((asyncio.ensure_future(work(request)), size_bytes))
    except Exception as error:  # noqa: BLE001 - whoever takes the answers gets it in its turn
        queue.put_nowait((_failed(error), 0))
    else:
        queue.put_nowait(None)


def _failed(error: Exception) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


async def _cancel_all(queue: asyncio.Queue[tuple[asyncio.Future[Any], int] | None]) -> None:
    left = []
    while not queue.empty():
        taken = queue.get_nowait()
        if taken is not None:
            taken[0].cancel()
            left.append(taken[0])
    await asyncio.gather(*left, return_exceptions=True)
