"""The peer's calls on one asyncio connection: a task for each, owned here, cancelled and awaited at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

from ..errors import DeadlineExceeded, HoldfastError, InternalError
from .events import Reply, RequestReceived

_log = structlog.get_logger("holdfast.rpc")


class Handler(Protocol):
    """What answers the peer's calls on one connection."""

    async def handle(self, request: RequestReceived) -> Reply:
        """The answer; a HoldfastError travels to the caller.  Cancelled when the caller cancels or is gone."""
        ...

    def closed(self) -> None:
        """The connection is over, and every task of :meth:`handle` has ended."""
        ...


class Responder(Protocol):
    """Where answers go."""

    def respond(self, number: int, result: object, attachment: bytes = b"") -> None:
        """Answer call ``number``."""
        ...

    def respond_error(self, number: int, error: HoldfastError) -> None:
        """Answer call ``number`` with an error."""
        ...

    def now(self) -> float:
        """Seconds on the connection's clock."""
        ...


class Answers:
    """The tasks that answer one connection's peer."""

    __slots__ = ("_cancelled", "_handler", "_loop", "_responder", "_tasks")

    def __init__(self, handler: Handler, responder: Responder, loop: asyncio.AbstractEventLoop) -> None:
        self._handler = handler
        self._responder = responder
        self._loop = loop
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._cancelled: set[asyncio.Task[None]] = set()
        """Asked to end, not ended yet; a call number may be in use again by then."""

    def __len__(self) -> int:
        return len(self._tasks) + len(self._cancelled)

    def begin(self, request: RequestReceived) -> None:
        """Answer ``request`` in a task of its own."""
        self._tasks[request.number] = self._loop.create_task(self._answer(request))

    def cancel(self, number: int) -> None:
        """The caller no longer wants the answer."""
        task = self._tasks.pop(number, None)
        if task is not None:
            self._cancelled.add(task)
            task.add_done_callback(self._cancelled.discard)
            task.cancel()

    async def ended(self) -> None:
        """Wait for the tasks that run now, not for later ones.  Cancel-safe."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def end(self) -> None:
        """Cancel what still runs and wait for it; then tell the handler."""
        for number in list(self._tasks):
            self.cancel(number)
        while self._cancelled:
            await asyncio.wait(list(self._cancelled))
        self._handler.closed()

    async def _answer(self, request: RequestReceived) -> None:
        number = request.number
        try:
            handling = self._handler.handle(request)
            reply = await (handling if request.deadline is None else self._in_time(handling, request.deadline))
            self._responder.respond(number, reply.result, reply.attachment)
        except HoldfastError as error:
            self._responder.respond_error(number, error)
        except asyncio.CancelledError:
            if self._tasks.get(number) is asyncio.current_task():  # not by us: the handler awaited something that was cancelled
                self._responder.respond_error(number, InternalError(f"{request.method} was cancelled"))
            raise
        except Exception as error:
            _log.error("rpc.answer_failed", method=request.method, exc_info=error)
            self._responder.respond_error(number, InternalError(f"{request.method} failed"))
        finally:
            if self._tasks.get(number) is asyncio.current_task():
                del self._tasks[number]

    async def _in_time(self, handling: Coroutine[Any, Any, Reply], deadline: float) -> Reply:
        after_s = max(deadline - self._responder.now(), 0.0)
        timeout = asyncio.timeout(after_s)
        try:
            async with timeout:
                return await handling
        except TimeoutError:
            if timeout.expired():
                raise DeadlineExceeded(phase="handler", after_s=after_s) from None
            raise
