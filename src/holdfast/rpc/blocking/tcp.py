"""The blocking shell over TCP, with or without TLS.  No asyncio; ``ssl`` only where it is asked for."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ...clock import Clock
from ...errors import Unavailable
from ...limits import LIMITS, Limits
from ...paths import Address
from ..handshake.greeting import Authenticator
from ..sockets.inet import tune
from .connection import BlockingConnection

if TYPE_CHECKING:
    from ..sockets.sending import StreamSocket


def dial_tcp(
    where: Address,
    authenticator: Authenticator,
    *,
    ca_file: str = "",
    clock: Clock | None = None,
    limits: Limits = LIMITS,
) -> BlockingConnection:
    """Connect to a ``tcp`` or ``tls`` address and wait until both ends are proven.

    ``ca_file``: whom to trust, for TLS; empty: the system's authorities.  Raises as
    :meth:`BlockingConnection.dial_unix` does, and ProtocolError("certificate" or "tls").
    """
    sock = _connect(where, limits)
    carrier = sock if where.scheme == "tcp" else _under_tls(sock, where, ca_file)
    return BlockingConnection.open_on(carrier, str(where), authenticator, clock=clock, limits=limits)


def _connect(where: Address, limits: Limits) -> socket.socket:
    try:
        sock = socket.create_connection((where.host, where.port), timeout=limits.handshake_s)
    except OSError as error:
        raise Unavailable(f"nobody answers at {where}: {error.strerror or error}", str(where)) from error
    tune(sock, limits)
    sock.setblocking(where.scheme == "tls")
    return sock


def _under_tls(sock: socket.socket, where: Address, ca_file: str) -> StreamSocket:
    from ..sockets.tls import TlsSocket, client_context, tls_error

    try:
        sock.settimeout(LIMITS.handshake_s)
        carrier = TlsSocket(sock, client_context(ca_file), where.host)
        carrier.setblocking(False)
    except OSError as error:
        sock.close()
        raise tls_error(error, str(where)) from error
    except BaseException:
        sock.close()
        raise
    return carrier
