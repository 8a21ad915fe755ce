"""Packs what is queued for the logs into messages of their stream."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from inspect import isawaitable

from ....errors import HoldfastError, StorageError
from ....limits import Limits
from ...base import LogMode, Producer
from ...logs import Logs
from ...state import Append, Control, LogState, Operation
from ..chain import Flight, Message
from ..lane import FLIGHTS_MAX, Lane
from ..room import Room
from ..wire import (
    CHANGE,
    CHANGED,
    IN_DATA,
    NOTHING,
    PART,
    WHOLE,
    Changed,
    Payload,
    Stamp,
    encode_changed,
    encode_data,
    encode_stamp,
    encode_whole,
    payload_of,
)
from .books import INLINE_BYTES, Book, Shelf, new_book
from .reclaiming import Reclaimer

_HEADERS_BYTES = 1_024
"""For what a message's headers take besides the stamp."""
_EXTENT_BYTES = 48
"""For what an append takes besides its payload, at most."""
_ENTRY_BYTES = 5


class Journal:
    """The packer of the stream of logs."""

    logs: Logs

    def __init__(
        self, lane: Lane, room: Room, reclaimer: Reclaimer, subject: str, payload: int, limits: Limits
    ) -> None:
        """``payload`` is the largest message the servers take."""
        self._lane = lane
        self._room = room
        self._reclaimer = reclaimer
        self._subject = subject
        self._payload = payload - _HEADERS_BYTES - 2 * INLINE_BYTES
        self._limits = limits
        self.shelves: dict[int, Shelf] = {}
        self.emitted: Flight | None = None
        """What the control that runs now wants to be sent."""

    def settled(self, operations: Sequence[Operation]) -> None:
        """See :class:`~holdfast.engine.nats.lane.Packer`."""
        self.logs.stored(operations)

    def failed(self, operations: Sequence[Operation], error: HoldfastError) -> None:
        """See :class:`~holdfast.engine.nats.lane.Packer`."""
        self.logs.failed(operations, error)

    async def pack(self) -> None:
        """The next control, or the appends before it."""
        queue = self._lane.queue
        first = queue[0]
        if first.state is not None and first.generation != first.state.generation:
            self.failed([queue.popleft()], StorageError("an earlier append to the same log failed"))
        elif isinstance(first, Control):
            queue.popleft()
            await self._run(first)
        else:
            groups = self._take_appends()
            while groups:
                state = next(iter(groups))
                if not await self._append(state, groups[state]):
                    queue.extendleft(append for group in reversed(groups.values()) for append in reversed(group))
                    return
                del groups[state]

    def _take_appends(self) -> dict[LogState, list[Append]]:
        """By log, in order."""
        queue, left = self._lane.queue, self._limits.commit_bytes_max
        groups: dict[LogState, list[Append]] = {}
        while queue and left > 0 and len(groups) < FLIGHTS_MAX:
            append = queue[0]
            if type(append) is not Append or append.generation != append.state.generation:
                break
            queue.popleft()
            groups.setdefault(append.state, []).append(append)
            left -= append.size
        return groups

    # -- appends ----------------------------------------------------------------------------------------------

    async def _append(self, state: LogState, appends: list[Append]) -> bool:
        """Send them off; False if they have to wait until all that is on its way is stored."""
        shelf = self.shelves[state.id]
        shelf.state = state
        size = sum(append.size for append in appends)
        if size and not self._room.fits(size):
            if self._lane.chain.flights:
                self._lane.hold = True
                return False
            if not await self._reclaimer.make_room(size):
                await self._append_what_fits(state, appends)
                return True
        for group in self._split(appends):
            await self._send(shelf, group)
        return True

    async def _append_what_fits(self, state: LogState, appends: list[Append]) -> None:
        """It is full: all up to the first that does not fit; that one fails, and with it those behind it."""
        shelf = self.shelves[state.id]
        first = appends[0]
        if first.size and not self._room.fits(first.size):
            self.failed(appends, self._full())
            return
        await self._send(shelf, [first])
        self._lane.queue.extendleft(reversed(appends[1:]))

    def _full(self) -> StorageError:
        return StorageError(f"the nats engine is full: max_bytes = {self._room.max_bytes}")

    def _split(self, appends: list[Append]) -> list[list[Append]]:
        """What goes into one message each, as far as it can."""
        groups: list[list[Append]] = []
        left = 0
        for append in appends:
            data = append.extent.data
            size = append.size + _EXTENT_BYTES + (_ENTRY_BYTES * len(data) if isinstance(data, tuple) else 0)
            if not groups or size > left:
                groups.append([])
                left = self._payload
            groups[-1].append(append)
            left -= size
        return groups

    async def _send(self, shelf: Shelf, appends: list[Append]) -> None:
        """One flight of appends to one log."""
        riders = [append.rider for append in appends if append.rider is not None]
        extents = [append.extent for append in appends if append.extent.end > append.extent.position]
        if not extents and all(rider.refusal is not None for rider in riders):
            for append in appends:
                self._lane.attach(append)
            return
        payload = payload_of(shelf.mode, extents)
        before = shelf.packed
        book = before._replace(
            end=extents[-1].end if extents else before.end,
            paid=before.paid + sum(extent.size for extent in extents),
            holes=before.holes + sum(extent.hole_length for extent in extents),
        )
        changes = Changed(None, False, [])
        if riders:
            producers: dict[str, Producer] = {}
            for rider in riders:
                if rider.producer is not None:
                    producers[rider.producer.id] = rider.producer
                if rider.meta is not None:
                    book = book._replace(meta=rider.meta)
                    changes = changes._replace(meta=rider.meta)
                if rider.close:
                    book = book._replace(closed=True)
            shelf.overlay |= producers
            changes = changes._replace(closed=book.closed, producers=list(producers.values()))
        changed = bool(changes.producers) or changes.meta is not None or book.closed != before.closed
        flight = self._flight(shelf, book, payload, changes if changed else None)
        flight.operations += appends
        await self._lane.send(flight)

    def _flight(self, shelf: Shelf, book: Book, payload: Payload, changes: Changed | None) -> Flight:
        """The messages that bring a log to ``book``."""
        before, flags = shelf.packed, 0
        shelf.packed = book
        sequence = self._lane.chain.next_sequence
        state = b""
        if changes is None and not shelf.is_thin(book.paid - before.paid):
            flags = CHANGED if book.debt else 0
        else:
            flags, state, debt = self._describe(shelf, book, changes)
            book = book._replace(base=0 if flags & WHOLE else book.base, debt=debt)
        identity = self._lane.next_identity
        stamp = Stamp(flags, *identity, before.end, book.end, book.paid, book.holes, book.base, 0)
        data = encode_data(state if flags & IN_DATA else None, payload)
        messages = self._messages(shelf, before, stamp, b"" if flags & IN_DATA else state, data)
        if flags & WHOLE:
            book = book._replace(base=sequence + len(messages) - 1)
        shelf.packed = book
        flight = self._lane.flight(messages)
        self._track(shelf, flight, book, before)
        return flight

    def _track(self, shelf: Shelf, flight: Flight, book: Book, before: Book) -> None:
        shelf.flying += 1
        self._room.take(self._lane.stream, flight.size)

        def settle() -> None:
            shelf.land(book)
            if book.end != before.end:
                shelf.places.add(before.end, flight.first)

        def undo() -> None:
            shelf.rewind()
            self._room.take(self._lane.stream, -flight.size)

        flight.settle, flight.undo = settle, undo

    def _describe(self, shelf: Shelf, book: Book, changes: Changed | None) -> tuple[int, bytes, int]:
        """Flags, what a message says of the log, and the debt after it."""
        estimate = shelf.estimate()
        if changes is None or estimate <= INLINE_BYTES:
            whole = encode_whole(shelf.whole(book))
            return WHOLE | (IN_DATA if len(whole) > 2 * INLINE_BYTES else 0), whole, 0
        change = encode_changed(changes)
        if book.debt + len(change) > estimate:
            return WHOLE | IN_DATA, encode_whole(shelf.whole(book)), 0
        inline = 0 if len(change) <= INLINE_BYTES else IN_DATA
        return CHANGE | CHANGED | inline, change, book.debt + len(change)

    def _messages(self, shelf: Shelf, before: Book, stamp: Stamp, state: bytes, data: bytes) -> list[Message]:
        """One, or as many as ``data`` needs."""
        subject = f"{self._subject}.{shelf.id}"
        if len(data) <= self._payload:
            return [Message(subject, encode_stamp(stamp, state), data)]
        chunks = [data[start : start + self._payload] for start in range(0, len(data), self._payload)]
        part = Stamp(
            PART | (CHANGED if before.debt else 0),
            stamp.epoch,
            stamp.number,
            before.end,
            before.end,
            before.paid,
            before.holes,
            before.base,
            0,
        )
        parts = [
            Message(subject, encode_stamp(part._replace(parts=number)), chunk)
            for number, chunk in enumerate(chunks[:-1])
        ]
        return [*parts, Message(subject, encode_stamp(stamp._replace(parts=len(parts)), state), chunks[-1])]

    # -- controls ---------------------------------------------------------------------------------------------

    async def _run(self, control: Control) -> None:
        self.emitted = None
        try:
            result = control.run()
            control.result = await result if isawaitable(result) else result
        except HoldfastError as refusal:
            control.result = refusal
            self.emitted = None
        flight, self.emitted = self.emitted, None
        if flight is None:
            self._lane.attach(control)
        else:
            flight.operations.append(control)
            await self._lane.send(flight)

    def create(self, name: str, mode: LogMode, meta: bytes) -> int:
        """A log's first message; gives its id."""
        return self.add(name, mode, new_book(mode, meta)).id

    def add(self, name: str, mode: LogMode, book: Book) -> Shelf:
        """A log of what ``book`` says."""
        shelf = Shelf(self._lane.chain.next_sequence, name, mode, book)
        self.note(shelf, book)
        assert self.emitted is not None
        landed = self.emitted.settle
        assert landed is not None

        def settle() -> None:
            self.shelves[shelf.id] = shelf
            landed()

        self.emitted.settle = settle
        return shelf

    def note(self, shelf: Shelf, book: Book) -> None:
        """Have a message sent that says all that is known of a log, which is at ``book`` with it."""
        before = shelf.packed
        identity = self._lane.next_identity
        whole = encode_whole(shelf.whole(book))
        inline = len(whole) <= 2 * INLINE_BYTES
        stamp = Stamp(WHOLE if inline else WHOLE | IN_DATA, *identity, book.end, book.end, book.paid, book.holes, 0, 0)
        data = encode_data(None if inline else whole, NOTHING)
        messages = self._messages(shelf, before, stamp, whole if inline else b"", data)
        shelf.packed = book = book._replace(base=self._lane.chain.next_sequence + len(messages) - 1, debt=0)
        self.emitted = self._lane.flight(messages)
        self._track(shelf, self.emitted, book, book)


def also(flight: Flight, settle: partial[None], undo: partial[None] | None = None) -> None:
    """Have more done when ``flight`` is stored, and when it is not."""
    first, last = flight.settle, flight.undo

    def both() -> None:
        if first is not None:
            first()
        settle()

    def neither() -> None:
        if undo is not None:
            undo()
        if last is not None:
            last()

    flight.settle, flight.undo = both, neither
