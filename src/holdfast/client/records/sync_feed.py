"""The change feed of records, as the blocking SDK shows it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ...records.api import RecordsApi
from ...records.model import FeedEntry, FeedPage
from ...rpc.blocking.connection import BlockingConnection
from ...rpc.commands import invoke_blocking
from ...streams import Item
from ..sync_following import SyncFollowing
from ..sync_link import SyncLink
from .changes import Changes


class SyncRecordFeed(SyncFollowing[FeedPage, list[FeedEntry]]):
    """Changes of records in order, each once; an iterator that outlives cut links and restarted nodes.  Blocks.

    ``position`` is the cursor: another feed can go on from there.
    """

    _CLOSED = "the feed was closed by this end"
    _PHASE = "feed"

    def __init__(self, link: SyncLink, position: int | None, *, follow: bool) -> None:
        super().__init__(link)
        self._changes = Changes(position)
        self._follow = follow
        self._here: deque[FeedEntry] = deque()

    @property
    def position(self) -> int:
        """Of the change that comes next; 0: not known yet."""
        return self._here[0].position if self._here else self._changes.position

    def open(self) -> None:
        """Begin now, so that nothing that happens from here on is missed.  Iterating does it too.  Gone, UsageError."""
        if self._follow and not self._closed:
            self._open()

    def __iter__(self) -> Iterator[FeedEntry]:
        return self

    def __next__(self) -> FeedEntry:
        while not self._here:
            if self._closed:
                raise StopIteration
            self._here += self._read(None) if self._follow else self._link.again(self._read_page)
        return self._here.popleft()

    def close(self) -> None:
        """Follow no more.  Idempotent."""
        self._here.clear()
        super().close()

    def _read_page(self) -> list[FeedEntry]:
        page = invoke_blocking(self._link.connection(), RecordsApi.feed, self._changes.position)
        self._closed = not page.entries
        return self._changes.take_page(page)

    def _ask(self, connection: BlockingConnection, stream: int) -> FeedPage:
        if self._changes.wants_oldest:
            self._changes.begin_oldest(invoke_blocking(connection, RecordsApi.feed, 0, 1))
        return invoke_blocking(connection, RecordsApi.follow, stream, self._changes.position)

    def _begun(self, start: FeedPage) -> int:
        self._changes.begin(start)
        return 0

    def _take(self, item: Item) -> list[FeedEntry]:
        return self._changes.take_item(item)
