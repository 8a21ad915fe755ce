"""The blocking shell of a connection, for short commands and the blocking SDK: standard library, no event loop.

Whoever calls drives: nothing happens between calls, so an idle program pumps now and then or lets the link stall.  Not
for use by several threads at once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ...clock import Clock, RealClock
from ...errors import ClosedError, DisconnectedError, HoldfastError, Unavailable, UsageError
from ...limits import LIMITS, Limits
from ..bodies import Codec
from ..connection import Connection
from ..events import (
    ClosedByPeer,
    ErrorReceived,
    Event,
    EventReceived,
    Failed,
    Reply,
    RequestReceived,
    ResponseReceived,
)
from ..handshake.greeting import Authenticator
from ..shell import Shell
from ..sockets.sending import SendQueue, StreamSocket
from ..sockets.unix import checked_path
from ..states import Role, State
from .waiting import wait_ready

if TYPE_CHECKING:
    from .streams import BlockingReader, BlockingWriter

_RECEIVE_BYTES = 256 * 1024
_WAKE_S = 3600.0
"""A wait without any deadline is still looked after once an hour."""

OnEvent = Callable[[EventReceived], None]


class BlockingConnection(Shell):
    """One open connection to a node: a context manager, or :meth:`close` it.

    Made by :meth:`dial_unix` or ``tcp.dial_tcp``.
    """

    def __init__(self, sock: StreamSocket, core: Connection, clock: Clock) -> None:
        super().__init__(core)
        self.on_event: OnEvent | None = None
        """Gets the peer's connection-wide events, while some method here waits."""
        self._sock = sock
        self._clock = clock
        self._queue = SendQueue()
        self._replies: dict[int, Reply | HoldfastError | None] = {}
        self._on_call_event: dict[int, OnEvent] = {}

    @classmethod
    def dial_unix(
        cls,
        path: str,
        authenticator: Authenticator,
        *,
        clock: Clock | None = None,
        limits: Limits = LIMITS,
        codec: Codec | None = None,
        features: Iterable[str] = (),
    ) -> Self:
        """Connect to the unix socket at ``path`` and wait until both ends are proven, ``handshake_s`` at most.

        Raises Unavailable if nobody listens there or the node asks to come back later, PermissionDenied,
        Unauthenticated, VersionMismatch, ProtocolError, DeadlineExceeded(phase="handshake"), DisconnectedError,
        UsageError for a path that is too long.
        """
        return cls.open_on(
            _connect_unix(path, limits),
            path,
            authenticator,
            clock=clock,
            limits=limits,
            codec=codec,
            features=features,
        )

    @classmethod
    def open_on(
        cls,
        sock: StreamSocket,
        address: str,
        authenticator: Authenticator,
        *,
        clock: Clock | None = None,
        limits: Limits = LIMITS,
        codec: Codec | None = None,
        features: Iterable[str] = (),
    ) -> Self:
        """A connection over ``sock``, which is connected to ``address`` and taken over; raises as :meth:`dial_unix`."""
        clock = clock or RealClock()
        core = Connection(Role.CLIENT, authenticator, codec=codec, limits=limits, features=features, now=clock.now())
        connection = cls(sock, core, clock)
        try:
            connection._wait_open(address)
        except BaseException:
            sock.close()
            raise
        return connection

    # what can be seen

    def fileno(self) -> int:
        """The socket's descriptor, to wait on; -1 once closed."""
        return self._sock.fileno()

    def now(self) -> float:
        """Seconds on the connection's clock."""
        return self._clock.now()

    # calls

    def call(
        self,
        method: str,
        params: dict[str, Any],
        attachment: bytes = b"",
        deadline_s: float | None = None,
        *,
        on_event: OnEvent | None = None,
    ) -> Reply:
        """Call ``method`` on the peer and wait for its answer; streams and events are served meanwhile.

        ``deadline_s`` bounds the wait: DeadlineExceeded(phase="call").  ``on_event`` gets what the peer pushes on
        this call before it answers.  Raises the error the peer answered with; LimitExceeded for too large a call;
        DisconnectedError if the link is cut first; ClosedError if this end closes.  Left by an exception, as
        KeyboardInterrupt, it cancels the call at the peer.
        """
        number = self.begin_call(method, params, attachment, deadline_s)
        if on_event is not None:
            self._on_call_event[number] = on_event
        try:
            while (reply := self.take_reply(number)) is None:
                self.pump()
            return reply
        finally:
            self.give_up_call(number)

    def begin_call(
        self, method: str, params: dict[str, Any], attachment: bytes = b"", deadline_s: float | None = None
    ) -> int:
        """As :meth:`call` without the wait: the number for :meth:`take_reply`, to be asked after each :meth:`pump`."""
        self.check_usable()
        number = self.core.call(method, params, attachment, deadline_s, now=self._clock.now())
        self._replies[number] = None
        self.flush()
        return number

    def take_reply(self, number: int) -> Reply | None:
        """The answer to a begun call, once; None while there is none.  Raises as :meth:`call` does.  Does not block."""
        reply = self._replies[number]
        if reply is None:
            self.check_usable()
            return None
        del self._replies[number]
        if isinstance(reply, HoldfastError):
            raise reply
        return reply

    def give_up_call(self, number: int) -> None:
        """Wait for this call no more; the peer is told.  Nothing happens if it was answered."""
        self._replies.pop(number, None)
        self._on_call_event.pop(number, None)
        if self.core.cancel_call(number):
            self.flush()

    # streams

    def open_reader(
        self, stream_id: int | None = None, *, window_bytes: int = LIMITS.viewer_window_bytes, manual_ack: bool = False
    ) -> BlockingReader:
        """A reader of the stream that the next call will name by ``reader.stream_id``; it reads once started."""
        from .streams import BlockingReader  # most short commands open no stream

        self.check_usable()
        number = self.core.next_stream_id() if stream_id is None else stream_id
        return BlockingReader(self, number, window_bytes=window_bytes, manual_ack=manual_ack)

    def open_writer(self, stream_id: int | None = None) -> BlockingWriter:
        """A writer of the stream that the next call will name by ``writer.stream_id``."""
        from .streams import BlockingWriter

        self.check_usable()
        return BlockingWriter(self, self.core.next_stream_id() if stream_id is None else stream_id)

    # the turn

    def pump(self, timeout_s: float | None = None, also: Iterable[int] = ()) -> list[int]:
        """Wait until something moves, ``timeout_s`` seconds at most, and act on it; which of ``also`` can be read.

        ``also``: descriptors of the caller, as a terminal and a signal's wakeup.  One turn: returns after whatever
        came first, perhaps with nothing for the caller.  None waits as long as it takes.  Blocks.  Never raises on
        what the peer or the link does: see :attr:`closed_by`.
        """
        also = list(also)
        over = self._reason is not None
        self.flush()
        if self._reason is not None and not over:
            return []  # the link broke just now: that is what moved, and no descriptor would tell
        socks = [] if self._reason is not None else [self._sock.fileno()]
        ready = wait_ready([*socks, *also], socks if self._queue else [], self._patience_s(timeout_s))
        if socks and socks[0] in ready:
            self._receive()
        if self._reason is None:
            self._act(self.core.handle_timer(self._clock.now()))
        self.flush()
        return [descriptor for descriptor in also if descriptor in ready]

    def flush(self) -> None:
        """Give the kernel what waits, as far as it takes it.  Does not block."""
        try:
            while self._reason is None and (self._queue or self._refill()) and self._queue.send(self._sock):
                pass
        except OSError as error:
            self._cut(error)

    # the end

    def close(self, error: HoldfastError | None = None) -> None:
        """Say goodbye, wait until it has left, ``goodbye_s`` at most, and close the socket.  Idempotent."""
        if self._reason is None:
            self.core.goodbye(error)
            self._drain()
            self._reason = self._reason or ClosedError("the connection was closed by this end")
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # inside

    def _wait_open(self, address: str) -> None:
        while self._reason is None and self.core.state is not State.OPEN:
            self.pump()
        if self._reason is None:
            return
        if self.retry_after_s > 0:
            raise Unavailable(self._reason.message, address, self.retry_after_s) from self._reason
        raise self._reason

    def _drain(self) -> None:
        until = self._clock.now() + self.core.limits.goodbye_s
        self.flush()
        while self._queue and self._reason is None and self._clock.now() < until:
            wait_ready((), (self._sock.fileno(),), until - self._clock.now())
            self.flush()

    def _patience_s(self, timeout_s: float | None) -> float:
        deadline = self.core.next_deadline()
        core_s = _WAKE_S if deadline is None else max(0.0, deadline - self._clock.now())
        return core_s if timeout_s is None else min(core_s, timeout_s)

    def _refill(self) -> bool:
        """Take the next packet's worth from the core; whether there was anything."""
        self._queue.put(self.core.data_to_send(self.core.limits.packet_bytes_max, self._clock.now()))
        return bool(self._queue)

    def _receive(self) -> None:
        try:
            data = self._sock.recv(_RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._cut(error)
            return
        now = self._clock.now()
        self._act(self.core.receive_bytes(data, now) if data else self.core.receive_eof(now))

    def _cut(self, error: OSError) -> None:
        """The transport broke; what the peer managed to say before is heard first."""
        try:
            while data := self._sock.recv(_RECEIVE_BYTES):
                self._act(self.core.receive_bytes(data, self._clock.now()))
        except OSError:
            pass
        self._act(self.core.receive_eof(self._clock.now()))
        if self._reason is None:
            self._reason = DisconnectedError(f"the link was cut: {error.strerror or error}")

    def _act(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, ResponseReceived):
                self._settle(event.number, Reply(event.result, event.attachment))
            elif isinstance(event, ErrorReceived):
                self._settle(event.number, event.error)
            elif isinstance(event, EventReceived):
                self._tell(event)
            elif isinstance(event, RequestReceived):
                self.core.respond_error(event.number, UsageError(f"{event.method}: this client answers no calls"))
            elif isinstance(event, ClosedByPeer):
                self.retry_after_s = event.retry_after_s
                self._reason = event.error or DisconnectedError("the peer said goodbye")
            elif isinstance(event, Failed):
                self._send_last()
                self._reason = event.error

    def _send_last(self) -> None:
        """The core says goodbye to a peer that broke the contract: try once."""
        try:
            self._queue.put(self.core.data_to_send(self.core.limits.packet_bytes_max, self._clock.now()))
            if self._queue:
                self._queue.send(self._sock)
        except OSError:
            self._queue.clear()

    def _settle(self, number: int, reply: Reply | HoldfastError) -> None:
        if number in self._replies:
            self._replies[number] = reply

    def _tell(self, event: EventReceived) -> None:
        callback = self._on_call_event.get(event.number) if event.number else self.on_event
        if callback is not None:
            callback(event)


def _connect_unix(path: str, limits: Limits) -> socket.socket:
    """A non-blocking socket connected to ``path``; Unavailable if nobody listens there."""
    checked_path(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer_bytes)
        sock.settimeout(limits.handshake_s)
        sock.connect(path)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise Unavailable(f"nobody answers at {path}: {error.strerror or error}", path) from error
    return sock
