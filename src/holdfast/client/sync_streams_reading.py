"""A durable stream being read, as the blocking SDK shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from ..durable.api import StreamsApi
from ..durable.model import StreamInfo, Where
from ..errors import ClosedError, DeadlineExceeded, DisconnectedError, HoldfastError
from ..limits import LIMITS
from ..rpc.blocking import BlockingConnection
from ..rpc.blocking_streams import BlockingReader
from ..rpc.commands import invoke_blocking
from .streams_pieces import READ_BYTES, StreamArrivals, StreamChunk
from .tokens import BlockingLink


class SyncStreamReading:
    """A stream's content from a position on; an iterator that outlives cut links and restarted nodes.

    ``position`` is where the next chunk begins: keep it, and another one can go on from there.  One that is dropped
    stops reading.
    """

    def __init__(self, link: BlockingLink, path: str, from_: Where, *, follow: bool) -> None:
        self.path = path
        self.position: Where = from_
        self._link = link
        self._follow = follow
        self._arrivals = StreamArrivals(from_)
        self._reader: BlockingReader | None = None
        self._connection: BlockingConnection | None = None
        self._closed = False

    @property
    def lines(self) -> bool:
        """Whether each chunk is a message of a JSON stream; known once it is open."""
        return self._arrivals.lines

    def open(self) -> StreamInfo | None:
        """Begin now; the stream as it stands, None if it was open already.  Iterating does it too.

        Raises NotFound, Gone(oldest), UsageError, PermissionDenied, LimitExceeded.
        """
        return self._link.again(self._open_if_needed)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[StreamChunk]:
        return self

    def __next__(self) -> StreamChunk:
        chunk = self.read()
        if chunk is None:
            raise StopIteration
        return chunk

    def read(self, timeout_s: float | None = None) -> StreamChunk | None:
        """The next chunk, or None at the end.  DeadlineExceeded if none comes within ``timeout_s``.  Blocks."""
        arrivals = self._arrivals
        while (chunk := arrivals.take()) is None:
            if arrivals.ended or self._closed:
                self._drop_reader()
                return None
            self._link.again(lambda: self._read_once(timeout_s))
        self.position = chunk.end
        return chunk

    @property
    def waiting(self) -> bool:
        """Whether the next step may have to wait."""
        return self._arrivals.empty

    def close(self) -> None:
        """Stop reading.  Idempotent."""
        self._closed = True
        self._arrivals.clear()
        self._drop_reader()

    def __del__(self) -> None:
        """A loop that was left by ``break`` must not stay a reader until the link is closed."""
        with suppress(HoldfastError, OSError):
            self._drop_reader()

    def _read_once(self, timeout_s: float | None) -> None:
        self._open_if_needed()
        reader = self._reader
        if reader is None:
            raise ClosedError("this end stopped reading")
        try:
            item = reader.read(timeout_s, READ_BYTES)
            if item is None:
                raise DeadlineExceeded(phase="stream", after_s=timeout_s or 0.0, safe_to_retry=True)
            self._arrivals.receive(item)
        except DisconnectedError:
            self._drop_reader()
            raise

    def _open_if_needed(self) -> StreamInfo | None:
        connection = self._link.connection()
        if connection is not self._connection:
            self._drop_reader()  # what it holds still comes again
        if self._reader is not None or self._closed:
            return None
        arrivals = self._arrivals
        reader = connection.open_reader(window_bytes=LIMITS.viewer_window_bytes)
        place = self.path, reader.stream_id, arrivals.position
        start = invoke_blocking(connection, StreamsApi.read, *place, self._follow, arrivals.id)
        if not arrivals.id:
            self.position = start.position
        reader.start(arrivals.opened(start))
        self._reader, self._connection = reader, connection
        return start.info

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
