"""Streams on a blocking connection: a reader and a writer that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ClosedError, UsageError
from ...limits import LIMITS
from ...streams.reader import Item, Reader
from ...streams.writer import Writer

if TYPE_CHECKING:
    from .connection import BlockingConnection


class BlockingReader:
    """Reads one stream.  Open it, name its ``stream_id`` in a call, then :meth:`start` it and :meth:`read`."""

    def __init__(self, connection: BlockingConnection, stream_id: int, *, window_bytes: int, manual_ack: bool) -> None:
        self.stream_id = stream_id
        self._connection = connection
        self._window_bytes = window_bytes
        self._manual_ack = manual_ack
        self._reader: Reader | None = None

    @property
    def offset(self) -> int:
        """All below this offset was read: where to resume after a cut."""
        return self._started().read_offset

    @property
    def readable(self) -> bool:
        """Whether :meth:`read` has something without waiting."""
        return self._reader is not None and self._reader.readable

    def start(self, offset: int) -> None:
        """Let the peer send, from ``offset`` on: the position that was asked for, everything below it being here.

        What the peer no longer has from there on comes as a Gap.  UsageError if it was started before.
        """
        if self._reader is not None:
            raise UsageError("the reader was started already")
        self._connection.check_usable()
        reader = Reader(
            self.stream_id, window_bytes=self._window_bytes, start_offset=offset, manual_ack=self._manual_ack
        )
        reader.start()
        self._connection.core.broker.add_reader(reader)
        self._reader = reader
        self._connection.flush()

    def read(self, timeout_s: float | None = None, max_bytes: int = LIMITS.packet_bytes_max) -> Item | None:
        """The next Chunk, Gap, End or Failed; None if ``timeout_s`` seconds bring nothing.  Blocks.

        End or Failed comes once, last; reading on raises UsageError.  DisconnectedError(resume_offset) if the link is
        cut and everything that came before was read, ClosedError if this end closed.
        """
        reader, connection = self._started(), self._connection
        until = None if timeout_s is None else connection.now() + timeout_s
        while True:
            if reader.finished:
                raise UsageError("the stream was read to its end")
            item = reader.read(max_bytes)
            if item is not None:
                self._acted()
                return item
            if connection.closed_by is not None:
                raise connection.cut_error(reader.read_offset)
            left_s = None if until is None else until - connection.now()
            if left_s is not None and left_s <= 0:
                return None
            connection.pump(left_s)

    def acknowledge(self, offset: int) -> None:
        """All below ``offset`` is safe here (``manual_ack`` only).  UsageError beyond what was read."""
        self._started().acknowledge(offset)
        self._acted()

    def close(self, error: str = "") -> None:
        """Read no more; before the end this asks the writer to stop, giving ``error`` as reason.  Idempotent."""
        if self._reader is not None:
            self._reader.close(error)
            self._acted()

    def _acted(self) -> None:
        connection = self._connection
        if connection.closed_by is None:
            connection.core.broker.ready(self.stream_id)
            connection.flush()

    def _started(self) -> Reader:
        if self._reader is None:
            raise UsageError("start the reader first")
        return self._reader


class BlockingWriter:
    """Writes one stream.  Open it, name its ``stream_id`` in a call, then :meth:`write` and :meth:`close`."""

    def __init__(self, connection: BlockingConnection, stream_id: int) -> None:
        self.stream_id = stream_id
        self._connection = connection
        self._writer = Writer(stream_id, now=connection.now())
        connection.core.broker.add_sender(self._writer)

    @property
    def acknowledged(self) -> int:
        """All below this offset is safe with the reader: where to resume after a cut."""
        return self._writer.acknowledged

    def write(self, data: bytes, tag: int = 0) -> None:
        """Give all of ``data`` to the stream; waits while the reader has no room.  Blocks.

        Raises ClosedError when the reader cancelled, DisconnectedError(resume_offset) when the link is cut.
        """
        view = memoryview(data)
        while view:
            self._check_link()
            taken = self._writer.write(view, tag)
            view = view[taken:]
            self._acted()
            if view and not taken:
                self._connection.pump()

    def offer(self, data: bytes | memoryview) -> int:
        """Give what the stream has room for now; how much that was.  Does not block; raises as :meth:`write`."""
        self._check_link()
        taken = self._writer.write(data)
        self._acted()
        return taken

    def finish(self) -> None:
        """No more will be written.  Does not block: pump until the reader has everything."""
        self._writer.close()
        self._acted()

    def forget(self) -> None:
        """Have done with the stream without a word to its reader, which may never have come.  Idempotent."""
        self._connection.core.broker.remove(self.stream_id)

    def close(self) -> None:
        """No more will be written; wait until the reader has everything and the end.  Blocks; raises as write."""
        self._writer.close()
        self._settle()

    def fail(self, text: str) -> None:
        """The source broke; the reader sees ``text`` after the last byte.  Blocks; raises as write."""
        self._writer.close_with_error(text)
        self._settle()

    def _settle(self) -> None:
        self._acted()
        while not self._writer.done:
            self._check_link()
            if self._writer.cancelled:
                raise ClosedError(f"the reader cancelled: {self._writer.cancel_error or 'no reason given'}")
            self._connection.pump()

    def _check_link(self) -> None:
        if self._connection.closed_by is not None:
            raise self._connection.cut_error(self._writer.acknowledged)

    def _acted(self) -> None:
        if self._connection.closed_by is None:
            self._connection.core.broker.ready(self.stream_id)
            self._connection.flush()
