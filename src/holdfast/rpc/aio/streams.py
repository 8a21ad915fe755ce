"""Streams on an asyncio connection: a reader and a writer that wait.

Waiting is only ever for a hint that something moved; what moved stays in the core until it is taken without
waiting.  So a cancelled wait loses nothing and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...errors import ClosedError, HoldfastError, UsageError
from ...limits import LIMITS
from ...streams import Item, Reader, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import AsyncConnection


class _Hint:
    """Wakes the one task that waits for its stream to move."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Something moved."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Until the next :meth:`set`; UsageError if another task waits."""
        if self._waiter is not None:
            raise UsageError("another task is waiting on this stream")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class AsyncReader:
    """Reads one stream.  Open it, name its ``stream_id`` in a call, then :meth:`start` it and :meth:`read`."""

    def __init__(
        self, connection: AsyncConnection, stream_id: int, *, window_bytes: int, start_offset: int, manual_ack: bool
    ) -> None:
        self.stream_id = stream_id
        self._connection = connection
        self._window_bytes = window_bytes
        self._start_offset = start_offset
        self._manual_ack = manual_ack
        self._reader: Reader | None = None
        self._hint = _Hint()
        self._interruption: BaseException | None = None

    @property
    def offset(self) -> int:
        """All below this offset was read: where to resume after a cut."""
        return self._start_offset if self._reader is None else self._reader.read_offset

    @property
    def readable(self) -> bool:
        """Whether :meth:`read` has something without waiting."""
        return self._reader is not None and self._reader.readable

    def start(self, offset: int | None = None) -> None:
        """Let the peer send, from ``offset`` on (default: the ``start_offset`` it was opened with).

        What the peer no longer has from there on comes as a Gap.  UsageError if it was started before.
        """
        if self._reader is not None:
            raise UsageError("the reader was started already")
        self._connection.check_usable()
        self._add(self._start_offset if offset is None else offset)

    async def read(self, max_bytes: int = LIMITS.packet_bytes_max) -> Item:
        """The next Chunk of at most ``max_bytes``, Gap, End or Failed.

        End or Failed comes once, last; reading on raises UsageError.  DisconnectedError(resume_offset) if the
        link is cut and everything that came before was read; ClosedError if this end closed.
        Cancel-safe: the next read gives what this one would have.
        """
        while True:
            if self._interruption is not None:
                raise self._interruption
            item = self._take(max_bytes)
            if item is not None:
                return item
            await self._hint.wait()

    def take(self, max_bytes: int = LIMITS.packet_bytes_max) -> Item | None:
        """As :meth:`read` without the wait: None if there is nothing now.  For who watches the stream himself."""
        if self._interruption is not None:
            raise self._interruption
        return self._take(max_bytes)

    def acknowledge(self, offset: int) -> None:
        """All below ``offset`` is safe here (``manual_ack`` only).  UsageError beyond what was read."""
        self._started().acknowledge(offset)
        self._acted()

    def interrupt(self, error: BaseException) -> None:
        """Have :meth:`read`, if it waits now or when it is called next, raise ``error``."""
        self._interruption = error
        self._hint.set()

    def close(self, error: str = "") -> None:
        """Read no more; before the end this asks the writer to stop, giving ``error`` as reason.  Idempotent."""
        connection = self._connection
        if self._reader is None and connection.closed_by is None:
            self._add(self._start_offset)  # the peer may have opened its end already
        if self._reader is not None:
            self._reader.close(error)
            self._acted()
        connection.unwatch_stream(self.stream_id)
        self._interruption = ClosedError("the reader was closed by this end")
        self._hint.set()

    def _take(self, max_bytes: int) -> Item | None:
        reader = self._started()
        if reader.finished:
            raise UsageError("the stream was read to its end")
        item = reader.read(max_bytes)
        if item is not None:
            if reader.finished:
                self._connection.unwatch_stream(self.stream_id)
                self._acted()
            elif reader.ack_due:
                self._acted()
        elif self._connection.closed_by is not None:
            raise self._connection.cut_error(reader.read_offset)
        return item

    def _add(self, offset: int) -> None:
        reader = Reader(
            self.stream_id, window_bytes=self._window_bytes, start_offset=offset, manual_ack=self._manual_ack
        )
        reader.start()
        self._connection.core.broker.add_reader(reader)
        self._connection.watch_stream(self.stream_id, self._hint.set)
        self._reader = reader
        self._connection.wake()

    def _acted(self) -> None:
        self._connection.core.broker.ready(self.stream_id)
        self._connection.wake()

    def _started(self) -> Reader:
        if self._reader is None:
            raise UsageError("start the reader first")
        return self._reader


class AsyncWriter:
    """Writes one stream, at the pace of its reader."""

    def __init__(self, connection: AsyncConnection, stream_id: int, *, window_bytes: int, start_offset: int) -> None:
        self.stream_id = stream_id
        self._connection = connection
        self._writer = Writer(stream_id, window=window_bytes, start_offset=start_offset, now=connection.now())
        self._hint = _Hint()
        self._written = start_offset
        self._on_cancel: Callable[[], object] | None = None
        connection.core.broker.add_sender(self._writer)
        connection.watch_stream(stream_id, self._moved)

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called once when the reader wants no more: for a source that may be quiet for long."""
        self._on_cancel = callback
        self._moved()

    def _moved(self) -> None:
        self._hint.set()
        if self._writer.cancelled and self._on_cancel is not None:
            callback, self._on_cancel = self._on_cancel, None
            self._connection.unwatch_stream(self.stream_id)
            callback()

    @property
    def written(self) -> int:
        """All below this offset was taken from its writer; where a cancelled :meth:`write` left off."""
        return self._written

    @property
    def acknowledged(self) -> int:
        """All below this offset is with the reader: where to resume after a cut."""
        return self._writer.acknowledged

    async def write(self, data: bytes | bytearray | memoryview, tag: int = 0) -> None:
        """Give all of ``data`` to the stream; waits while the reader has no room.  ``tag``, 0 to 15, goes with it.

        Returns when it is buffered here, not when it was read.  Raises ClosedError when the reader cancelled,
        DisconnectedError(resume_offset) when the link is cut, UsageError after the end.
        Cancelled, it has given a part of ``data``: up to :attr:`written`.
        """
        left = memoryview(data)
        while left:
            self._check_link()
            taken = self._writer.write(left, tag)
            if not taken:
                await self._hint.wait()
                continue
            self._written += taken
            left = left[taken:]
            self._acted()

    def offer(self, data: bytes | memoryview) -> int:
        """Give what the stream has room for now; how much that was.  Never waits; raises as :meth:`write`."""
        self._check_link()
        taken = self._writer.write(data)
        if taken:
            self._written += taken
            self._acted()
        return taken

    def finish(self, error: str = "") -> None:
        """No more will be written; with ``error`` the reader sees it after the last byte.  Does not wait.  Idempotent.

        The stream is watched no more; what is left is still sent while the connection lives.
        """
        if self._connection.closed_by is None and not self._writer.cancelled and not self._writer.ended:
            if error:
                self._writer.close_with_error(error)
            else:
                self._writer.close()
            self._acted()
        self._connection.unwatch_stream(self.stream_id)

    async def skip(self, length: int) -> None:
        """Leave out ``length`` bytes as a gap, after what was written has been read.  Raises as :meth:`write`.

        Cancel-safe: nothing was left out then.
        """
        while True:
            self._check_link()
            if self._writer.skip(length):
                break
            await self._hint.wait()
        self._written += length
        self._acted()

    async def close(self) -> None:
        """No more will be written; wait until the reader has everything and the end.  Raises as :meth:`write`.

        Cancelled, it still ends the stream.
        """
        self._writer.close()
        await self._settled()

    async def fail(self, text: str) -> None:
        """The source broke; the reader sees ``text`` after the last byte.  Waits and raises as :meth:`close`."""
        self._writer.close_with_error(text)
        await self._settled()

    async def _settled(self) -> None:
        self._acted()
        while not self._writer.done:
            self._check_link()
            if self._writer.cancelled:
                raise ClosedError(f"the reader cancelled: {self._writer.cancel_error or 'no reason given'}")
            await self._hint.wait()
        self._connection.unwatch_stream(self.stream_id)

    def _check_link(self) -> None:
        if self._connection.closed_by is not None:
            raise self._cut()

    def _cut(self) -> HoldfastError:
        return self._connection.cut_error(self._writer.acknowledged)

    def _acted(self) -> None:
        self._connection.core.broker.ready(self.stream_id)
        self._connection.wake()
