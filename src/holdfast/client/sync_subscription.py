"""A subscription to a channel, as the blocking SDK shows it."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from ..channels.api import ChannelsApi
from ..channels.model import SubscribeStart
from ..channels.unpacking import Entry
from ..errors import ClosedError, DeadlineExceeded, DisconnectedError
from ..limits import LIMITS
from ..rpc.blocking import BlockingConnection
from ..rpc.blocking_streams import BlockingReader
from ..rpc.commands import invoke_blocking
from .entries import READ_BYTES, Arrivals, SubscribeOptions
from .tokens import BlockingLink


class SyncSubscription:
    """Entries of a channel, in order, each once; an iterator that outlives cut links and restarted nodes.

    ``after`` is the index of the last entry given: another subscription can go on from there.  Ends after the last
    entry of a closed channel.
    """

    def __init__(self, link: BlockingLink, channel: str, after: int | None, options: SubscribeOptions) -> None:
        self._link = link
        self._channel = channel
        self._options = options
        self._reader: BlockingReader | None = None
        self._connection: BlockingConnection | None = None
        self._arrivals = Arrivals(after)
        self._turn: Iterator[Entry] = iter(())
        self._given = 0
        self._closed = False
        self.after = after
        """The index of the last entry given; None before the first, if it was asked for the oldest."""

    def open(self) -> SubscribeStart | None:
        """Subscribe now, so that nothing appended from here on is missed; None if it was open already.

        Raises ChannelNotFound, Gone(oldest), UsageError, LimitExceeded.  Iterating does it too.
        """
        return self._link.again(self._open_if_needed)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Entry]:
        return self

    def __next__(self) -> Entry:
        entry = self.read()
        if entry is None:
            raise StopIteration
        return entry

    def read(self, timeout_s: float | None = None) -> Entry | None:
        """The next entry, or None at the end.  DeadlineExceeded if none comes within ``timeout_s``.  Blocks."""
        entry = next(self._turn, None)
        if entry is None:
            self._turn = iter(self._receive(timeout_s))
            entry = next(self._turn, None)
        if entry is not None:
            self.after = entry.index
        return entry

    def next_batch(self, timeout_s: float | None = None) -> list[Entry]:
        """All entries of the next run, for who takes them by the thousand; empty at the end.  Otherwise as read."""
        entries = list(self._turn) or self._receive(timeout_s)
        if entries:
            self.after = entries[-1].index
        return entries

    def close(self) -> None:
        """Unsubscribe.  Idempotent."""
        self._closed = True
        self._turn = iter(())
        self._drop_reader()

    def _receive(self, timeout_s: float | None) -> list[Entry]:
        """The entries of the next run, over as many connections as it takes; empty at the end."""
        arrivals = self._arrivals
        while not (entries := arrivals.take()):
            if arrivals.ended or self._closed or self._options.satisfied(self._given):
                self._drop_reader()
                return []
            self._link.again(lambda: self._read_once(timeout_s))
        self._given += len(entries)
        return entries

    def _read_once(self, timeout_s: float | None) -> None:
        self._open_if_needed()
        reader = self._reader
        if reader is None:
            raise ClosedError("the subscription was closed by this end")
        try:
            item = reader.read(timeout_s, READ_BYTES)
            if item is None:
                raise DeadlineExceeded(phase="subscription", after_s=timeout_s or 0.0, safe_to_retry=True)
            self._arrivals.receive(item)
        except DisconnectedError:
            self._drop_reader()
            raise

    def _open_if_needed(self) -> SubscribeStart | None:
        connection = self._link.connection()
        if connection is not self._connection:
            self._drop_reader()  # what it holds still comes again
        if self._reader is not None or self._closed:
            return None
        reader = connection.open_reader(window_bytes=LIMITS.viewer_window_bytes)
        place = self._channel, reader.stream_id, self._arrivals.after
        policy, entries, size, mine, follow, limit = self._options.left(self._given)
        start = invoke_blocking(connection, ChannelsApi.subscribe, *place, policy, entries, size, mine, follow, limit)
        reader.start(0)
        self._arrivals.opened(start.first_index)
        self._reader, self._connection = reader, connection
        return start

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
