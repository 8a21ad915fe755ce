"""The asyncio shell of a connection, for the node and the async SDK.

The protocol lives in ``connection``; this moves its bytes, tells it the time, and turns its events into
results of awaits.  Everything here runs on one event loop and never blocks it: received bytes are taken
as the loop hands them over (at most 256 KiB a turn), and bytes to send are pulled only while the transport
takes them, ``send_buffer_bytes`` a turn.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, cast

from ..clock import Clock, RealClock
from ..errors import (
    ClosedError,
    DisconnectedError,
    HoldfastError,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from ..limits import LIMITS, Limits
from .aio_answers import Answers, Handler
from .connection import Connection
from .events import (
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
from .handshake import Authenticator
from .listening import checked_path
from .msgspec_codec import MsgspecCodec
from .states import Link, Role

MakeHandler = Callable[["AsyncConnection"], Handler]
OnClosed = Callable[["AsyncConnection"], None]
OnEvent = Callable[[EventReceived], None]

_DIAL_AGAIN_S = 0.01
"""Pause before a dial is repeated that found the node's queue of new connections full."""


class AsyncConnection(asyncio.Protocol):
    """One connection on the running event loop.

    Made by :func:`dial_unix` or by a server; use it as an async context manager, or :meth:`close` it and
    :meth:`wait_closed`.  All methods must be called on its loop.
    """

    def __init__(
        self,
        core: Connection,
        *,
        make_handler: MakeHandler | None = None,
        on_closed: OnClosed | None = None,
        clock: Clock | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self.core = core
        self._clock = clock or RealClock()
        self._limits = limits
        self._make_handler = make_handler
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._flush_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        self._calls: dict[int, asyncio.Future[Reply]] = {}
        self._on_event: dict[int, OnEvent] = {}
        self._stream_wakers: dict[int, Callable[[], None]] = {}
        self._answers: Answers | None = None
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._reason: HoldfastError | None = None
        self._ending: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._timer_at = 0.0
        self.retry_after_s = 0.0
        """How long the peer asked us to stay away when it said goodbye."""

    # What it is

    @property
    def identity(self) -> str:
        """Who the peer has proven to be; empty until open."""
        return self.core.identity

    @property
    def link(self) -> Link:
        """How the link stands, computed from what the peer acknowledged."""
        return Link.CLOSED if self._reason is not None else self.core.link

    @property
    def closed_by(self) -> HoldfastError | None:
        """Why the connection is over; None while it is not."""
        return self._reason

    def now(self) -> float:
        """Seconds on the connection's clock."""
        return self._clock.now()

    # Calls

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
        Raises the error the peer answered with; LimitExceeded for too many calls at once or too long a one;
        DisconnectedError if the link is cut first; ClosedError if this end closes.
        Cancel-safe: the peer is told, and cancels its handler.
        """
        self._check_usable()
        number = self.core.call(method, params, attachment, deadline_s, now=self._clock.now())
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

    async def answered(self) -> None:
        """Wait until the peer's calls that are being answered now have been.  Cancel-safe."""
        if self._answers is not None:
            await self._answers.ended()

    def respond(self, number: int, result: object, attachment: bytes = b"") -> None:
        """Answer the peer's call ``number``; dropped if it is no longer waited for."""
        if self._reason is None:
            self.core.respond(number, result, attachment)
            self.wake()

    def respond_error(self, number: int, error: HoldfastError) -> None:
        """Answer the peer's call ``number`` with ``error``."""
        if self._reason is None:
            self.core.respond_error(number, error)
            self.wake()

    # Events

    def emit(self, number: int, name: str, body: Any, attachment: bytes = b"") -> None:
        """Push an event on the peer's open call ``number``, or with 0 to its whole connection.  Never waits.

        Whoever emits much waits in :meth:`drained` now and then.  Dropped if the connection is over.
        """
        if self._reason is None:
            self.core.emit(number, name, body, attachment)
            self.wake()

    def on_connection_event(self, callback: OnEvent | None) -> None:
        """Hand each connection-wide event of the peer to ``callback``; without one they are dropped."""
        if callback is None:
            self._on_event.pop(0, None)
        else:
            self._on_event[0] = callback

    async def drained(self) -> None:
        """Wait until what was queued to be sent, stream data aside, has been given to the kernel.

        Raises DisconnectedError or ClosedError if the connection is over first.  Cancel-safe.
        """
        while self.core.control_bytes_queued and self._reason is None:
            self._all_sent.clear()
            await self._all_sent.wait()
        self._check_usable()

    # Streams (the readers and writers themselves are in aio_streams)

    def next_stream_id(self) -> int:
        """A stream number that neither end has used."""
        return self.core.next_stream_id()

    def watch_stream(self, stream_id: int, wake: Callable[[], None]) -> None:
        """Call ``wake`` whenever ``stream_id`` can be read or written again, and when the connection is over."""
        self._stream_wakers[stream_id] = wake

    def unwatch_stream(self, stream_id: int) -> None:
        """Forget what :meth:`watch_stream` set."""
        self._stream_wakers.pop(stream_id, None)

    def wake(self) -> None:
        """Something may be ready to be sent: look at the end of this turn of the loop.  Cheap, never waits."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    # The end

    def close(self, error: HoldfastError | None = None, retry_after_s: float = 0.0) -> None:
        """Say goodbye, with ``error`` as the reason and ``retry_after_s`` as advice, and close.  Idempotent.

        Calls and streams of this end raise ClosedError.  What is queued is still sent, for ``goodbye_s`` at most.
        """
        if self._reason is None:
            self.core.goodbye(error, retry_after_s)
            self._end(ClosedError("the connection was closed by this end"))
            self._flush()

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

    async def run_on(self, sock: socket.socket) -> None:
        """Take over the connected ``sock``."""
        await self._loop.create_unix_connection(lambda: self, sock=sock)

    async def abort(self, sock: socket.socket) -> None:
        """Cut the link at once, or close ``sock`` if it was not taken over yet."""
        if self._transport is None and self._reason is None:
            sock.close()
            return
        if self._transport is not None:
            self._transport.abort()
        await self.wait_closed()

    async def wait_opened(self) -> None:
        """Wait until both ends are proven; raises what prevented it."""
        await asyncio.shield(self._opened)

    def _check_usable(self) -> None:
        if self._reason is not None:
            raise self.cut_error()

    def cut_error(self, resume_offset: int | None = None) -> HoldfastError:
        """A fresh error for whoever waits on a connection that is over."""
        reason = self._reason
        if isinstance(reason, ClosedError):
            return ClosedError(reason.message)
        error = DisconnectedError(reason.message if reason else "", resume_offset)
        error.__cause__ = reason
        return error

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        transport.set_write_buffer_limits(high=0)
        self.wake()

    def data_received(self, data: bytes) -> None:
        self._act(self.core.receive_bytes(data, self._clock.now()))
        self.wake()

    def eof_received(self) -> bool:
        self._act(self.core.receive_eof(self._clock.now()))
        return False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._act(self.core.receive_eof(self._clock.now()))
        self._end(DisconnectedError(f"the link was cut: {exc}" if exc else "the link was cut"))
        self._transport = None
        for timer in (self._timer, self._abort_timer):
            if timer is not None:
                timer.cancel()
        if self._answers is None:
            self._finished()
        else:
            self._ending = self._loop.create_task(self._end_answers(self._answers))

    async def _end_answers(self, answers: Answers) -> None:
        try:
            await answers.end()
        finally:
            self._finished()

    def _finished(self) -> None:
        self._closed.set()
        if self._on_closed is not None:
            self._on_closed(self)

    # Inside

    def _flush(self) -> None:
        """Give the transport one turn's worth of what waits; go on in the next turn if there may be more."""
        self._flush_due = False
        transport = self._transport
        if transport is None:
            return
        if not self._paused:
            buffers = self.core.data_to_send(self._limits.send_buffer_bytes, self._clock.now())
            if buffers:
                transport.writelines(buffers)
                if not self._paused:
                    self.wake()
            elif not self.core.control_bytes_queued:
                self._all_sent.set()
        if self.core.finished:
            self._close_transport(transport)
        self._arm()

    def _close_transport(self, transport: asyncio.Transport) -> None:
        """Let what the transport holds leave, for ``goodbye_s`` at most: the peer may have stopped reading."""
        if self._abort_timer is None:
            transport.close()
            self._abort_timer = self._loop.call_later(self._limits.goodbye_s, transport.abort)

    def _arm(self) -> None:
        """Have the timer ring at the core's next deadline or before; an early ring does nothing but look again."""
        deadline = self.core.next_deadline()
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_later(max(deadline - self._clock.now(), 0.0), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._act(self.core.handle_timer(self._clock.now()))
        self._flush()

    def _act(self, events: list[Event]) -> None:
        for event in events:
            act = _ACTS.get(type(event))
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
            callback(event)

    def _act_stream(self, event: StreamReadable | StreamWritable) -> None:
        wake = self._stream_wakers.get(event.stream)
        if wake is not None:
            wake()

    def _act_closed_by_peer(self, event: ClosedByPeer) -> None:
        self.retry_after_s = event.retry_after_s
        self._end(event.error or DisconnectedError("the peer said goodbye"))

    def _act_failed(self, event: Failed) -> None:
        self._end(event.error)

    def _end(self, reason: HoldfastError) -> None:
        """The connection is over, for ``reason``: everyone who waits is told.  Only the first reason counts."""
        if self._reason is not None:
            return
        self._reason = reason
        if not self._opened.done():
            self._opened.set_exception(reason)
            self._opened.exception()
        calls, self._calls = self._calls, {}
        for answer in calls.values():
            if not answer.done():
                answer.set_exception(self.cut_error())
        for wake in list(self._stream_wakers.values()):
            wake()
        self._all_sent.set()
        self.wake()


_ACTS: dict[type, Callable[[AsyncConnection, Any], None]] = {
    Opened: AsyncConnection._act_opened,
    RequestReceived: AsyncConnection._act_request,
    CallCancelled: AsyncConnection._act_cancelled,
    ResponseReceived: AsyncConnection._act_response,
    ErrorReceived: AsyncConnection._act_error,
    EventReceived: AsyncConnection._act_event,
    StreamReadable: AsyncConnection._act_stream,
    StreamWritable: AsyncConnection._act_stream,
    ClosedByPeer: AsyncConnection._act_closed_by_peer,
    Failed: AsyncConnection._act_failed,
}
"""Events that are not here change nothing but :attr:`AsyncConnection.link`."""


async def dial_unix(
    path: str,
    authenticator: Authenticator,
    *,
    make_handler: MakeHandler | None = None,
    features: Iterable[str] = (),
    clock: Clock | None = None,
    limits: Limits = LIMITS,
) -> AsyncConnection:
    """Connect to the unix socket at ``path`` and wait until both ends are proven.

    Raises Unavailable if nobody listens there or the node asks to come back later, PermissionDenied,
    Unauthenticated, VersionMismatch, ProtocolError, DeadlineExceeded(phase="handshake") or DisconnectedError
    if the peer goes away meanwhile, UsageError for a path that is too long.  Cancel-safe: nothing is left open.
    """
    clock = clock or RealClock()
    core = Connection(
        Role.CLIENT, authenticator, codec=MsgspecCodec(), limits=limits, features=features, now=clock.now()
    )
    connection = AsyncConnection(core, make_handler=make_handler, clock=clock, limits=limits)
    sock = await _connected_socket(checked_path(path), clock, limits)
    try:
        await connection.run_on(sock)
        await connection.wait_opened()
    except BaseException as error:
        await connection.abort(sock)
        if isinstance(error, HoldfastError) and connection.retry_after_s > 0:
            raise Unavailable(error.message, path, connection.retry_after_s) from error
        raise
    return connection


async def _connected_socket(path: str, clock: Clock, limits: Limits) -> socket.socket:
    """A connected non-blocking socket.  A full queue of the listener is waited for, as long as a handshake may take."""
    give_up_at = clock.now() + limits.handshake_s
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(path)
        except BlockingIOError:
            sock.close()
            if clock.now() >= give_up_at:
                raise Unavailable(f"{path}: too many are connecting", path) from None
            await asyncio.sleep(_DIAL_AGAIN_S)
        except PermissionError as error:
            sock.close()
            raise PermissionDenied(f"{path}: {error.strerror}") from error
        except OSError as error:
            sock.close()
            raise Unavailable(f"nobody answers at {path}: {error.strerror}", path) from error
        else:
            return sock
