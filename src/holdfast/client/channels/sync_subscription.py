"""A subscription to a channel, as the blocking SDK shows it."""

from __future__ import annotations

from collections.abc import Iterator

from ...channels.api import ChannelsApi
from ...channels.model import SubscribeStart
from ...channels.unpacking import Entry
from ...rpc.blocking.connection import BlockingConnection
from ...rpc.commands import invoke_blocking
from ...streams.reader import Item
from ..sync_following import SyncFollowing
from ..sync_link import SyncLink
from .entries import Arrivals, SubscribeOptions


class SyncSubscription(SyncFollowing[SubscribeStart, None]):
    """Entries of a channel, in order, each once; an iterator that outlives cut links and restarted nodes.

    ``after`` is the index of the last entry given: another subscription can go on from there.  Ends after the last
    entry of a closed channel.
    """

    _CLOSED = "the subscription was closed by this end"
    _PHASE = "subscription"

    def __init__(self, link: SyncLink, channel: str, after: int | None, options: SubscribeOptions) -> None:
        super().__init__(link)
        self._channel = channel
        self._options = options
        self._arrivals = Arrivals(after)
        self._turn: Iterator[Entry] = iter(())
        self._given = 0
        self.after = after
        """The index of the last entry given; None before the first, if it was asked for the oldest."""

    def open(self) -> SubscribeStart | None:
        """Subscribe now, so that nothing appended from here on is missed; None if it was open already.

        Raises ChannelNotFound, Gone(oldest), UsageError, LimitExceeded.  Iterating does it too.
        """
        return self._open()

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
        self._turn = iter(())
        super().close()

    def _receive(self, timeout_s: float | None) -> list[Entry]:
        """The entries of the next run, over as many connections as it takes; empty at the end."""
        arrivals = self._arrivals
        while (done := self._options.satisfied(self._given)) or not (entries := arrivals.take()):
            if done or arrivals.ended or self._closed:
                self._drop_reader()
                return []
            self._read(timeout_s)
        entries = self._options.wanted(entries, self._given)
        self._given += len(entries)
        return entries

    def _ask(self, connection: BlockingConnection, stream: int) -> SubscribeStart:
        place = self._channel, stream, self._arrivals.after
        policy, entries, size, mine, follow, limit = self._options.left(self._given)
        return invoke_blocking(connection, ChannelsApi.subscribe, *place, policy, entries, size, mine, follow, limit)

    def _begun(self, start: SubscribeStart) -> int:
        self._arrivals.opened(start.first_index)
        return 0

    def _take(self, item: Item) -> None:
        self._arrivals.receive(item)
