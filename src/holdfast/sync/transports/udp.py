"""Groups over UDP: to one multicast address, or to each peer's own.

UDP proves nothing about who sent a datagram.  Without a key anybody who can send to the address can speak in the group,
and anybody on the way can read along.  With one, only those who have it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from ...errors import LimitExceeded, UsageError
from ...limits import LIMITS, Limits
from .base import Receive, TransportStats
from .pacing import Pacer
from .segments import Reassembler, check_datagram_bytes, segment

if TYPE_CHECKING:
    from .sealing import Sealer

Endpoint = tuple[str, int]
Drop = Callable[[bytes], bool]
"""Whether a datagram shall be lost on purpose; for tests."""
_BUFFER_BYTES = 4 * 1024 * 1024
"""Socket buffers asked for; the system may give less."""


class Udp:
    """A transport over UDP.

    ``Udp(multicast="239.192.7.3:7946")`` sends to and hears a multicast address.  ``interface`` is the IPv4 address of
    the interface to use (default: the system's choice), ``ttl`` how many routers it may pass (default 1: none).

    ``Udp(listen="10.0.0.1:7946", peers=["10.0.0.2:7946"])`` sends to each peer, and takes datagrams from these
    addresses only.  Port 0 listens at a free one: see :attr:`address`.  Peers can be changed: :meth:`set_peers`.

    ``key``: 32 bytes that all of the group share (:mod:`holdfast.sync.keys`).  Each datagram is then encrypted and
    authenticated; what was not made with the key is dropped and counted in ``stats.unverified``.

    Datagrams of more than ``datagram_bytes`` are not sent: larger messages go in parts.  No more than
    ``rate_bytes_s`` leave; what waits too long is dropped and counted.  ``drop`` loses datagrams on purpose.

    UsageError for an address that is none.
    """

    def __init__(
        self,
        *,
        multicast: str = "",
        listen: str = "",
        peers: Iterable[str] = (),
        interface: str = "",
        ttl: int = 1,
        key: bytes | None = None,
        datagram_bytes: int | None = None,
        rate_bytes_s: float | None = None,
        drop: Drop | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        if bool(multicast) == bool(listen):
            raise UsageError("udp: give either a multicast address or an address to listen at", field="multicast")
        self._multicast = _to(multicast, "multicast") if multicast else None
        self._listen = parse_endpoint(listen, "listen") if listen else ("", 0)
        if self._multicast is not None:
            _check_multicast(self._multicast[0])
        self._interface = str(_ip(interface, "interface")) if interface else ""
        if not 0 <= ttl <= 255:
            raise UsageError(f"ttl: a number of routers from 0 to 255, not {ttl}", field="ttl")
        self._ttl = ttl
        self._sealer = _sealer(key, limits)
        self._datagram_bytes = check_datagram_bytes(datagram_bytes or limits.group_datagram_bytes)
        self._limits = limits
        self._drop = drop
        self._pacer = Pacer(
            rate_bytes_s or limits.group_send_rate_bytes,
            max(limits.group_send_burst_bytes, self._datagram_bytes),
            limits.group_send_queue_bytes_max,
        )
        self._reassembler = Reassembler(limits)
        self._receive: Receive | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] | None = None
        self._sent = self._received = self._dropped = 0
        self._datagrams_sent = self._datagrams_received = self._bytes_sent = self._bytes_received = 0
        self._strangers = self._unverified = 0
        self.address: Endpoint = self._multicast or self._listen
        """Where it listens, once it is open."""
        self._peers: list[Endpoint] = []
        self.set_peers(peers)

    def set_peers(self, peers: Iterable[str]) -> None:
        """Send to these, and hear these only, from now on.  UsageError for an address that is none."""
        wanted = [_to(peer, "peers") for peer in peers]
        if self._multicast is not None and wanted:
            raise UsageError("peers: a multicast address reaches all who listen there", field="peers")
        for peer in wanted:
            if (":" in peer[0]) != (":" in self._listen[0]):
                raise UsageError(f"peers: {peer[0]} cannot be reached from {self._listen[0]}", field="peers")
        self._peers = wanted
        self._known = frozenset(wanted)
        self._pacer.copies = max(1, len(wanted))

    def set_key(self, key: bytes | None) -> None:
        """Seal, and open, with another key from now on, or with none.  UsageError if it is no key."""
        sealer = _sealer(key, self._limits)
        if self._sealer is not None:
            self._unverified += self._sealer.unverified
        self._sealer = sealer

    async def open(self, receive: Receive) -> None:
        """Listen.  OSError if the address is taken, or is none of this machine."""
        loop = asyncio.get_running_loop()
        sock = self._make_socket()
        try:
            self._closed = loop.create_future()
            self._transport, _ = await loop.create_datagram_endpoint(lambda: _Protocol(self), sock=sock)
        except BaseException:
            sock.close()
            raise
        self._receive = receive
        self.address = sock.getsockname()[:2]

    def send(self, message: bytes) -> None:
        """Send to the multicast address or to all peers.  LimitExceeded for a message no peer would put together."""
        if len(message) > self._limits.group_wire_bytes_max:
            raise LimitExceeded(
                name="group_wire_bytes_max", limit=self._limits.group_wire_bytes_max, value=len(message)
            )
        if self._transport is None:
            self._dropped += 1
            return
        waiting_bytes = self._transport.get_write_buffer_size()  # type: ignore[attr-defined]  # every loop has it
        if waiting_bytes > self._limits.group_send_queue_bytes_max or not self._pacer.put(self._datagrams(message)):
            self._dropped += 1
            return
        self._sent += 1
        if self._timer is None:
            self._pump()

    def _datagrams(self, message: bytes) -> list[bytes]:
        sealer = self._sealer
        if sealer is None:
            return segment(message, self._datagram_bytes)
        size = self._datagram_bytes - sealer.overhead_bytes
        return [sealer.seal(datagram) for datagram in segment(message, size)]

    async def close(self) -> None:
        """Let go of the socket.  Idempotent."""
        self._receive = None
        self._pacer.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        transport, self._transport = self._transport, None
        if transport is not None and self._closed is not None:
            transport.abort()
            await self._closed

    @property
    def stats(self) -> TransportStats:
        return TransportStats(
            messages_sent=self._sent,
            messages_received=self._received,
            datagrams_sent=self._datagrams_sent,
            datagrams_received=self._datagrams_received,
            bytes_sent=self._bytes_sent,
            bytes_received=self._bytes_received,
            dropped=self._dropped,
            malformed=self._reassembler.malformed + self._strangers,
            unverified=self._unverified + (self._sealer.unverified if self._sealer is not None else 0),
        )

    def arrived(self, datagram: bytes, source: Any) -> None:
        """A datagram is here: from the event loop."""
        if self._multicast is None and source[:2] not in self._known:
            self._strangers += 1
            return
        if self._receive is None or (self._drop is not None and self._drop(datagram)):
            return
        self._datagrams_received += 1
        self._bytes_received += len(datagram)
        if self._sealer is not None:
            opened = self._sealer.open(datagram)
            if opened is None:
                return
            datagram = opened
        message = self._reassembler.receive(source, datagram, asyncio.get_running_loop().time())
        if message is not None:
            self._received += 1
            self._receive(message)

    def over(self) -> None:
        """The socket is closed: from the event loop."""
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def _pump(self) -> None:
        """Send what may leave now, and come back when more may."""
        self._timer = None
        loop, transport = asyncio.get_running_loop(), self._transport
        if transport is None:
            return
        for datagram in self._pacer.take(loop.time()):
            self._datagrams_sent += 1
            for endpoint in self._peers if self._multicast is None else (self._multicast,):
                self._bytes_sent += len(datagram)
                transport.sendto(datagram, endpoint)
        deadline = self._pacer.next_deadline(loop.time())
        if deadline is not None:
            self._timer = loop.call_at(deadline, self._pump)

    def _make_socket(self) -> socket.socket:
        host = self._listen[0] if self._multicast is None else self._multicast[0]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
            if self._multicast is None:
                sock.bind(self._listen)
            else:
                _join(sock, self._multicast, self._interface, self._ttl)
        except BaseException:
            sock.close()
            raise
        return sock


def _sealer(key: bytes | None, limits: Limits) -> Sealer | None:
    if key is None:
        return None
    from .sealing import SALT_BYTES, Sealer  # a group without a key does without cryptography

    return Sealer(key, os.urandom(SALT_BYTES), limits)


class _Protocol(asyncio.DatagramProtocol):
    """The event loop's side."""

    def __init__(self, owner: Udp) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._owner.arrived(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there yet, or the network is away: a datagram is lost, and others repair that."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.over()


def _join(sock: socket.socket, endpoint: Endpoint, interface: str, ttl: int) -> None:
    """Bind to the multicast address, so that nothing else reaches the socket; other processes here may do the same."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(endpoint)
    member = socket.inet_aton(endpoint[0]) + socket.inet_aton(interface or "0.0.0.0")  # noqa: S104 - no address
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, struct.pack("B", ttl))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    if interface:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))


def parse_endpoint(text: str, field: str) -> Endpoint:
    """``10.0.0.1:7946`` or ``[::1]:7946`` as a pair; UsageError naming ``field`` for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise UsageError(f"{field}: {text!r} is not an address such as 10.0.0.1:7946", field=field)
    return str(_ip(host.removeprefix("[").removesuffix("]"), field)), int(port)


def _to(text: str, field: str) -> Endpoint:
    """An address to send to."""
    endpoint = parse_endpoint(text, field)
    if not endpoint[1]:
        raise UsageError(f"{field}: {text!r} has no port to send to", field=field)
    return endpoint


def _ip(text: str, field: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address("127.0.0.1" if text == "localhost" else text)
    except ValueError:
        raise UsageError(f"{field}: {text!r} is not an IP address", field=field) from None


def _check_multicast(host: str) -> None:
    address = ip_address(host)
    if address.version != 4 or not address.is_multicast:
        raise UsageError(
            f"multicast: {host} is no IPv4 multicast address, 224.0.0.0 to 239.255.255.255", field="multicast"
        )
