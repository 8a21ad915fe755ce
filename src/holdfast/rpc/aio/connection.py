"""The asyncio shell of a connection, for the node and the async SDK: events of the core become results of awaits.

The protocol lives in the core, ``rpc.connection``, the transport in ``wire``, what answers the peer in ``answers``,
streams in ``streams``; a connection is made by ``dial`` or by a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ...clock import Clock
from ...errors import ClosedError, DisconnectedError, HoldfastError, NotFound
from ...limits import LIMITS
from ..connection import Connection
from ..events import (
    CallCancelled,
    ClosedByPeer,
    ErrorReceived,
    Event,
    EventReceived,
    Failed,
    Opened,
    Reply,
    RequestReceived,
    ResponseReceived,
    StreamReadable,
    StreamWritable,
)
from ..shell import Shell
from .answers import Answers, Handler
from .streams import AsyncReader, AsyncWriter
from .wire import Wire

if TYPE_CHECKING:
    from ...streams import OutputSender

__all__ = ["AsyncConnection", "MakeHandler", "OnEvent", "Reply"]

MakeHandler = Callable[["AsyncConnection"], Handler]
OnClosed = Callable[["AsyncConnection"], None]
OnEvent = Callable[[EventReceived], None]


class AsyncConnection(Shell):
    """One connection on the running event loop.

    Made by ``dial`` or by a server; use it as an async context manager, or :meth:`close` it and
    :meth:`wait_closed`.  All methods must be called on its loop.
    """

    def __init__(
        self,
        core: Connection,
        clock: Clock,
        *,
        make_handler: MakeHandler | None = None,
        on_closed: OnClosed | None = None,
    ) -> None:
        super().__init__(core)
        self.wire = Wire(core, clock, on_events=self._act, on_lost=self._lost)
        self.now = clock.now
        """Seconds on the connection's clock."""
        self.wake = self.wire.wake
        """Something may be ready to be sent; cheap, never waits."""
        self.flush = self.wire.flush
        """The same, and it is sent at once."""
        self._loop = asyncio.get_running_loop()
        self._make_handler = make_handler
        self._on_closed = on_closed
        self._calls: dict[int, asyncio.Future[Reply]] = {}
        self._on_event: dict[int, OnEvent] = {}
        self._stream_wakers: dict[int, Callable[[], None]] = {}
        self._answers: Answers | None = None
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ending: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    # our calls

    async def call(
        self,
        method: str,
        params: dict[str, Any],
        attachment: bytes = b"",
        deadline_s: float | None = None,
        *,
        on_event: OnEvent | None = None,
    ) -> Reply:
        """Call ``method`` on the peer and wait for its answer.

        ``deadline_s`` bounds the wait, here and in the peer's handler: DeadlineExceeded(phase="call").
        ``on_event`` gets what the peer pushes on this call before it answers.
        Raises the error the peer answered with; LimitExceeded for too many calls at once or too large a one;
        DisconnectedError if the link is cut first; ClosedError if this end closes.
        Cancel-safe: the peer is told, and cancels its handler.
        """
        if self._reason is not None:
            raise self.cut_error()
        number = self.core.call(method, params, attachment, deadline_s, now=self.now())
        answer: asyncio.Future[Reply] = self._loop.create_future()
        self._calls[number] = answer
        if on_event is not None:
            self._on_event[number] = on_event
        self.wake()
        try:
            return await answer
        finally:
            if self._calls.pop(number, None) is not None and self._reason is None:
                self.core.cancel_call(number)
                self.wake()
            if on_event is not None:
                self._on_event.pop(number, None)

    def on_connection_event(self, callback: OnEvent | None) -> None:
        """Hand each connection-wide event of the peer to ``callback``; without one they are dropped."""
        if callback is None:
            self._on_event.pop(0, None)
        else:
            self._on_event[0] = callback

    # the peer's calls

    def respond(self, number: int, result: object, attachment: bytes = b"") -> None:
        """Answer the peer's call ``number``; dropped if nobody waits for it any more.

        TypeError or ValueError if ``result`` is not JSON; the call is still open then.
        """
        self.core.respond(number, result, attachment)
        self.wake()

    def respond_error(self, number: int, error: HoldfastError) -> None:
        """Answer the peer's call ``number`` with ``error``; dropped if nobody waits for it any more."""
        self.core.respond_error(number, error)
        self.wake()

    async def answered(self) -> None:
        """Wait until the peer's calls that are being answered now have been.  Cancel-safe."""
        if self._answers is not None:
            await self._answers.ended()

    def emit(self, number: int, name: str, body: Any, attachment: bytes = b"") -> None:
        """Push an event on the peer's open call ``number``, or with 0 to its whole connection.  Never waits.

        Whoever emits much waits in :meth:`drained` now and then.  Dropped if the call or the connection is over.
        LimitExceeded if too much waits to be sent (``control_queue_bytes_max``) or it is too large.
        """
        self.core.emit(number, name, body, attachment)
        self.wake()

    async def drained(self) -> None:
        """Wait until what was queued to be sent, stream data aside, has been given to the kernel.

        Raises DisconnectedError or ClosedError if the connection is over first.  Cancel-safe.
        """
        await self.wire.all_sent()
        self.check_usable()

    # streams

    def next_stream_id(self) -> int:
        """A stream number that neither end has used."""
        return self.core.next_stream_id()

    def open_reader(
        self,
        stream_id: int | None = None,
        *,
        window_bytes: int = LIMITS.viewer_window_bytes,
        start_offset: int = 0,
        manual_ack: bool = False,
    ) -> AsyncReader:
        """A reader of the stream that the next call will name by ``reader.stream_id``; it reads once started."""
        self.check_usable()
        number = self.core.next_stream_id() if stream_id is None else stream_id
        return AsyncReader(self, number, window_bytes=window_bytes, start_offset=start_offset, manual_ack=manual_ack)

    def open_writer(self, stream_id: int | None = None, *, window_bytes: int = 0, start_offset: int = 0) -> AsyncWriter:
        """A writer to the stream ``stream_id``, which the reading end chose and named, or a fresh one to name to it.

        ``window_bytes``: the reader's window if it is known; with 0 its first acknowledgement opens the stream.
        ``start_offset``: where the stream begins.  UsageError for a number in use.
        """
        self.check_usable()
        number = self.core.next_stream_id() if stream_id is None else stream_id
        return AsyncWriter(self, number, window_bytes=window_bytes, start_offset=start_offset)

    def attach_sender(self, sender: OutputSender, on_moved: Callable[[], None] | None = None) -> None:
        """Send for ``sender``, which is connected to a stream, until it is done, cancelled, or the link is cut.

        Call :meth:`sender_ready` after each write to it.  ``on_moved`` is called when it was acknowledged,
        cancelled, or the link was cut; the sender is disconnected then and keeps what was not acknowledged.
        """
        self.check_usable()
        self.core.broker.add_sender(sender)
        stream_id = sender.stream_id
        assert stream_id is not None, "add_sender refuses it"

        def moved() -> None:
            if self._reason is not None and sender.stream_id == stream_id:
                sender.disconnect()
            if sender.stream_id != stream_id:
                self.unwatch_stream(stream_id)
            if on_moved is not None:
                on_moved()

        self.watch_stream(stream_id, moved)
        self.wake()

    def sender_ready(self, stream_id: int) -> None:
        """An attached sender was written to, or ended."""
        self.core.broker.ready(stream_id)
        self.wake()

    def watch_stream(self, stream_id: int, moved: Callable[[], None]) -> None:
        """Call ``moved`` whenever ``stream_id`` may be read or written again, and when the connection is over."""
        self._stream_wakers[stream_id] = moved

    def unwatch_stream(self, stream_id: int) -> None:
        """Forget what :meth:`watch_stream` set."""
        self._stream_wakers.pop(stream_id, None)

    # the end

    def close(self, error: HoldfastError | None = None, retry_after_s: float = 0.0) -> None:
        """Say goodbye, with ``error`` as the reason and ``retry_after_s`` as advice, and close.  Idempotent.

        Calls and streams of this end raise ClosedError.  What is queued is still sent, for ``goodbye_s`` at most.
        """
        if self._reason is None:
            self.core.goodbye(error, retry_after_s)
            self._end(ClosedError("the connection was closed by this end"))

    async def wait_closed(self) -> None:
        """Wait until the transport is closed and every task of this connection has ended.  Cancel-safe."""
        await self._closed.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        await self.wait_closed()

    async def wait_opened(self) -> None:
        """Wait until both ends are proven; raises what prevented it.  Cancel-safe."""
        await asyncio.shield(self._opened)

    # inside: what the wire says

    def _act(self, events: list[Event]) -> None:
        acts = self._ACTS
        for event in events:
            act = acts.get(type(event))
            if act is not None:
                act(self, event)

    def _act_opened(self, _event: Opened) -> None:
        if self._make_handler is not None:
            self._answers = Answers(self._make_handler(self), self, self._loop)
        if not self._opened.done():
            self._opened.set_result(None)

    def _act_request(self, event: RequestReceived) -> None:
        if self._answers is None:
            self.core.respond_error(event.number, NotFound(kind="method", name=event.method))
        else:
            self._answers.begin(event)

    def _act_cancelled(self, event: CallCancelled) -> None:
        if self._answers is not None:
            self._answers.cancel(event.number)

    def _act_response(self, event: ResponseReceived) -> None:
        answer = self._calls.pop(event.number, None)
        if answer is not None and not answer.done():
            answer.set_result(Reply(event.result, event.attachment))

    def _act_error(self, event: ErrorReceived) -> None:
        answer = self._calls.pop(event.number, None)
        if answer is not None and not answer.done():
            answer.set_exception(event.error)

    def _act_event(self, event: EventReceived) -> None:
        callback = self._on_event.get(event.number)
        if callback is not None:
            self._guarded(callback, event)

    def _act_stream(self, event: StreamReadable | StreamWritable) -> None:
        moved = self._stream_wakers.get(event.stream)
        if moved is not None:
            self._guarded(moved)

    def _act_closed_by_peer(self, event: ClosedByPeer) -> None:
        self.retry_after_s = event.retry_after_s
        self._end(event.error or DisconnectedError("the peer said goodbye"))

    def _act_failed(self, event: Failed) -> None:
        self._end(event.error)

    def _guarded(self, callback: Callable[..., None], *args: object) -> None:
        """Call what is not ours: its mistake must not take the connection down."""
        try:
            callback(*args)
        except Exception as error:  # noqa: BLE001 - reported where the application looks
            self._loop.call_exception_handler({"message": f"{callback!r} failed", "exception": error})

    def _end(self, reason: HoldfastError) -> None:
        """The connection is over, for ``reason``: everyone who waits is told.  Only the first reason counts."""
        if self._reason is not None:
            return
        self._reason = reason
        if not self._opened.done():
            self._opened.set_exception(reason)
            self._opened.exception()  # nobody may be waiting
        calls, self._calls = self._calls, {}
        for answer in calls.values():
            if not answer.done():
                answer.set_exception(self.cut_error())
        for moved in list(self._stream_wakers.values()):
            self._guarded(moved)
        self.wake()

    def _lost(self, error: Exception | None) -> None:
        self._end(DisconnectedError(f"the link was cut: {error}" if error else "the link was cut"))
        if self._answers is None:
            self._finish()
        else:
            self._ending = self._loop.create_task(self._end_answers(self._answers))

    async def _end_answers(self, answers: Answers) -> None:
        try:
            await answers.end()
        finally:
            self._finish()

    def _finish(self) -> None:
        self._closed.set()
        if self._on_closed is not None:
            self._on_closed(self)

    _ACTS: ClassVar[dict[type, Callable[[AsyncConnection, Any], None]]] = {
        Opened: _act_opened,
        RequestReceived: _act_request,
        CallCancelled: _act_cancelled,
        ResponseReceived: _act_response,
        ErrorReceived: _act_error,
        EventReceived: _act_event,
        StreamReadable: _act_stream,
        StreamWritable: _act_stream,
        ClosedByPeer: _act_closed_by_peer,
        Failed: _act_failed,
    }
    """Events that are not here change nothing but :attr:`link`."""
