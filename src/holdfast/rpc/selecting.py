"""The shell of a connection for a ``selectors`` loop, as the keeper runs: never blocks, does a bounded amount per turn.

The loop owns the selector.  Each key's data is a function of the event mask::

    for key, mask in selector.select(timeout_s):
        key.data(mask)

and the timeout comes from the ``next_deadline()`` of every connection, whose ``handle_timer()`` it then calls.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from collections.abc import Callable
from typing import Protocol

from ..clock import Clock, RealClock
from ..errors import DisconnectedError, HoldfastError
from .connection import Connection
from .events import ClosedByPeer, Event, Failed
from .sockets.sending import SendQueue
from .sockets.unix import listen_unix, peer_uid

_RECEIVE_BYTES = 64 * 1024
_TURN_BYTES = 256 * 1024
"""Sent in one turn at most, so that a fast reader does not hold up the rest of the loop."""
_ACCEPTS_MAX = 16
"""Accepted in one turn at most."""


class EventHandler(Protocol):
    """What acts on a connection's events."""

    def handle_event(self, link: SelectorConnection, event: Event) -> None:
        """One event, in order; answers given to ``link.core`` meanwhile leave at the end of the turn."""
        ...

    def handle_closed(self, link: SelectorConnection, error: HoldfastError | None) -> None:
        """The connection is over and its socket closed; called once, last.  None: by our own close, or in order."""
        ...


class SelectorConnection:
    """One connection on a selector.

    Call :meth:`flush` once it is made, and after asking ``core`` for something from outside an event.
    """

    def __init__(
        self,
        sock: socket.socket,
        core: Connection,
        selector: selectors.BaseSelector,
        handler: EventHandler,
        clock: Clock | None = None,
    ) -> None:
        self.core = core
        self._sock = sock
        self._selector = selector
        self._handler = handler
        self._clock = clock or RealClock()
        self._queue = SendQueue()
        self._mask = selectors.EVENT_READ
        self._closed = False
        self._error: HoldfastError | None = None
        self._linger_until: float | None = None
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, core.limits.send_buffer_bytes)
        selector.register(sock, self._mask, self.handle_ready)

    @property
    def closed(self) -> bool:
        """Whether the socket is closed."""
        return self._closed

    def handle_ready(self, mask: int) -> None:
        """The selector says that the socket is ready: one turn of receiving, then of sending."""
        if not self._closed and mask & selectors.EVENT_READ:
            self._receive()
        self.flush()

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` wants to be called; None: not at all."""
        if self._closed:
            return None
        return self._linger_until if self.core.finished else self.core.next_deadline()

    def handle_timer(self) -> None:
        """Time has passed; may be called early."""
        if self._closed:
            return
        now = self._clock.now()
        self._act(self.core.handle_timer(now))
        self.flush()
        if self._linger_until is not None and now >= self._linger_until:
            self._close()

    def flush(self) -> None:
        """Give the kernel what waits, a turn's worth at most; the rest when the selector says that it takes more."""
        if self._closed:
            return
        try:
            self._send()
        except OSError as error:
            self._cut(error)
            return
        if not self.core.finished:
            return
        if not self._queue:
            self._close()
        elif self._linger_until is None:
            self._linger_until = self._clock.now() + self.core.limits.goodbye_s

    def close(self, error: HoldfastError | None = None, retry_after_s: float = 0.0) -> None:
        """Say goodbye and close once it has left, after ``goodbye_s`` at most.  Idempotent."""
        self.core.goodbye(error, retry_after_s)
        self.flush()

    def abort(self) -> None:
        """Cut the link now, without a goodbye.  Idempotent."""
        if not self._closed:
            self._error = self._error or DisconnectedError("the link was cut by this end")
            self._close()

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

    def _send(self) -> None:
        room = _TURN_BYTES
        limits = self.core.limits
        while room > 0:
            if not self._queue:
                self._queue.put(self.core.data_to_send(limits.packet_bytes_max, self._clock.now()))
            if not self._queue:
                self._watch(selectors.EVENT_READ)
                return
            sent = self._queue.send(self._sock)
            room -= sent
            if not sent:
                break
        self._watch(selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _watch(self, mask: int) -> None:
        if mask != self._mask:
            self._mask = mask
            self._selector.modify(self._sock, mask, self.handle_ready)

    def _act(self, events: list[Event]) -> None:
        for event in events:
            if self._closed:
                return
            if isinstance(event, ClosedByPeer | Failed):
                self._error = event.error
                if self.core.finished:
                    self._queue.clear()
            self._handler.handle_event(self, event)

    def _cut(self, error: OSError) -> None:
        """The transport broke; what the peer managed to say before is heard first."""
        try:
            while not self.core.finished and (data := self._sock.recv(_RECEIVE_BYTES)):
                self._act(self.core.receive_bytes(data, self._clock.now()))
        except OSError:
            pass
        self._act(self.core.receive_eof(self._clock.now()))
        self._error = self._error or DisconnectedError(f"the link was cut: {error.strerror or error}")
        self._close()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._queue.clear()
        self._selector.unregister(self._sock)
        self._sock.close()
        self._handler.handle_closed(self, self._error)


OnAccept = Callable[[socket.socket, "int | None"], None]


class SelectorListener:
    """Listens on a unix socket, mode 0600, on a selector.

    ``on_accept(sock, peer_uid)`` gets, and owns, each connection.
    Raises BusyError if somebody listens at ``path``, UsageError for a path that is too long.
    """

    def __init__(self, path: str, selector: selectors.BaseSelector, on_accept: OnAccept) -> None:
        self.path = path
        self._selector = selector
        self._on_accept = on_accept
        self._sock = listen_unix(path)
        self._closed = False
        selector.register(self._sock, selectors.EVENT_READ, self.handle_ready)

    def handle_ready(self, mask: int) -> None:
        """The selector says that somebody is calling."""
        for _ in range(_ACCEPTS_MAX):
            if self._closed:
                return
            try:
                sock, _address = self._sock.accept()
            except OSError:
                # Nobody left, one that gave up meanwhile, or no descriptor to spare: the selector asks again.
                return
            self._on_accept(sock, peer_uid(sock))

    def close(self) -> None:
        """Accept nobody any more and remove the socket file.  Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._selector.unregister(self._sock)
        self._sock.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
