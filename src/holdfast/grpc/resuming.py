"""One iterator of results across as many calls as it takes: each item's error ends a call, and the next goes on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Generic, NamedTuple, TypeVar

import grpc

from ..errors import HoldfastError, RecordStreamError, UsageError
from . import wire
from .statuses import error_of, is_of_an_item

R = TypeVar("R")
Items = AsyncIterable[Any] | Iterable[Any]

UNDER_WAY_MAX = 256
"""Inputs taken that have no result."""
_STATUS_LOST = "Internal error from Core"
"""What grpc.aio says of a call that ended while it was being written to."""


class Kind(NamedTuple, Generic[R]):
    """One of the streams: how an input becomes a request, and an answer or an error its result."""

    method: wire.Method
    request: Callable[[Any], Any]
    result: Callable[[int, Any, Any], R]
    """From index, request and answer."""
    failed: Callable[[int, HoldfastError], R]


class Run(Generic[R]):
    """One iterator's inputs, and the calls they go out on."""

    def __init__(self, kind: Kind[R], inputs: AsyncGenerator[Any], open_call: Callable[[], Any]) -> None:
        self._kind = kind
        self._inputs = inputs
        self._open_call = open_call
        self._taken = 0
        self._answered = 0
        self._ended = False
        self._waiting: deque[Any] = deque()
        """Of inputs without a result, in order: the request, or the error it is instead."""
        self._moved = asyncio.Event()
        self._allowance = UNDER_WAY_MAX
        """Requests that may be sent and not answered."""

    async def results(self) -> AsyncGenerator[R]:
        """One for each input, in order.  Raises what the inputs raise, after the results of those before."""
        feeder = asyncio.create_task(self._feed(), name="grpc-inputs")
        try:
            while await self._something():
                if isinstance(self._waiting[0], HoldfastError):
                    yield self._kind.failed(self._answered, self._pop())
                    continue
                async with aclosing(self._on(self._open_call())) as results:
                    async for result in results:
                        yield result
            await feeder
        finally:
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)
            await self._inputs.aclose()

    async def _feed(self) -> None:
        """Take inputs while there is room."""
        try:
            async for item in self._inputs:
                self._waiting.append(self._request(item))
                self._taken += 1
                self._tell()
                while len(self._waiting) >= UNDER_WAY_MAX:
                    await self._moved.wait()
        finally:
            self._ended = True
            self._tell()

    def _request(self, item: Any) -> Any:
        try:
            return self._kind.request(item)
        except HoldfastError as error:
            return error

    def _tell(self) -> None:
        """Wake who waits for something to have moved."""
        self._moved.set()
        self._moved = asyncio.Event()

    def _pop(self) -> Any:
        self._answered += 1
        self._tell()
        return self._waiting.popleft()

    async def _something(self) -> bool:
        """Wait until an input waits for its result; False: there are no more."""
        while not self._waiting:
            if self._ended:
                return False
            await self._moved.wait()
        return True

    async def _on(self, call: Any) -> AsyncGenerator[R]:
        """Results as far as this call goes."""
        sender = asyncio.create_task(self._send(call), name="grpc-send")
        try:
            while await self._something():
                if isinstance(self._waiting[0], HoldfastError):
                    yield self._kind.failed(self._answered, self._pop())
                    continue
                answer = await _read(call)
                if answer is grpc.aio.EOF:
                    failed = await self._stopped(call)
                    if failed is not None:
                        yield failed
                    return
                yield self._result(self._answered, answer)
            await sender
            await _read(call)  # so that it ends by itself
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            call.cancel()

    async def _stopped(self, call: Any) -> R | None:
        """The server ended the call: that is the next item's error, or the end of everything.

        A request that was being written just then makes grpc.aio lose the status.  So the next call is asked for one
        item at a time, which cannot happen to it, until it has answered.
        """
        if await call.details() == _STATUS_LOST and self._allowance > 1:
            self._allowance = 1
            return None
        error = error_of(await call.code(), await call.details() or "", await call.trailing_metadata())
        if not is_of_an_item(error):
            raise ended(error, self._answered, self._taken)
        index = self._answered
        self._pop()
        return self._kind.failed(index, error)

    def _result(self, index: int, answer: Any) -> R:
        self._allowance = min(UNDER_WAY_MAX, 2 * self._allowance)
        request = self._pop()
        try:
            return self._kind.result(index, request, answer)
        except HoldfastError as error:
            return self._kind.failed(index, error)

    async def _send(self, call: Any) -> None:
        """Send what waits, as it comes; nothing is sent twice on one call."""
        following = self._answered
        try:
            while following < self._taken or not self._ended:
                if following == self._taken or following - self._answered >= self._allowance:
                    await self._moved.wait()
                    continue
                following = max(following, self._answered)  # what was refused may be over already
                if following == self._taken:
                    continue
                request = self._waiting[following - self._answered]
                following += 1
                if not isinstance(request, HoldfastError):
                    await call.write(request)
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # it has ended: who reads finds out why


async def _read(call: Any) -> Any:
    """The next answer; EOF also when the call ended with an error, which its status says."""
    try:
        return await call.read()
    except grpc.aio.AioRpcError:
        return grpc.aio.EOF


async def iterate(items: Items) -> AsyncGenerator[Any]:
    """The inputs; their iterator is closed in the end."""
    if isinstance(items, str | bytes | Mapping):
        raise UsageError(f"items: an iterable of inputs was expected, not one {type(items).__name__}", field="items")
    if isinstance(items, AsyncIterable):
        iterator = aiter(items)
        try:
            async for item in iterator:
                yield item
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()
        return
    for count, item in enumerate(items):
        if count % UNDER_WAY_MAX == 0:
            await asyncio.sleep(0)
        yield item


def ended(error: HoldfastError, answered: int, taken: int) -> RecordStreamError:
    """What an iterator raises that ``error`` has ended early."""
    failure = RecordStreamError(f"{error} ({answered} of {taken} items taken were answered)", answered, taken)
    failure.__cause__ = error
    return failure
