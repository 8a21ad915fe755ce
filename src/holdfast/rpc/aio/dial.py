"""Making an asyncio connection: dial, wrap in TLS if need be, prove who is who."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...clock import Clock, RealClock
from ...errors import HoldfastError, PermissionDenied, Unavailable
from ...limits import LIMITS, Limits
from ..connection import Connection
from ..handshake.greeting import Authenticator
from ..sockets.unix import checked_path
from ..states import Role
from .connection import AsyncConnection, MakeHandler
from .msgspec_codec import MsgspecCodec

if TYPE_CHECKING:
    import ssl

_DIAL_AGAIN_S = 0.01
"""Pause before a dial is repeated that found the node's queue of new connections full."""


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
    sock = await _connected_socket(checked_path(path), clock, limits)
    return await open_on(
        sock, path, authenticator, make_handler=make_handler, features=features, clock=clock, limits=limits
    )


async def open_on(
    sock: socket.socket,
    address: str,
    authenticator: Authenticator,
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "",
    make_handler: MakeHandler | None = None,
    features: Iterable[str] = (),
    clock: Clock,
    limits: Limits = LIMITS,
) -> AsyncConnection:
    """A connection over ``sock``, which is connected to ``address`` and taken over, once both ends are proven.

    With ``tls`` the certificate must be that of ``host``.  Raises as :func:`dial_unix` does, and what TLS does.
    """
    core = Connection(
        Role.CLIENT, authenticator, codec=MsgspecCodec(), limits=limits, features=features, now=clock.now()
    )
    connection = AsyncConnection(core, clock, make_handler=make_handler)
    try:
        await connection.wire.run_on(sock, tls, host)
        await connection.wait_opened()
    except BaseException as error:
        if connection.wire.abort():
            await connection.wait_closed()
        if isinstance(error, HoldfastError) and connection.retry_after_s > 0:
            raise Unavailable(error.message, address, connection.retry_after_s) from error
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
