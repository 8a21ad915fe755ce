"""One call's requests and answers: the N-th answer belongs to the N-th request, many are worked on at once.

Every call ends here, by an answer to its last request, an error, or the caller's leaving: no task and no request
outlives it, since grpc.aio keeps a call that its handler forgot for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple, Protocol

import grpc

from .shares import Charge, Share

Answer = bytes | list[bytes]
"""What is sent for one request: a message as it stands on the wire, or any number of them."""
Work = Callable[[bytes], Awaitable[Answer]]
"""From a request, as it stands on the wire, to its answer."""


class Call(Protocol):
    """What is used of grpc.aio's context of a streaming call."""

    def read(self) -> Awaitable[Any]: ...


class Window:
    """How much of one call is worked on at once: a count, the bytes of the requests, and what its share has room for.

    ``answer_bytes``: what an answer may have; so much is kept free for each that is not there yet.
    """

    def __init__(self, items_max: int, bytes_max: int, share: Share, answer_bytes: int = 0) -> None:
        self.share = share
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._answer_bytes = answer_bytes
        self._items = 0
        self._bytes = 0
        self._changed = asyncio.Event()

    async def enter(self, size_bytes: int) -> Charge:
        """Wait for room; a request goes alone where there is none for it.  Safe to cancel."""
        expected = size_bytes + self._answer_bytes
        while self._items and (self._full(size_bytes) or self.share.crowded(expected)):
            self._changed.clear()
            if self.share.crowded(expected):
                self.share.wake(self._changed)
            await self._changed.wait()
        self._items += 1
        self._bytes += size_bytes
        return Charge(self.share, expected)

    def _full(self, size_bytes: int) -> bool:
        return self._items >= self._items_max or self._bytes + size_bytes > self._bytes_max

    def leave(self, size_bytes: int, charge: Charge) -> None:
        """Give the room back."""
        charge.end()
        self._items -= 1
        self._bytes -= size_bytes
        self._changed.set()


class _Taken(NamedTuple):
    """A request that is worked on."""

    answer: asyncio.Future[Answer]
    size_bytes: int
    charge: Charge


_Queue = asyncio.Queue[_Taken | None]


async def answers_of(call: Call, work: Work, window: Window) -> AsyncGenerator[Answer]:
    """What ``work`` makes of each request, in the order of the requests.

    No more than ``window`` has room for is held that is not answered yet: beyond, nothing is read, so a caller who
    does not take answers is held back.  Raises what ``work`` raised for a request, after the answers before it; later
    requests may have been worked on.  Closing the iterator, or cancelling, cancels all work.
    """
    queue: _Queue = asyncio.Queue()
    feeder = asyncio.create_task(_feed(call, work, queue, window), name="grpc-requests")
    try:
        while (taken := await queue.get()) is not None:
            try:
                yield await taken.answer
            finally:
                taken.answer.cancel()
                window.leave(taken.size_bytes, taken.charge)
    finally:
        feeder.cancel()  # all is told to end before anything is waited for: a caller may leave during that, too
        await asyncio.gather(feeder, *_cancel_all(queue), return_exceptions=True)


async def _feed(call: Call, work: Work, queue: _Queue, window: Window) -> None:
    """Start work on each request as it comes."""
    try:
        while (request := await call.read()) is not grpc.aio.EOF:
            size_bytes = len(request)
            charge = await window.enter(size_bytes)
            queue.put_nowait(_Taken(asyncio.ensure_future(_worked(work, request, charge)), size_bytes, charge))
    except Exception as error:  # noqa: BLE001 - whoever takes the answers gets it in its turn
        queue.put_nowait(_Taken(_failed(error), 0, Charge(window.share, 0)))
    else:
        queue.put_nowait(None)


async def _worked(work: Work, request: bytes, charge: Charge) -> Answer:
    """The answer, which is what is held from now on."""
    answer = await work(request)
    charge.change(len(answer) if isinstance(answer, bytes) else sum(map(len, answer)))
    return answer


def _failed(error: Exception) -> asyncio.Future[Answer]:
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


def _cancel_all(queue: _Queue) -> list[asyncio.Future[Answer]]:
    """Of what waits for its turn to be answered; to be awaited."""
    left = []
    while not queue.empty():
        taken = queue.get_nowait()
        if taken is not None:
            taken.answer.cancel()
            taken.charge.end()
            left.append(taken.answer)
    return left
