"""Waiting for file descriptors of any kind: sockets, terminals, pipes, regular files."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterable

_POLL_ERRORS = 0 if sys.platform == "win32" else select.POLLERR | select.POLLHUP | select.POLLNVAL


def wait_ready(readable: Iterable[int], writable: Iterable[int], timeout_s: float | None) -> set[int]:
    """The descriptors that are ready or broken, after ``timeout_s`` seconds at most; None waits for ever.

    Blocks.  A signal handler that raises ends it.
    """
    if sys.platform == "darwin":
        return _select(readable, writable, timeout_s)
    poll = select.poll()
    wanted = dict.fromkeys(readable, select.POLLIN)
    for descriptor in writable:
        wanted[descriptor] = wanted.get(descriptor, 0) | select.POLLOUT
    for descriptor, mask in wanted.items():
        poll.register(descriptor, mask)
    timeout_ms = None if timeout_s is None else max(0, -int(-timeout_s * 1000 // 1))
    return {descriptor for descriptor, mask in poll.poll(timeout_ms) if mask & (wanted[descriptor] | _POLL_ERRORS)}


def _select(readable: Iterable[int], writable: Iterable[int], timeout_s: float | None) -> set[int]:
    """For macOS, whose poll does not know terminals."""
    readable, writable = list(readable), list(writable)
    can_read, can_write, broken = select.select(readable, writable, [*readable, *writable], timeout_s)
    return {*can_read, *can_write, *broken}
