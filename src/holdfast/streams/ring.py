"""What a sender keeps until it is acknowledged: the buffer contract, and the ring in memory."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol

from ..errors import UsageError
from ..limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .packets import Payload

_FIRST_STORAGE_BYTES = 16 * 1024
"""First allocation; doubled on demand, so that an idle stream does not pay for its whole capacity."""
_TRIM_RUNS = 64
"""Forgotten tag runs are cut off the list in batches of at least this many, to stay O(1) per byte."""


class Buffer(Protocol):
    """Bytes at absolute offsets, of which a stretch ``[head, total)`` is kept.  Never blocks by itself."""

    @property
    def head(self) -> int:
        """Offset of the oldest byte kept."""
        ...

    @property
    def total(self) -> int:
        """Offset the next byte written gets."""
        ...

    def write_available(self, data: Payload, tag: int = 0) -> int:
        """Keep as much of the front of ``data`` as fits; how many bytes were taken."""
        ...

    def peek(self, offset: int, size: int) -> tuple[Payload, int]:
        """Up to ``size`` bytes from ``offset``, all of one tag, and that tag.

        May give fewer bytes than there are, never none while ``offset < total``.  The data may be a view
        that the next write changes: copy what outlives the call.
        """
        ...

    def consume(self, offset: int) -> None:
        """Forget every byte below ``offset``."""
        ...


class RingBuffer:
    """A :class:`Buffer` of fixed capacity in memory.

    ``capacity``: bytes at most.  ``overwrite``: what a full ring does with more: False refuses it (the
    writer may leave one waiter), True drops the oldest bytes, moves ``head`` and counts them in
    ``dropped``.  ``start_offset``: the offset of the first byte.  Works in slices; storage grows up to the
    capacity as it is first used.
    """

    __slots__ = (
        "_capacity",
        "_overwrite",
        "_run_starts",
        "_run_tags",
        "_storage",
        "_storage_bytes",
        "_waiter",
        "_window",
        "dropped",
        "head",
        "total",
    )

    def __init__(self, capacity: int = LIMITS.ring_bytes, *, overwrite: bool = False, start_offset: int = 0) -> None:
        if capacity < 1:
            raise UsageError(f"capacity: must be at least 1 byte, not {capacity}", field="capacity")
        self.head = start_offset
        self.total = start_offset
        self.dropped = 0
        """Bytes that were overwritten before anybody consumed them."""
        self._capacity = capacity
        self._window = capacity
        self._overwrite = overwrite
        self._storage_bytes = min(capacity, _FIRST_STORAGE_BYTES)
        self._storage = memoryview(bytearray(self._storage_bytes))
        self._run_starts = [start_offset]
        self._run_tags = [0]
        self._waiter: Callable[[], None] | None = None

    @property
    def capacity(self) -> int:
        """Bytes that fit at most."""
        return self._capacity

    @property
    def size(self) -> int:
        """Bytes kept now."""
        return self.total - self.head

    @property
    def room(self) -> int:
        """Bytes a write would take without dropping any."""
        return max(0, self._window - (self.total - self.head))

    @property
    def window(self) -> int:
        """Bytes that may be kept now; at most the capacity."""
        return self._window

    @property
    def overwrite(self) -> bool:
        """Whether a full ring drops its oldest bytes rather than refuse new ones."""
        return self._overwrite

    def set_window(self, window: int) -> None:
        """Keep at most ``window`` bytes (1 to the capacity) from now on.

        Shrinking drops the oldest bytes when overwriting and blocks new writes when not; growing wakes the waiter.
        """
        if not 1 <= window <= self._capacity:
            raise UsageError(f"window: {window} is not within 1 and the capacity {self._capacity}", field="window")
        self._window = window
        self._settle()

    def set_overwrite(self, overwrite: bool) -> None:
        """Change between refusing (False) and dropping the oldest (True); the latter wakes the waiter."""
        self._overwrite = overwrite
        self._settle()

    def set_waiter(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once, as soon as a write would be taken; at once if one would be now.

        One waiter at a time: a second raises UsageError, for two writers would tear each other's bytes.
        """
        if self._waiter is not None:
            raise UsageError("this ring has a waiter already: one writer at a time", field="callback")
        self._waiter = callback
        self._wake()

    def clear_waiter(self) -> None:
        """Forget the waiter, if there is one."""
        self._waiter = None

    def write_available(self, data: Payload, tag: int = 0) -> int:
        """Keep ``data``, or its front as far as there is room; how many bytes were taken.  Never blocks.

        When overwriting everything is taken.  ``tag``, 0 to 15, says where the bytes came from.
        """
        size = len(data)
        room = self._window - (self.total - self.head)
        if size > room:
            if self._overwrite:
                return self._write_over(data, tag)
            if room <= 0:
                return 0
            size = room
            data = memoryview(data)[:size]
        if size:
            self._store(data, size, tag)
        return size

    def peek(self, offset: int, size: int) -> tuple[Payload, int]:
        """Up to ``size`` bytes from ``offset`` (``head`` to ``total``), all of one tag, and the tag.

        The data is a view into the ring where it can be: copy what outlives the next write.
        """
        if not self.head <= offset <= self.total:
            raise UsageError(f"offset: {offset} is not kept ({self.head} to {self.total})", field="offset")
        end = min(offset + size, self.total)
        tag = self._run_tags[-1]
        if len(self._run_starts) > 1:
            run = bisect_right(self._run_starts, offset) - 1
            tag = self._run_tags[run]
            if run + 1 < len(self._run_starts):
                end = min(end, self._run_starts[run + 1])
        start = offset % self._storage_bytes
        stop = start + end - offset
        if stop <= self._storage_bytes:
            return self._storage[start:stop], tag
        return b"".join((self._storage[start:], self._storage[: stop - self._storage_bytes])), tag

    def skip(self, length: int) -> None:
        """Leave out ``length`` bytes that will never come, as a gap at ``total``; only while nothing is kept."""
        if self.total != self.head:
            raise UsageError(f"length: {self.total - self.head} bytes are still kept before the gap", field="length")
        if length < 0:
            raise UsageError(f"length: {length} is negative", field="length")
        self.head = self.total = self.total + length
        self._run_starts, self._run_tags = [self.total], [self._run_tags[-1]]

    def consume(self, offset: int) -> None:
        """Forget all below ``offset``; lower than ``head`` is no news, above ``total`` raises UsageError."""
        if offset <= self.head:
            return
        if offset > self.total:
            raise UsageError(f"offset: {offset} is beyond the end {self.total}", field="offset")
        self.head = offset
        self._trim_runs()
        self._wake()

    def _write_over(self, data: Payload, tag: int) -> int:
        """Take all of ``data``, at the expense of the oldest bytes, and of its own front if it is that long."""
        taken = len(data)
        excess = taken - self._window
        if excess > 0:
            self._drop_to(self.total)
            self.head += excess
            self.total += excess
            self.dropped += excess
            data = memoryview(data)[excess:]
        else:
            self._drop_to(self.total + taken - self._window)
        self._store(data, len(data), tag)
        self._trim_runs()
        return taken

    def _store(self, data: Payload, size: int, tag: int) -> None:
        offset = self.total
        kept = offset + size - self.head
        if kept > self._storage_bytes:
            self._grow(kept)
        if tag != self._run_tags[-1]:
            self._begin_run(offset, tag)
        start = offset % self._storage_bytes
        stop = start + size
        if stop <= self._storage_bytes:
            self._storage[start:stop] = data
        else:
            split = self._storage_bytes - start
            view = memoryview(data)
            self._storage[start:] = view[:split]
            self._storage[: size - split] = view[split:]
        self.total = offset + size

    def _begin_run(self, offset: int, tag: int) -> None:
        if self.head == offset:
            self._run_starts = [offset]
            self._run_tags = [tag]
            return
        self._run_starts.append(offset)
        self._run_tags.append(tag)

    def _grow(self, kept: int) -> None:
        storage_bytes = self._storage_bytes
        while storage_bytes < kept:
            storage_bytes *= 2
        storage_bytes = min(storage_bytes, self._capacity)
        storage = memoryview(bytearray(storage_bytes))
        offset = self.head
        while offset < self.total:
            old, new = offset % self._storage_bytes, offset % storage_bytes
            size = min(self.total - offset, self._storage_bytes - old, storage_bytes - new)
            storage[new : new + size] = self._storage[old : old + size]
            offset += size
        self._storage = storage
        self._storage_bytes = storage_bytes

    def _drop_to(self, offset: int) -> None:
        if offset > self.head:
            self.dropped += offset - self.head
            self.head = offset
            self._trim_runs()

    def _trim_runs(self) -> None:
        if len(self._run_starts) < _TRIM_RUNS:
            return
        gone = bisect_right(self._run_starts, self.head) - 1
        if gone * 2 >= len(self._run_starts):
            del self._run_starts[:gone]
            del self._run_tags[:gone]

    def _settle(self) -> None:
        if self._overwrite:
            self._drop_to(self.total - self._window)
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and (self._overwrite or self.total - self.head < self._window):
            self._waiter = None
            waiter()
