"""A durable stream being read, as the async SDK shows it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from ..durable.api import StreamsApi
from ..durable.model import StreamInfo, Where
from ..errors import ClosedError, DisconnectedError
from ..limits import LIMITS
from ..rpc.aio import AsyncConnection
from ..rpc.aio_streams import AsyncReader
from ..rpc.commands import invoke
from .link import Link
from .streams_pieces import READ_BYTES, StreamArrivals, StreamChunk


class StreamReading:
    """A stream's content from a position on; an async iterator that outlives cut links and restarted nodes.

    ``position`` is where the next chunk begins: keep it, and another one can go on from there.  Cancelling a step loses
    nothing: the next step gives what that one would have.  One that is dropped stops reading.
    """

    def __init__(self, link: Link, path: str, from_: Where, *, follow: bool) -> None:
        self.path = path
        self.position: Where = from_
        self._link = link
        self._follow = follow
        self._arrivals = StreamArrivals(from_)
        self._reader: AsyncReader | None = None
        self._connection: AsyncConnection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def lines(self) -> bool:
        """Whether each chunk is a message of a JSON stream; known once it is open."""
        return self._arrivals.lines

    async def open(self) -> StreamInfo | None:
        """Begin now; the stream as it stands, None if it was open already.  Iterating does it too.

        Raises NotFound, Gone(oldest), UsageError, PermissionDenied, LimitExceeded.
        """
        return await self._link.again(self._open_if_needed)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[StreamChunk]:
        return self

    async def __anext__(self) -> StreamChunk:
        arrivals = self._arrivals
        while (chunk := arrivals.take()) is None:
            if arrivals.ended or self._closed:
                self._drop_reader()
                raise StopAsyncIteration
            await self._link.again(self._read_once)
        self.position = chunk.end
        return chunk

    async def aclose(self) -> None:
        """Stop reading.  Idempotent."""
        self._closed = True
        self._arrivals.clear()
        self._drop_reader()

    def __del__(self) -> None:
        """A loop that was left by ``break`` or cancelled must not stay a reader until the link is closed."""
        if self._reader is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the link with it
                self._loop.call_soon_threadsafe(self._reader.close)

    async def _read_once(self, connection: AsyncConnection) -> None:
        await self._open_if_needed(connection)
        reader = self._reader
        if reader is None:
            raise ClosedError("this end stopped reading")
        try:
            self._arrivals.receive(await reader.read(READ_BYTES))
        except DisconnectedError:
            self._drop_reader()
            raise

    async def _open_if_needed(self, connection: AsyncConnection) -> StreamInfo | None:
        if connection is not self._connection:
            self._drop_reader()  # what it holds still comes again
        if self._reader is not None or self._closed:
            return None
        arrivals = self._arrivals
        reader = connection.open_reader(window_bytes=LIMITS.viewer_window_bytes)
        place = self.path, reader.stream_id, arrivals.position
        try:
            start = await invoke(connection, StreamsApi.read, *place, self._follow, arrivals.id)
        except BaseException:
            reader.close()
            raise
        if not arrivals.id:
            self.position = start.position
        reader.start(arrivals.opened(start))
        self._reader, self._connection, self._loop = reader, connection, asyncio.get_running_loop()
        return start.info

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
