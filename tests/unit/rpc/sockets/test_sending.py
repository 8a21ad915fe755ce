"""Sending without blocking: what the kernel did not take waits, in order."""

from __future__ import annotations

import socket

from holdfast.rpc.sockets.sending import SendQueue


def test_a_send_queue_goes_on_where_the_kernel_stopped() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        left.setblocking(False)
        left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 5000)
        queue = SendQueue()
        pieces = [bytes([number]) * (number * 37 % 3000 + 1) for number in range(200)]
        queue.put(pieces)
        got = b""
        while queue:
            queue.send(left)
            got += right.recv(1 << 16)
        left.close()
        while data := right.recv(1 << 16):
            got += data
        assert got == b"".join(pieces)
