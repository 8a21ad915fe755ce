"""A durable stream being read, as the blocking SDK shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ...durable.api import StreamsApi
from ...durable.model import StreamInfo, StreamStart, Where
from ...errors import HoldfastError
from ...rpc.blocking.connection import BlockingConnection
from ...rpc.commands import invoke_blocking
from ...streams import Item
from ..sync_following import SyncFollowing
from ..sync_link import SyncLink
from .pieces import StreamArrivals, StreamChunk


class SyncStreamReading(SyncFollowing[StreamStart, None]):
    """A stream's content from a position on; an iterator that outlives cut links and restarted nodes.

    ``position`` is where the next chunk begins: keep it, and another one can go on from there.  One that is dropped
    stops reading.
    """

    _PHASE = "stream"

    def __init__(self, link: SyncLink, path: str, from_: Where, *, follow: bool) -> None:
        super().__init__(link)
        self.path = path
        self.position: Where = from_
        self._follow = follow
        self._arrivals = StreamArrivals(from_)

    @property
    def lines(self) -> bool:
        """Whether each chunk is a message of a JSON stream; known once it is open."""
        return self._arrivals.lines

    def open(self) -> StreamInfo | None:
        """Begin now; the stream as it stands, None if it was open already.  Iterating does it too.

        Raises NotFound, Gone(oldest), UsageError, PermissionDenied, LimitExceeded.
        """
        start = self._open()
        return None if start is None else start.info

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
            self._read(timeout_s)
        self.position = chunk.end
        return chunk

    @property
    def waiting(self) -> bool:
        """Whether the next step may have to wait."""
        return self._arrivals.empty

    def close(self) -> None:
        """Stop reading.  Idempotent."""
        self._arrivals.clear()
        super().close()

    def __del__(self) -> None:
        """A loop that was left by ``break`` must not stay a reader until the link is closed."""
        with suppress(HoldfastError, OSError):
            self._drop_reader()

    def _ask(self, connection: BlockingConnection, stream: int) -> StreamStart:
        arrivals = self._arrivals
        return invoke_blocking(
            connection, StreamsApi.read, self.path, stream, arrivals.position, self._follow, arrivals.id
        )

    def _begun(self, start: StreamStart) -> int:
        if not self._arrivals.id:
            self.position = start.position
        return self._arrivals.opened(start)

    def _take(self, item: Item) -> None:
        self._arrivals.receive(item)
