"""A subscription to a channel, as the async SDK shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from ...channels.api import ChannelsApi
from ...channels.model import SubscribeStart
from ...channels.unpacking import Entry
from ...rpc.aio.connection import AsyncConnection
from ...rpc.commands import invoke
from ...streams import Item
from ..following import Following
from ..link import Link
from .entries import Arrivals, SubscribeOptions


class Subscription(Following[SubscribeStart, None]):
    """Entries of a channel, in order, each once; an async iterator that outlives cut links and restarted nodes.

    ``after`` is the index of the last entry given: another subscription can go on from there.  Cancelling a step loses
    nothing: the next step gives what that one would have.  Ends after the last entry of a closed channel.
    """

    _CLOSED = "the subscription was closed by this end"

    def __init__(self, link: Link, channel: str, after: int | None, options: SubscribeOptions) -> None:
        super().__init__(link)
        self._channel = channel
        self._options = options
        self._arrivals = Arrivals(after)
        self._turn: Iterator[Entry] = iter(())
        self._given = 0
        self.after = after
        """The index of the last entry given; None before the first, if it was asked for the oldest."""

    async def open(self) -> SubscribeStart | None:
        """Subscribe now, so that nothing appended from here on is missed; None if it was open already.

        Raises ChannelNotFound, Gone(oldest), UsageError, LimitExceeded.  Iterating does it too.
        """
        return await self._open()

    def __aiter__(self) -> AsyncIterator[Entry]:
        return self

    async def __anext__(self) -> Entry:
        for entry in self._turn:
            self.after = entry.index
            return entry
        entries = await self._receive()
        if not entries:
            raise StopAsyncIteration
        self._turn = iter(entries)
        entry = next(self._turn)
        self.after = entry.index
        return entry

    async def next_batch(self) -> list[Entry]:
        """All entries of the next run, for who takes them by the thousand; empty at the end."""
        entries = list(self._turn) or await self._receive()
        if entries:
            self.after = entries[-1].index
        return entries

    async def aclose(self) -> None:
        """Unsubscribe.  Idempotent."""
        self._turn = iter(())
        await super().aclose()

    async def _receive(self) -> list[Entry]:
        """The entries of the next run, over as many connections as it takes; empty at the end."""
        arrivals = self._arrivals
        while (done := self._options.satisfied(self._given)) or not (entries := arrivals.take()):
            if done or arrivals.ended or self._closed:
                self._drop_reader()
                return []
            await self._read()
        entries = self._options.wanted(entries, self._given)
        self._given += len(entries)
        return entries

    async def _ask(self, connection: AsyncConnection, stream: int) -> SubscribeStart:
        place = self._channel, stream, self._arrivals.after
        policy, entries, size, mine, follow, limit = self._options.left(self._given)
        return await invoke(connection, ChannelsApi.subscribe, *place, policy, entries, size, mine, follow, limit)

    def _begun(self, start: SubscribeStart) -> int:
        self._arrivals.opened(start.first_index)
        return 0

    def _take(self, item: Item) -> None:
        self._arrivals.receive(item)
