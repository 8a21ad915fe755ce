"""The change feed of records, as the async SDK shows it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from ...records.api import RecordsApi
from ...records.model import FeedEntry, FeedPage
from ...rpc.aio.connection import AsyncConnection
from ...rpc.commands import invoke
from ...streams import Item
from ..following import Following
from ..link import Link
from .changes import Changes


class RecordFeed(Following[FeedPage, list[FeedEntry]]):
    """Changes of records in order, each once; an async iterator that outlives cut links and restarted nodes.

    ``position`` is the cursor: another feed can go on from there.  Cancelling a step loses nothing.
    """

    _CLOSED = "the feed was closed by this end"

    def __init__(self, link: Link, position: int | None, *, follow: bool) -> None:
        super().__init__(link)
        self._changes = Changes(position)
        self._follow = follow
        self._here: deque[FeedEntry] = deque()

    @property
    def position(self) -> int:
        """Of the change that comes next; 0: not known yet."""
        return self._here[0].position if self._here else self._changes.position

    async def open(self) -> None:
        """Begin now, so that nothing that happens from here on is missed.  Iterating does it too.  Gone, UsageError."""
        if self._follow and not self._closed:
            await self._open()

    def __aiter__(self) -> AsyncIterator[FeedEntry]:
        return self

    async def __anext__(self) -> FeedEntry:
        while not self._here:
            if self._closed:
                raise StopAsyncIteration
            self._here += await (self._read() if self._follow else self._link.again(self._read_page))
        return self._here.popleft()

    async def aclose(self) -> None:
        """Follow no more.  Idempotent."""
        self._here.clear()
        await super().aclose()

    async def _read_page(self, connection: AsyncConnection) -> list[FeedEntry]:
        page = await invoke(connection, RecordsApi.feed, self._changes.position)
        self._closed = not page.entries
        return self._changes.take_page(page)

    async def _ask(self, connection: AsyncConnection, stream: int) -> FeedPage:
        if self._changes.wants_oldest:
            self._changes.begin_oldest(await invoke(connection, RecordsApi.feed, 0, 1))
        return await invoke(connection, RecordsApi.follow, stream, self._changes.position)

    def _begun(self, start: FeedPage) -> int:
        self._changes.begin(start)
        return 0

    def _take(self, item: Item) -> list[FeedEntry]:
        return self._changes.take_item(item)
