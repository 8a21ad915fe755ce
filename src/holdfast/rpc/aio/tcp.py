"""The asyncio shell over TCP, with or without TLS: listening and dialing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable

from ...clock import Clock, RealClock
from ...errors import DeadlineExceeded, HoldfastError, Unavailable, UsageError
from ...limits import LIMITS, Limits
from ...paths import Address
from ..handshake.greeting import Authenticator
from ..sockets.inet import tune
from ..sockets.tls import tls_error
from ..sockets.unix import BACKLOG
from .connection import AsyncConnection, MakeHandler
from .dial import open_on
from .server import Server


class TcpListening:
    """At a TCP port, under TLS if there is a context for it."""

    def __init__(self, where: Address, tls: ssl.SSLContext | None, limits: Limits) -> None:
        self._where = where
        self._tls = tls
        self._limits = limits

    @property
    def address(self) -> str:
        """As a URL; the port that the system chose, once open, if 0 was asked for."""
        return str(self._where)

    @property
    def lost(self) -> bool:
        """Never: a port is ours until we leave it."""
        return False

    async def open(self, make_protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        """Listen; UsageError if that cannot be done there."""
        where, tls = self._where, self._tls
        limit_s = self._limits.handshake_s if tls else None
        try:
            listener = await asyncio.get_running_loop().create_server(
                make_protocol, where.host, where.port, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=limit_s
            )
        except OSError as error:
            raise UsageError(f"listen: cannot listen at {where}: {error.strerror or error}", field="listen") from error
        self._where = where._replace(port=listener.sockets[0].getsockname()[1])
        return listener

    def leave(self) -> None:
        """Nothing stays behind."""


async def serve_tcp(
    where: Address,
    *,
    make_authenticator: Callable[[str], Authenticator],
    make_handler: MakeHandler,
    tls: ssl.SSLContext | None = None,
    features: Iterable[str] = (),
    clock: Clock | None = None,
    limits: Limits = LIMITS,
) -> Server:
    """Listen at a ``tcp`` address, or with ``tls`` at a ``tls`` one; close the Server to end.

    ``make_authenticator(address of the caller)`` gives this end's part of proving who calls.  UsageError if the
    address cannot be listened at.
    """

    def authenticator_for(transport: asyncio.Transport) -> Authenticator:
        tune(transport.get_extra_info("socket"), limits)
        return make_authenticator(_peer_text(transport.get_extra_info("peername")))

    server = Server(
        TcpListening(where, tls, limits),
        make_authenticator=authenticator_for,
        make_handler=make_handler,
        features=features,
        clock=clock,
        limits=limits,
    )
    await server.start()
    return server


def _peer_text(name: tuple[str, int] | None) -> str:
    return str(Address("tcp", host=name[0], port=name[1])).removeprefix("tcp://") if name else "a caller that left"


async def dial_tcp(
    where: Address,
    authenticator: Authenticator,
    *,
    tls: ssl.SSLContext | None = None,
    make_handler: MakeHandler | None = None,
    features: Iterable[str] = (),
    clock: Clock | None = None,
    limits: Limits = LIMITS,
) -> AsyncConnection:
    """Connect to ``where``, under ``tls`` if it is a ``tls`` address, and wait until both ends are proven.

    Raises as :func:`~holdfast.rpc.aio.dial.dial_unix` does, and ProtocolError("certificate" or "tls") if the node's
    certificate is not trusted or it speaks no TLS.  Cancel-safe: nothing is left open.
    """
    assert (where.scheme == "tls") == (tls is not None), "tls:// comes with a context, tcp:// without"
    sock = await _connected(where, limits)
    try:
        return await open_on(
            sock,
            str(where),
            authenticator,
            tls=tls,
            host=where.host,
            make_handler=make_handler,
            features=features,
            clock=clock or RealClock(),
            limits=limits,
        )
    except HoldfastError:
        raise
    except OSError as error:
        sock.close()
        raise tls_error(error, str(where)) from error
    except BaseException:
        sock.close()
        raise


async def _connected(where: Address, limits: Limits) -> socket.socket:
    """A non-blocking socket connected to the first of the host's addresses that answers."""
    loop = asyncio.get_running_loop()
    found: list[str] = []
    try:
        async with asyncio.timeout(limits.handshake_s):
            for family, kind, protocol, _, address in await _addresses(where):
                sock = socket.socket(family, kind, protocol)
                sock.setblocking(False)
                try:
                    tune(sock, limits)
                    await loop.sock_connect(sock, address)
                except OSError as error:
                    sock.close()
                    found.append(error.strerror or str(error))
                except BaseException:
                    sock.close()
                    raise
                else:
                    return sock
    except TimeoutError:
        raise DeadlineExceeded(phase="handshake", after_s=limits.handshake_s, safe_to_retry=True) from None
    except OSError as error:
        found.append(error.strerror or str(error))
    raise Unavailable(f"nobody answers at {where}: {'; '.join(found)}", str(where))


async def _addresses(where: Address) -> list[tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]]:
    """The host's addresses; a name is looked up beside the loop, an IP address needs no looking up."""
    try:
        return socket.getaddrinfo(  # type: ignore[return-value]
            where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(  # type: ignore[return-value]
            where.host, where.port, type=socket.SOCK_STREAM
        )
