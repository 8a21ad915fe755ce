"""The change feed of records, as the blocking SDK shows it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from ..errors import ClosedError, DisconnectedError
from ..limits import LIMITS
from ..records.api import RecordsApi
from ..records.model import FeedEntry
from ..rpc.blocking import BlockingConnection
from ..rpc.blocking_streams import BlockingReader
from ..rpc.commands import invoke_blocking
from .records_changes import Changes
from .tokens import BlockingLink


class SyncRecordFeed:
    """Changes of records in order, each once; an iterator that outlives cut links and restarted nodes.  Blocks.

    ``position`` is the cursor: another feed can go on from there.
    """

    def __init__(self, link: BlockingLink, position: int | None, *, follow: bool) -> None:
        self._link = link
        self._changes = Changes(position)
        self._follow = follow
        self._reader: BlockingReader | None = None
        self._connection: BlockingConnection | None = None
        self._here: deque[FeedEntry] = deque()
        self._closed = False

    @property
    def position(self) -> int:
        """Of the change that comes next; 0: not known yet."""
        return self._here[0].position if self._here else self._changes.position

    def open(self) -> None:
        """Begin now, so that nothing that happens from here on is missed.  Iterating does it too.  Gone, UsageError."""
        if self._follow and not self._closed:
            self._link.again(self._open)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[FeedEntry]:
        return self

    def __next__(self) -> FeedEntry:
        while not self._here:
            if self._closed:
                raise StopIteration
            self._link.again(self._read if self._follow else self._read_page)
        return self._here.popleft()

    def close(self) -> None:
        """Follow no more.  Idempotent."""
        self._closed = True
        self._here.clear()
        self._drop()

    def _read_page(self) -> None:
        page = invoke_blocking(self._link.connection(), RecordsApi.feed, self._changes.position)
        self._here += self._changes.take_page(page)
        self._closed = not page.entries

    def _read(self) -> None:
        reader = self._open()
        try:
            item = reader.read(None, LIMITS.packet_bytes_max)
            if item is not None:
                self._here += self._changes.take_item(item)
        except DisconnectedError:
            self._drop()
            raise

    def _open(self) -> BlockingReader:
        connection = self._link.connection()
        if self._reader is not None and connection is self._connection:
            return self._reader
        self._drop()
        if self._closed:
            raise ClosedError("the feed was closed by this end")
        if self._changes.wants_oldest:
            self._changes.begin_oldest(invoke_blocking(connection, RecordsApi.feed, 0, 1))
        reader = connection.open_reader(window_bytes=LIMITS.viewer_window_bytes)
        start = invoke_blocking(connection, RecordsApi.follow, reader.stream_id, self._changes.position)
        reader.start(0)
        self._changes.begin(start)
        self._reader, self._connection = reader, connection
        return reader

    def _drop(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
