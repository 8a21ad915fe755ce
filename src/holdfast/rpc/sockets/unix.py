"""Unix sockets: one that listens is the only one at its path, and its owner's alone; and who is at the other end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator

from ...errors import BusyError, LimitExceeded, UsageError
from ...paths import check_socket_path

BACKLOG = 1024
"""Connections the kernel holds until we accept them; a burst of short commands is normal."""
_MASK_0600 = 0o177

_UCRED = struct.Struct("iII")
"""Linux ``struct ucred``: pid, uid, gid."""

_SOL_LOCAL = 0
_LOCAL_PEERCRED = 0x001
_XUCRED_VERSION = 0
_XUCRED_HEAD = struct.Struct("II")
"""macOS ``struct xucred``: version, uid, then the groups."""
_XUCRED_BYTES = 76


def checked_path(path: str) -> str:
    """``path`` itself; UsageError naming the limit if the platform cannot bind a socket there."""
    try:
        return check_socket_path(path)
    except LimitExceeded as error:
        raise UsageError(error.message, field="path") from None


def listen_unix(path: str) -> socket.socket:
    """A non-blocking socket, mode 0600, that listens at ``path``.

    A socket file that nobody answers on is removed.  Raises BusyError if somebody does, UsageError for a path
    that is too long, is something else than a socket, or is in no directory of ours.  Of several processes that
    try at once exactly one succeeds.
    """
    checked_path(path)
    with _alone_in(os.path.dirname(path) or "."):
        _remove_stale(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _bind(sock, path)
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            raise UsageError(f"cannot listen at {path}: {error.strerror}", field="path") from error
        return sock


def _bind(sock: socket.socket, path: str) -> None:
    mask = os.umask(_MASK_0600)  # a chmod afterwards would leave a moment in which others can connect
    try:
        sock.bind(path)
    finally:
        os.umask(mask)


@contextlib.contextmanager
def _alone_in(directory: str) -> Iterator[None]:
    """Keep other servers from looking at sockets in ``directory`` between our look and our bind."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"cannot listen in {directory}: {error.strerror}", field="path") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"{path} is there and is not a socket; it is left alone", field="path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:  # its queue is full, or it is not ours: somebody is there
            pass
    raise BusyError(f"another server answers at {path}", holder=path)


def peer_uid(sock: socket.socket) -> int | None:
    """The uid of the process that connected ``sock``, as of its connect; None if the system does not say.

    The kernel is asked, not the peer.  Never blocks.
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
