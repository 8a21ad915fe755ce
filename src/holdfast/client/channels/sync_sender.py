"""One sender of one channel, blocking: parcels leave in the order of their numbers, over cuts too."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from ...channels.api import ChannelsApi
from ...channels.model import Ack, AppendResult
from ...errors import ChannelFull, DisconnectedError, MessageTooLarge, RateLimited, SequenceConflict
from ...ids import random_fraction
from ...rpc.blocking.connection import BlockingConnection
from ...rpc.commands import INLINE_BYTES_MAX, Method, command_of, invoke_blocking
from ...rpc.events import Reply
from ..sync_link import SyncLink
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


class SyncSender:
    """Appends to ``channel`` as ``name`` (empty: as whoever we are).  Shared by all objects of one channel."""

    def __init__(self, link: SyncLink, channel: str, name: str) -> None:
        self._link = link
        self._channel = channel
        self._name = name
        self._numbers = Numbers()

    def append(self, draft: Draft, sequence: int, ack: Ack, patience_s: float) -> Appended:
        """One entry; under ``sequence`` if it is not 0."""
        explicit = sequence != 0
        if not explicit:
            self._learn()
            sequence = self._numbers.take(1)
        settled = self._deliver([one_parcel(draft, sequence, explicit=explicit)], ack, patience_s)[-1]
        if settled.refused:
            raise settled.refused[0].error
        if explicit:
            self._numbers.learn(sequence)
        return Appended(settled.first_index, settled.first_sequence)

    def append_batch(self, payloads: Sequence[Payload], ack: Ack, patience_s: float) -> BatchAppended:
        """Many entries, in as many parcels as it takes, several under way at once."""
        self._learn()
        return sum_up(self._deliver(make_parcels(payloads, self._numbers), ack, patience_s))

    def _learn(self, *, again: bool = False) -> None:
        """Ask which sequences this sender has used, once."""
        if again or not self._numbers.next:
            self._numbers.learn(self._link.again(self._last_sequence))

    def _last_sequence(self) -> int:
        connection = self._link.connection()
        name = self._name or connection.identity
        senders = invoke_blocking(connection, ChannelsApi.senders, self._channel)
        return next((each.last_sequence for each in senders if each.sender == name), 0)

    # on the way

    def _deliver(self, parcels: Iterable[Parcel], ack: Ack, patience_s: float) -> list[Settled]:
        """What became of the parcels, part by part; none of what could be appended is left out."""
        flights = _Flights(self._link, self._channel, self._name, ack)
        source, settled = iter(parcels), []
        try:
            while flights.fill(source):
                parcel, result = self._land(flights, patience_s)
                settled.append(result)
                if result.contested:
                    flights.add(self._under_other_numbers(parcel, result))
        finally:
            flights.give_up()
        return settled

    def _land(self, flights: _Flights, patience_s: float) -> tuple[Parcel, Settled]:
        """The oldest parcel under way, and the answer to it."""
        until = time.monotonic() + patience_s
        parcel = flights.oldest
        while True:
            try:
                result = self._link.again(flights.answer)
            except RateLimited as limited:
                if time.monotonic() + limited.retry_after_s > until:
                    raise
                time.sleep(limited.retry_after_s)
            except SequenceConflict:
                if parcel.explicit:
                    raise
                flights.land()
                return parcel, contested_whole(parcel)
            except (ChannelFull, MessageTooLarge) as error:
                flights.land()
                return parcel, refused_whole(parcel, error)
            else:
                flights.land()
                self._numbers.learn(result.last_sequence)
                return parcel, settle(parcel, result)

    def _under_other_numbers(self, parcel: Parcel, settled: Settled) -> Parcel:
        self._learn(again=True)
        if parcel.met:
            self._numbers.jump(random_fraction())
        return parcel.renumbered(settled.contested, self._numbers)


class _Flight:
    """A parcel under way."""

    __slots__ = ("call", "parcel")

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel
        self.call: int | None = None
        """Its number on the present connection; None: it was not sent there."""

    @property
    def streams(self) -> bool:
        """Whether it is too large for a call; then it is sent when it is the oldest, and those behind it wait."""
        return len(self.parcel.data) > INLINE_BYTES_MAX


class _Flights:
    """Parcels under way, oldest first; sent in that order on every connection."""

    def __init__(self, link: SyncLink, channel: str, sender: str, ack: Ack) -> None:
        self._link = link
        self._channel = channel
        self._sender = sender
        self._ack: Ack = ack
        self._flights: deque[_Flight] = deque()
        self._connection: BlockingConnection | None = None

    @property
    def oldest(self) -> Parcel:
        """The one whose answer is due."""
        return self._flights[0].parcel

    def fill(self, source: Iterator[Parcel]) -> bool:
        """Take parcels from ``source`` while there is room; False if there is none at all."""
        while len(self._flights) < PARCELS_IN_FLIGHT and (parcel := next(source, None)) is not None:
            self.add(parcel)
        return bool(self._flights)

    def add(self, parcel: Parcel) -> None:
        """Take one more."""
        self._flights.append(_Flight(parcel))

    def land(self) -> None:
        """The oldest one is done with."""
        self._flights.popleft()

    def answer(self) -> AppendResult:
        """Send what has not been sent; the answer to the oldest parcel.  Blocks; safe to repeat over connections."""
        connection = self._link.connection()
        if connection is not self._connection:
            self._connection = connection
            for flight in self._flights:
                flight.parcel.resent = flight.parcel.resent or flight.call is not None
                flight.call = None
        oldest = self._flights[0]
        if oldest.streams:
            return self._stream(connection, oldest)
        self._send(connection)
        call, oldest.call = oldest.call, None
        assert call is not None, "it was sent"
        while (reply := self._take(connection, call, oldest)) is None:
            connection.pump()
        return _result(ChannelsApi.append, reply)

    def _take(self, connection: BlockingConnection, call: int, flight: _Flight) -> Reply | None:
        try:
            return connection.take_reply(call)
        except DisconnectedError:
            flight.parcel.resent = True
            raise

    def _send(self, connection: BlockingConnection) -> None:
        for flight in self._flights:
            if flight.streams:
                return
            if flight.call is None:
                given = (self._channel, flight.parcel.data, self._ack, self._sender)
                flight.call = connection.begin_call(*command_of(ChannelsApi.append).arguments(given, {}))

    def _stream(self, connection: BlockingConnection, flight: _Flight) -> AppendResult:
        writer = connection.open_writer()
        left = memoryview(flight.parcel.data)
        given = (self._channel, writer.stream_id, len(left), self._ack, self._sender)
        number = connection.begin_call(*command_of(ChannelsApi.append_stream).arguments(given, {}))
        try:
            while (reply := self._take(connection, number, flight)) is None:
                if left:
                    left = left[writer.offer(left) :]
                    if not left:
                        writer.finish()
                connection.pump()
        finally:
            connection.give_up_call(number)
            writer.forget()
        return _result(ChannelsApi.append_stream, reply)

    def give_up(self) -> None:
        """Wait for no more answers."""
        for flight in self._flights:
            if self._connection is not None and flight.call is not None:
                self._connection.give_up_call(flight.call)


def _result(method: Method, reply: Reply) -> AppendResult:
    result: AppendResult = command_of(method).decode(reply.result, reply.attachment)
    return result
