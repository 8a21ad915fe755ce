"""Which user is at the other end of a unix socket: asked of the kernel, not of the peer."""

from __future__ import annotations

import socket
import struct
import sys

_UCRED = struct.Struct("iII")
"""Linux ``struct ucred``: pid, uid, gid."""

_SOL_LOCAL = 0
_LOCAL_PEERCRED = 0x001
_XUCRED_VERSION = 0
_XUCRED_HEAD = struct.Struct("II")
"""macOS ``struct xucred``: version, uid, then the groups."""
_XUCRED_BYTES = 76


def peer_uid(sock: socket.socket) -> int | None:
    """The uid of the process that connected ``sock``, as of its connect; None if the system does not say.

    Never blocks.
    """
    try:
        return _linux_uid(sock) if sys.platform == "linux" else _bsd_uid(sock)
    except (AttributeError, OSError):
        return None


def _linux_uid(sock: socket.socket) -> int:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid: int = _UCRED.unpack(credentials)[1]
    return uid


def _bsd_uid(sock: socket.socket) -> int | None:
    credentials = sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES)
    return parse_xucred(credentials)


def parse_xucred(credentials: bytes) -> int | None:
    """The uid in a macOS or BSD ``struct xucred``; None for one of another version or too short."""
    if len(credentials) < _XUCRED_HEAD.size:
        return None
    version, uid = _XUCRED_HEAD.unpack_from(credentials)
    return int(uid) if version == _XUCRED_VERSION else None
