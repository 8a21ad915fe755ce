"""A durable stream being read, as the async SDK shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ...durable.api import StreamsApi
from ...durable.model import StreamInfo, StreamStart, Where
from ...rpc.aio.connection import AsyncConnection
from ...rpc.commands import invoke
from ...streams import Item
from ..following import Following
from ..link import Link
from .pieces import StreamArrivals, StreamChunk


class StreamReading(Following[StreamStart, None]):
    """A stream's content from a position on; an async iterator that outlives cut links and restarted nodes.

    ``position`` is where the next chunk begins: keep it, and another one can go on from there.  Cancelling a step loses
    nothing: the next step gives what that one would have.  One that is dropped stops reading.
    """

    def __init__(self, link: Link, path: str, from_: Where, *, follow: bool) -> None:
        super().__init__(link)
        self.path = path
        self.position: Where = from_
        self._follow = follow
        self._arrivals = StreamArrivals(from_)

    @property
    def lines(self) -> bool:
        """Whether each chunk is a message of a JSON stream; known once it is open."""
        return self._arrivals.lines

    async def open(self) -> StreamInfo | None:
        """Begin now; the stream as it stands, None if it was open already.  Iterating does it too.

        Raises NotFound, Gone(oldest), UsageError, PermissionDenied, LimitExceeded.
        """
        start = await self._open()
        return None if start is None else start.info

    def __aiter__(self) -> AsyncIterator[StreamChunk]:
        return self

    async def __anext__(self) -> StreamChunk:
        arrivals = self._arrivals
        while (chunk := arrivals.take()) is None:
            if arrivals.ended or self._closed:
                self._drop_reader()
                raise StopAsyncIteration
            await self._read()
        self.position = chunk.end
        return chunk

    async def aclose(self) -> None:
        """Stop reading.  Idempotent."""
        self._arrivals.clear()
        await super().aclose()

    def __del__(self) -> None:
        """A loop that was left by ``break`` or cancelled must not stay a reader until the link is closed."""
        self._abandon()

    async def _ask(self, connection: AsyncConnection, stream: int) -> StreamStart:
        arrivals = self._arrivals
        return await invoke(
            connection, StreamsApi.read, self.path, stream, arrivals.position, self._follow, arrivals.id
        )

    def _begun(self, start: StreamStart) -> int:
        if not self._arrivals.id:
            self.position = start.position
        return self._arrivals.opened(start)

    def _take(self, item: Item) -> None:
        self._arrivals.receive(item)
