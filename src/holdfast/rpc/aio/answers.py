"""The peer's calls on one asyncio connection: a task for each, owned here, cancelled and awaited at the end."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from ...errors import DeadlineExceeded, HoldfastError, InternalError
from ..events import Reply, RequestReceived

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

    __slots__ = ("_cancelled", "_handler", "_loop", "_responder", "_running", "_timers")

    def __init__(self, handler: Handler, responder: Responder, loop: asyncio.AbstractEventLoop) -> None:
        self._handler = handler
        self._responder = responder
        self._loop = loop
        self._running: dict[int, tuple[RequestReceived, asyncio.Task[None]]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._cancelled: set[asyncio.Task[None]] = set()
        """Asked to end, not ended yet; a call number may be in use again by then."""

    def __len__(self) -> int:
        return len(self._running) + len(self._cancelled)

    def begin(self, request: RequestReceived) -> None:
        """Answer ``request`` in a task of its own."""
        number = request.number
        self._running[number] = request, self._loop.create_task(self._answer(request))
        if request.deadline is not None:
            after_s = max(request.deadline - self._responder.now(), 0.0)
            self._timers[number] = self._loop.call_later(after_s, self._expire, number, after_s)

    def cancel(self, number: int) -> None:
        """The caller no longer wants the answer.  The task is cancelled once only: it may be tidying up by now."""
        self._clear_timer(number)
        entry = self._running.pop(number, None)
        if entry is not None:
            task = entry[1]
            self._cancelled.add(task)
            task.add_done_callback(self._cancelled.discard)
            task.cancel()

    async def ended(self) -> None:
        """Wait for the tasks that run now, not for later ones.  Cancel-safe."""
        if self._running:
            await asyncio.wait([task for _, task in self._running.values()])

    async def end(self) -> None:
        """Cancel what still runs and wait for it; then tell the handler."""
        for number in list(self._running):
            self.cancel(number)
        while self._cancelled:
            await asyncio.wait(list(self._cancelled))
        self._handler.closed()

    async def _answer(self, request: RequestReceived) -> None:
        number = request.number
        try:
            reply = await self._handler.handle(request)
            self._responder.respond(number, reply.result, reply.attachment)
        except HoldfastError as error:
            self._responder.respond_error(number, error)
        except asyncio.CancelledError:
            if self._is_current(request):  # not by us: the handler awaited something that was cancelled
                self._responder.respond_error(number, InternalError(f"{request.method} was cancelled"))
            raise
        except Exception as error:  # noqa: BLE001 - the caller must get an answer, the log the trace
            _log.error("rpc.answer_failed", method=request.method, exc_info=error)
            self._responder.respond_error(number, InternalError(f"{request.method} failed"))
        finally:
            if self._is_current(request):
                del self._running[number]
                self._clear_timer(number)

    def _is_current(self, request: RequestReceived) -> bool:
        """Whether ``request`` was not cancelled by us; its number may be in use again by then."""
        entry = self._running.get(request.number)
        return entry is not None and entry[0] is request

    def _expire(self, number: int, after_s: float) -> None:
        self.cancel(number)
        self._responder.respond_error(number, DeadlineExceeded(phase="handler", after_s=after_s))

    def _clear_timer(self, number: int) -> None:
        if self._timers:
            timer = self._timers.pop(number, None)
            if timer is not None:
                timer.cancel()
