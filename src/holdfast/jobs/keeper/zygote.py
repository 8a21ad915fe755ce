"""The zygote: a process that has imported all a keeper needs, and forks one in about a millisecond.

It takes one byte and two descriptors at a time from its socket: where the certificate can be read, and where
readiness is told.  It never sees a certificate, so no keeper inherits another job's secret.  When the node is
gone its socket ends, and so does the zygote; its keepers are init's children and live on.
"""

from __future__ import annotations

import array
import gc
import os
import signal
import socket
import sys

from .daemon import detach
from .main import live

REQUEST = b"b"
"""One birth, please; the descriptors are what counts."""
DESCRIPTORS = 2


def main() -> None:
    """Serve the socket whose descriptor number is the last of argv, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    node = socket.socket(fileno=int(sys.argv[-1]))
    node.set_inheritable(False)
    # What is there now stays for good: the collector need not write to it and unshare its pages.
    gc.collect()
    gc.freeze()
    while (ends := _receive(node)) is not None:
        if len(ends) == DESCRIPTORS:
            between = detach(lambda ends=ends: _be_born(node, *ends))  # type: ignore[misc]
            os.waitpid(between, 0)
        for fd in ends:
            os.close(fd)


def _be_born(node: socket.socket, certificate_fd: int, ready_fd: int) -> None:
    node.close()
    live(certificate_fd, ready_fd)


def _receive(node: socket.socket) -> list[int] | None:
    """The descriptors of the next request; None once the node is gone."""
    ends = array.array("i")
    data, ancillary, _, _ = node.recvmsg(1, socket.CMSG_SPACE(DESCRIPTORS * ends.itemsize))
    for level, kind, body in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            ends.frombytes(body[: len(body) - len(body) % ends.itemsize])
    for fd in ends:
        os.set_inheritable(fd, False)
    return list(ends) if data else None
