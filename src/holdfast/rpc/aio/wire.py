"""Between an asyncio transport and a connection's core: bytes, time, and nothing that knows what they mean.

Received bytes are taken as the loop hands them over, at most 256 KiB a turn.  Bytes to send are pulled from
the core only while the transport takes them, ``send_buffer_bytes`` a turn: what has not been pulled can still
be overtaken by a keystroke, and no turn of the loop is long.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from ...clock import Clock
from ..connection import Connection
from ..events import Event

if TYPE_CHECKING:
    import ssl


_TURNS_TO_ATTACH = 4
"""Turns of the loop within which a transport takes hold of the socket it was given."""


class Wire(asyncio.Protocol):
    """Moves one connection's bytes and rings its timer, on the running event loop.

    ``on_events`` gets what the core says, ``on_lost`` is called once, when the transport is gone; neither may raise.
    """

    def __init__(
        self,
        core: Connection,
        clock: Clock,
        *,
        on_events: Callable[[list[Event]], None],
        on_lost: Callable[[Exception | None], None],
    ) -> None:
        self.core = core
        self.now = clock.now
        self._on_events = on_events
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._call_soon = self._loop.call_soon
        self._send_bytes = core.limits.send_buffer_bytes
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._flush_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._abort_timer: asyncio.TimerHandle | None = None
        self._all_sent = asyncio.Event()

    # what the connection asks of it

    async def run_on(self, sock: socket.socket, tls: ssl.SSLContext | None = None, host: str = "") -> None:
        """Take over the connected ``sock``; with ``tls``, once the certificate of ``host`` has been checked.

        If this is cancelled the socket is taken over, or closed, all the same: :meth:`abort` then.
        """
        making = asyncio.ensure_future(self._take_over(sock, tls, host))
        try:
            # Cancelled in the middle, uvloop's transport would close without telling us.  It is a turn or two.
            await asyncio.shield(making)
        except asyncio.CancelledError:
            if tls is not None:
                self._fail_handshake(sock, _TURNS_TO_ATTACH)
            await asyncio.wait([making])
            making.exception()
            raise

    def _fail_handshake(self, sock: socket.socket, turns: int) -> None:
        """Have a TLS handshake end: on reading, and not before uvloop holds the socket, or it would lose it."""
        if turns:
            self._call_soon(self._fail_handshake, sock, turns - 1)
        else:
            with contextlib.suppress(OSError):  # it has ended
                sock.shutdown(socket.SHUT_RD)

    async def _take_over(self, sock: socket.socket, tls: ssl.SSLContext | None, host: str) -> None:
        if sock.family == socket.AF_UNIX:
            await self._loop.create_unix_connection(lambda: self, sock=sock)
        elif tls is None:
            await self._loop.create_connection(lambda: self, sock=sock)
        else:
            limit_s = self.core.limits.handshake_s
            await self._loop.create_connection(
                lambda: self, sock=sock, ssl=tls, server_hostname=host, ssl_handshake_timeout=limit_s
            )

    def wake(self) -> None:
        """Something may be ready to be sent: look at the end of this turn of the loop."""
        if not self._flush_due:
            self._flush_due = True
            self._call_soon(self._flush)

    def flush(self) -> None:
        """Send now what is ready, ahead of whatever else this turn of the loop has to do.

        For the one thing somebody waits for; many small ones are better sent together, by :meth:`wake`.
        """
        due = self._flush_due
        self._flush()
        self._flush_due = due or self._flush_due  # a look that was asked for is still to come

    async def all_sent(self) -> None:
        """Wait until the control frames that waited have been given to the kernel, or the transport is gone."""
        while self.core.control_bytes_queued and self._transport is not None:
            self._all_sent.clear()
            await self._all_sent.wait()

    def abort(self) -> bool:
        """Cut the link at once, dropping what waits; False if there is none."""
        if self._transport is None:
            return False
        self._transport.abort()
        return True

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        # Any byte that waits stops the core.  A TLS transport takes 0 as "always stop".
        over_tls = transport.get_extra_info("sslcontext") is not None
        self._transport.set_write_buffer_limits(high=1 if over_tls else 0)
        self.wake()

    def data_received(self, data: bytes) -> None:
        self._on_events(self.core.receive_bytes(data, self.now()))
        self.wake()

    def eof_received(self) -> bool:
        self._on_events(self.core.receive_eof(self.now()))
        return False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_events(self.core.receive_eof(self.now()))
        for timer in (self._timer, self._abort_timer):
            if timer is not None:
                timer.cancel()
        self._all_sent.set()
        self._on_lost(exc)

    # inside

    def _flush(self) -> None:
        """Give the transport one turn's worth of what waits; the rest, if there may be any, in the next turn."""
        self._flush_due = False
        transport = self._transport
        if transport is None:
            return
        if not (self._paused or transport.is_closing()):
            buffers = self.core.data_to_send(self._send_bytes, self.now())
            if buffers:
                transport.writelines(buffers)
            if self._paused:
                pass
            elif sum(map(len, buffers)) >= self._send_bytes:
                self.wake()
            else:
                self._all_sent.set()
        if self.core.finished:
            self._close(transport)
        self._arm()

    def _close(self, transport: asyncio.Transport) -> None:
        """Let what the transport holds leave, for ``goodbye_s`` at most: the peer may have stopped reading."""
        if self._abort_timer is None:
            transport.close()
            self._abort_timer = self._loop.call_later(self.core.limits.goodbye_s, transport.abort)

    def _arm(self) -> None:
        """Have the timer ring at the core's next deadline or before; an early ring only looks again."""
        deadline = self.core.next_deadline()
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_later(max(deadline - self.now(), 0.0), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._on_events(self.core.handle_timer(self.now()))
        self._flush()
