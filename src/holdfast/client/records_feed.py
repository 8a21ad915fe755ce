"""The change feed of records, as the async SDK shows it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from ..errors import ClosedError, DisconnectedError
from ..limits import LIMITS
from ..records.api import RecordsApi
from ..records.model import FeedEntry
from ..rpc.aio import AsyncConnection
from ..rpc.aio_streams import AsyncReader
from ..rpc.commands import invoke
from .link import Link
from .records_changes import Changes


class RecordFeed:
    """Changes of records in order, each once; an async iterator that outlives cut links and restarted nodes.

    ``position`` is the cursor: another feed can go on from there.  Cancelling a step loses nothing.
    """

    def __init__(self, link: Link, position: int | None, *, follow: bool) -> None:
        self._link = link
        self._changes = Changes(position)
        self._follow = follow
        self._reader: AsyncReader | None = None
        self._connection: AsyncConnection | None = None
        self._here: deque[FeedEntry] = deque()
        self._closed = False

    @property
    def position(self) -> int:
        """Of the change that comes next; 0: not known yet."""
        return self._here[0].position if self._here else self._changes.position

    async def open(self) -> None:
        """Begin now, so that nothing that happens from here on is missed.  Iterating does it too.  Gone, UsageError."""
        if self._follow and not self._closed:
            await self._link.again(self._open)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[FeedEntry]:
        return self

    async def __anext__(self) -> FeedEntry:
        while not self._here:
            if self._closed:
                raise StopAsyncIteration
            await self._link.again(self._read if self._follow else self._read_page)
        return self._here.popleft()

    async def aclose(self) -> None:
        """Follow no more.  Idempotent."""
        self._closed = True
        self._here.clear()
        self._drop()

    async def _read_page(self, connection: AsyncConnection) -> None:
        page = await invoke(connection, RecordsApi.feed, self._changes.position)
        self._here += self._changes.take_page(page)
        self._closed = not page.entries

    async def _read(self, connection: AsyncConnection) -> None:
        reader = await self._open(connection)
        try:
            self._here += self._changes.take_item(await reader.read(LIMITS.packet_bytes_max))
        except DisconnectedError:
            self._drop()
            raise

    async def _open(self, connection: AsyncConnection) -> AsyncReader:
        if self._reader is not None and connection is self._connection:
            return self._reader
        self._drop()
        if self._closed:
            raise ClosedError("the feed was closed by this end")
        if self._changes.wants_oldest:
            self._changes.begin_oldest(await invoke(connection, RecordsApi.feed, 0, 1))
        reader = connection.open_reader(window_bytes=LIMITS.viewer_window_bytes)
        try:
            start = await invoke(connection, RecordsApi.follow, reader.stream_id, self._changes.position)
        except BaseException:
            reader.close()
            raise
        reader.start(0)
        self._changes.begin(start)
        self._reader, self._connection = reader, connection
        return reader

    def _drop(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
