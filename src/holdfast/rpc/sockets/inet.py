"""What both shells do with a TCP socket before it carries a connection."""

from __future__ import annotations

import contextlib
import socket

from ...limits import Limits


def tune(sock: socket.socket, limits: Limits) -> None:
    """Send small frames at once, and keep what the kernel holds small, so that a keystroke overtakes a replay."""
    with contextlib.suppress(OSError):  # the peer may be gone already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer_bytes)


def is_loopback(host: str) -> bool:
    """Whether ``host``, an IP address or ``localhost``, can only be reached from this machine."""
    from ipaddress import ip_address

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
