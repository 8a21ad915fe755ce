"""Buffers on their way into a non-blocking socket, in one system call for many."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

_BUFFERS_MAX = 64
"""Buffers for one system call; far below any platform's IOV_MAX."""


class StreamSocket(Protocol):
    """What a shell needs of a connected socket that does not block; TLS has its own (see ``tls``)."""

    def recv(self, size: int, /) -> bytes:
        """What has arrived, about ``size`` bytes at most; b"" at the end.  BlockingIOError if there is nothing."""
        ...

    def sendmsg(self, buffers: Sequence[bytes | memoryview], /) -> int:
        """Send from ``buffers`` what is taken now; how many bytes.  BlockingIOError if nothing is."""
        ...

    def fileno(self) -> int:
        """The descriptor to wait on; -1 once closed."""
        ...

    def close(self) -> None:
        """Close it; idempotent."""
        ...


class SendQueue:
    """What a connection gave to send and the kernel has not taken yet."""

    __slots__ = ("_buffers",)

    def __init__(self) -> None:
        self._buffers: deque[bytes | memoryview] = deque()

    def __bool__(self) -> bool:
        return bool(self._buffers)

    def put(self, buffers: list[bytes]) -> None:
        """Queue ``buffers`` in order."""
        self._buffers.extend(buffers)

    def send(self, sock: StreamSocket) -> int:
        """Give ``sock``, which must not block, as much as it takes in one call; how many bytes that was.

        Raises OSError if the link is broken.
        """
        buffers = self._buffers
        batch = [buffers[place] for place in range(min(len(buffers), _BUFFERS_MAX))]
        try:
            sent = sock.sendmsg(batch)
        except (BlockingIOError, InterruptedError):
            return 0
        self._drop(sent)
        return sent

    def clear(self) -> None:
        """Forget what was not taken."""
        self._buffers.clear()

    def _drop(self, sent: int) -> None:
        buffers = self._buffers
        while sent:
            first = buffers[0]
            if sent < len(first):
                buffers[0] = memoryview(first)[sent:]
                return
            sent -= len(first)
            buffers.popleft()
