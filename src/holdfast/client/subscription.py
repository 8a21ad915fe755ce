"""A subscription to a channel, as the async SDK shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self

from ..channels.api import ChannelsApi
from ..channels.model import SubscribeStart
from ..channels.unpacking import Entry
from ..errors import ClosedError, DisconnectedError
from ..limits import LIMITS
from ..rpc.aio import AsyncConnection
from ..rpc.aio_streams import AsyncReader
from ..rpc.commands import invoke
from .entries import READ_BYTES, Arrivals, SubscribeOptions
from .link import Link


class Subscription:
    """Entries of a channel, in order, each once; an async iterator that outlives cut links and restarted nodes.

    ``after`` is the index of the last entry given: another subscription can go on from there.  Cancelling a step loses
    nothing: the next step gives what that one would have.  Ends after the last entry of a closed channel.
    """

    def __init__(self, link: Link, channel: str, after: int | None, options: SubscribeOptions) -> None:
        self._link = link
        self._channel = channel
        self._options = options
        self._reader: AsyncReader | None = None
        self._connection: AsyncConnection | None = None
        self._arrivals = Arrivals(after)
        self._turn: Iterator[Entry] = iter(())
        self._given = 0
        self._closed = False
        self.after = after
        """The index of the last entry given; None before the first, if it was asked for the oldest."""

    async def open(self) -> SubscribeStart | None:
        """Subscribe now, so that nothing appended from here on is missed; None if it was open already.

        Raises ChannelNotFound, Gone(oldest), UsageError, LimitExceeded.  Iterating does it too.
        """
        return await self._link.again(self._open_if_needed)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

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
        self._closed = True
        self._turn = iter(())
        self._drop_reader()

    async def _receive(self) -> list[Entry]:
        """The entries of the next run, over as many connections as it takes; empty at the end."""
        arrivals = self._arrivals
        while not (entries := arrivals.take()):
            if arrivals.ended or self._closed or self._options.satisfied(self._given):
                self._drop_reader()
                return []
            await self._link.again(self._read_once)
        self._given += len(entries)
        return entries

    async def _read_once(self, connection: AsyncConnection) -> None:
        await self._open_if_needed(connection)
        reader = self._reader
        if reader is None:
            raise ClosedError("the subscription was closed by this end")
        try:
            self._arrivals.receive(await reader.read(READ_BYTES))
        except DisconnectedError:
            self._drop_reader()
            raise

    async def _open_if_needed(self, connection: AsyncConnection) -> SubscribeStart | None:
        if connection is not self._connection:
            self._drop_reader()  # what it holds still comes again
        if self._reader is not None or self._closed:
            return None
        reader = connection.open_reader(window_bytes=LIMITS.viewer_window_bytes)
        place = self._channel, reader.stream_id, self._arrivals.after
        try:
            policy, entries, size, mine, follow, limit = self._options.left(self._given)
            start = await invoke(connection, ChannelsApi.subscribe, *place, policy, entries, size, mine, follow, limit)
        except BaseException:
            reader.close()
            raise
        reader.start(0)
        self._arrivals.opened(start.first_index)
        self._reader, self._connection = reader, connection
        return start

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
