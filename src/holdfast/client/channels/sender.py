"""One sender of one channel: parcels leave in the order of their numbers, over cuts too."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from ...channels.api import ChannelsApi
from ...channels.model import Ack, AppendResult
from ...errors import (
    ChannelFull,
    DisconnectedError,
    HoldfastError,
    MessageTooLarge,
    RateLimited,
    SequenceConflict,
    Unauthenticated,
    Unavailable,
)
from ...ids import random_fraction
from ...rpc.aio.connection import AsyncConnection
from ...rpc.aio.whole import send_whole
from ...rpc.commands import INLINE_BYTES_MAX, invoke
from ..link import Link
from .appending import (
    PARCELS_IN_FLIGHT,
    Appended,
    BatchAppended,
    Numbers,
    Parcel,
    Settled,
    contested_whole,
    make_parcels,
    one_parcel,
    refused_whole,
    settle,
    sum_up,
)
from .drafts import Draft, Payload

_CALLS_MAX = 512
"""Calls of one sender under way at once; a node takes LIMITS.calls_in_flight_max on one connection."""


class Sender:
    """Appends to ``channel`` as ``name`` (empty: as whoever we are).  Shared by all objects of one channel."""

    def __init__(self, link: Link, channel: str, name: str) -> None:
        self._link = link
        self._channel = channel
        self._name = name
        self._numbers = Numbers()
        self._learning = asyncio.Lock()
        self._room = asyncio.Semaphore(_CALLS_MAX)
        self._last: _Trip | None = None

    async def append(self, draft: Draft, sequence: int, ack: Ack, patience_s: float) -> Appended:
        """One entry; under ``sequence`` if it is not 0."""
        explicit = sequence != 0
        if not explicit:
            await self._learn()
            sequence = self._numbers.take(1)
        parcel = one_parcel(draft, sequence, explicit=explicit)
        settled = await self._send(parcel, ack, patience_s)
        while settled.contested:
            parcel = await self._under_other_numbers(parcel, settled)
            settled = await self._send(parcel, ack, patience_s)
        if settled.refused:
            raise settled.refused[0].error
        if explicit:
            self._numbers.learn(sequence)
        return Appended(settled.first_index, settled.first_sequence)

    async def append_batch(self, payloads: Sequence[Payload], ack: Ack, patience_s: float) -> BatchAppended:
        """Many entries, in as many parcels as it takes, several under way at once."""
        await self._learn()
        settled: list[Settled] = []
        under_way: deque[asyncio.Task[list[Settled]]] = deque()
        try:
            for parcel in make_parcels(payloads, self._numbers):
                if len(under_way) >= PARCELS_IN_FLIGHT:
                    settled += await under_way[0]
                    under_way.popleft()
                under_way.append(asyncio.create_task(self._deliver(parcel, ack, patience_s)))
            while under_way:
                settled += await under_way[0]
                under_way.popleft()
        finally:
            await _end(under_way)
        return sum_up(settled)

    async def _deliver(self, parcel: Parcel, ack: Ack, patience_s: float) -> list[Settled]:
        """Send until nothing in the parcel is contested any more; what became of it, part by part."""
        parts = [await self._send(parcel, ack, patience_s)]
        while parts[-1].contested:
            parcel = await self._under_other_numbers(parcel, parts[-1])
            parts.append(await self._send(parcel, ack, patience_s))
        return parts

    async def _learn(self, *, again: bool = False) -> None:
        """Ask which sequences this sender has used, once."""
        if self._numbers.next and not again:
            return
        async with self._learning:
            if self._numbers.next and not again:
                return
            self._numbers.learn(await self._link.again(self._last_sequence))

    async def _last_sequence(self, connection: AsyncConnection) -> int:
        name = self._name or connection.identity
        senders = await invoke(connection, ChannelsApi.senders, self._channel)
        return next((each.last_sequence for each in senders if each.sender == name), 0)

    async def _under_other_numbers(self, parcel: Parcel, settled: Settled) -> Parcel:
        await self._learn(again=True)
        if parcel.met:
            self._numbers.jump(random_fraction())
        return parcel.renumbered(settled.contested, self._numbers)

    # on the way

    async def _send(self, parcel: Parcel, ack: Ack, patience_s: float) -> Settled:
        """The node's answer to ``parcel``, over as many connections as it takes."""
        trip = _Trip(self._last)
        self._last = trip
        try:
            async with self._room:
                result = await self._travel(trip, parcel, ack, patience_s)
        except SequenceConflict:
            if parcel.explicit:
                raise
            return contested_whole(parcel)
        except (ChannelFull, MessageTooLarge) as error:
            return refused_whole(parcel, error)
        except (DisconnectedError, Unavailable, Unauthenticated) as error:
            trip.lost = error
            raise
        finally:
            trip.arrive()
            if self._last is trip:
                self._last = None
        self._numbers.learn(result.last_sequence)
        return settle(parcel, result)

    async def _travel(self, trip: _Trip, parcel: Parcel, ack: Ack, patience_s: float) -> AppendResult:
        """Leave after the trip before, on the same connection; the first of all finds a connection.

        So parcels reach the node in the order of their numbers, and a cut makes one of them dial, not all.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s

        async def go(connection: AsyncConnection) -> AppendResult:
            return await self._call(connection, trip, parcel, ack)

        while True:
            before = trip.before
            try:
                if before is None:
                    return await self._link.again(go)
                if before.lost is not None:
                    raise before.lost
                if before.connection is None or before.connection.closed_by is not None:
                    await before.moved()
                    continue
                return await go(before.connection)
            except RateLimited as limited:
                if loop.time() + limited.retry_after_s > until:
                    raise
                await asyncio.sleep(limited.retry_after_s)
            except (DisconnectedError, Unauthenticated):
                if before is None or before.lost is not None:
                    raise

    async def _call(self, connection: AsyncConnection, trip: _Trip, parcel: Parcel, ack: Ack) -> AppendResult:
        try:
            if len(parcel.data) > INLINE_BYTES_MAX:  # it takes its time: those behind it wait until it has arrived
                method = ChannelsApi.append_stream
                return await send_whole(connection, parcel.data, method, self._channel, ack, self._name)
            trip.leave(connection)
            return await invoke(connection, ChannelsApi.append, self._channel, parcel.data, ack, self._name)
        except (DisconnectedError, Unauthenticated) as error:
            parcel.resent = parcel.resent or isinstance(error, DisconnectedError)
            trip.connection = None
            raise


class _Trip:
    """One parcel's place in the queue.  Only the one behind it waits for it."""

    __slots__ = ("_before", "_waiter", "arrived", "connection", "lost")

    def __init__(self, before: _Trip | None) -> None:
        self._before = before
        self._waiter: asyncio.Future[None] | None = None
        self.arrived = False
        self.connection: AsyncConnection | None = None
        """On which it is under way."""
        self.lost: HoldfastError | None = None
        """No connection was to be had in time; none of those behind it tries for as long again."""

    @property
    def before(self) -> _Trip | None:
        """The one that must leave first; None if it has arrived."""
        if self._before is not None and self._before.arrived and self._before.lost is None:
            self._before = None
        return self._before

    def leave(self, connection: AsyncConnection) -> None:
        """It is sent now."""
        self.connection = connection
        self._wake()

    def arrive(self) -> None:
        """It was answered, or given up."""
        self.arrived = True
        self._before = None
        self._wake()

    async def moved(self) -> None:
        """Wait until it has left again, or arrived."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def _end(tasks: deque[asyncio.Task[list[Settled]]]) -> None:
    """Cancel what still runs, and see it end."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)
