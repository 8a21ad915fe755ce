"""The zygote: a process that has imported all a keeper needs, and forks one in about a millisecond.

One child, the embryo, is always forked ahead and waits on the node's socket for one byte and two descriptors:
where the certificate can be read, and where readiness is told.  It says that it has them, upon which the zygote
forks the next, and becomes a keeper.  The zygote itself never sees a certificate, so no keeper inherits another
job's secret.  When the node is gone its socket ends, and so do embryo and zygote; keepers are init's children and
live on.
"""

from __future__ import annotations

import array
import gc
import os
import socket
import sys

from .daemon import default_signals, detach
from .main import live, rehearse

REQUEST = b"b"
"""One birth, please; the descriptors are what counts."""
DESCRIPTORS = 2


def main() -> None:
    """Serve the socket whose descriptor number is the last of argv, until it ends."""
    default_signals()
    node = socket.socket(fileno=int(sys.argv[-1]))
    node.set_inheritable(False)
    # What is there now stays for good: the collector need not write to it and unshare its pages.
    gc.collect()
    gc.freeze()
    while True:
        taken_read, taken_write = os.pipe()
        between = detach(lambda taken=taken_write: _wait_to_be_born(node, taken))  # type: ignore[misc]
        os.waitpid(between, 0)
        os.close(taken_write)
        taken = os.read(taken_read, 1)
        os.close(taken_read)
        if not taken and _ended(node):
            return


def _wait_to_be_born(node: socket.socket, taken_fd: int) -> None:
    """The embryo's life, and then the keeper's."""
    rehearse()
    ends = _receive(node)
    if ends is None:
        return
    os.write(taken_fd, b"t")
    os.close(taken_fd)
    node.close()
    if len(ends) == DESCRIPTORS:
        live(*ends)


def _ended(node: socket.socket) -> bool:
    """Whether the node is gone, rather than the embryo killed."""
    try:
        return not node.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


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
