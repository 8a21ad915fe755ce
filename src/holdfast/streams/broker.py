"""Many streams over one connection: each gets its turn, none can hold up another, finished ones leave nothing."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..errors import LimitExceeded, UsageError
from ..limits import LIMITS
from .packets import Ack

if TYPE_CHECKING:
    from .packets import Data
    from .reader import Reader
    from .sender import OutputSender

_Value = TypeVar("_Value")

STREAM_ID_MAX = 0xFFFF_FFFF
"""What a frame has room for; a number from elsewhere may be anything."""
CANCEL_INTERVAL_S = 1.0
"""Data for an unknown stream is answered with a cancel at most this often for one stream."""
_REMEMBERED = 256
"""Streams, finished or unknown, that are remembered to answer late packets; the oldest is forgotten first."""


class BrokerEvents(NamedTuple):
    """Stream ids to look after, each at most once: what can be read, what can be written, what is over."""

    readable: tuple[int, ...]
    writable: tuple[int, ...]
    finished: tuple[int, ...]


NO_EVENTS = BrokerEvents((), (), ())


class _Outgoing:
    """A sender and its place in the queue."""

    __slots__ = ("queued", "removed", "sender", "stream_id", "timer")

    def __init__(self, stream_id: int, sender: OutputSender) -> None:
        self.stream_id = stream_id
        self.sender = sender
        self.queued = False
        self.removed = False
        self.timer: float | None = None


class Broker:
    """Routes packets and acknowledgements of one connection by stream id.  Sans-I/O, never blocks.

    ``streams_max``: streams at once; adding one more raises LimitExceeded.
    Whoever writes to, reads from, finishes or closes one of the streams calls :meth:`ready` for it afterwards.
    A stream leaves by itself: a reader when its end or its cancel is acknowledged or sent, a sender when it is
    no longer connected on that stream (end acknowledged, cancelled, disconnected).
    """

    __slots__ = (
        "_ack_queue",
        "_cancelled_at",
        "_cancels",
        "_finished",
        "_last_acks",
        "_packet_queue",
        "_readable",
        "_readers",
        "_senders",
        "_streams_max",
        "_timers",
        "_writable",
    )

    def __init__(self, streams_max: int = LIMITS.streams_per_connection_max) -> None:
        self._streams_max = streams_max
        self._readers: dict[int, Reader] = {}
        self._senders: dict[int, _Outgoing] = {}
        self._packet_queue: deque[_Outgoing] = deque()
        self._ack_queue: dict[int, Reader] = {}
        self._cancels: deque[Ack] = deque()
        self._cancelled_at: dict[int, float] = {}
        self._last_acks: dict[int, Ack] = {}
        self._timers: list[tuple[float, int]] = []
        self._readable: dict[int, None] = {}
        self._writable: dict[int, None] = {}
        self._finished: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._readers) + len(self._senders)

    def __contains__(self, stream_id: object) -> bool:
        return stream_id in self._readers or stream_id in self._senders

    # who takes part

    def add_reader(self, reader: Reader) -> None:
        """Route the data of ``reader.stream_id`` to ``reader``; an id in use raises UsageError."""
        self._check_free(reader.stream_id)
        self._readers[reader.stream_id] = reader
        self._last_acks.pop(reader.stream_id, None)
        self._cancelled_at.pop(reader.stream_id, None)
        self.ready(reader.stream_id)

    def add_sender(self, sender: OutputSender) -> None:
        """Take turns sending for a connected ``sender`` (or Writer); an id in use raises UsageError."""
        stream_id = sender.stream_id
        if stream_id is None:
            raise UsageError("connect the sender to a stream before adding it", field="sender")
        self._check_free(stream_id)
        self._senders[stream_id] = _Outgoing(stream_id, sender)
        self.ready(stream_id)

    def remove(self, stream_id: int) -> None:
        """Forget a stream without a word to the peer; an unknown one is ignored."""
        self._readers.pop(stream_id, None)
        self._ack_queue.pop(stream_id, None)
        entry = self._senders.pop(stream_id, None)
        if entry is not None:
            entry.removed = True
        self._readable.pop(stream_id, None)
        self._writable.pop(stream_id, None)

    def reader(self, stream_id: int) -> Reader | None:
        """The reader of ``stream_id``, if there is one."""
        return self._readers.get(stream_id)

    def sender(self, stream_id: int) -> OutputSender | None:
        """The sender or writer of ``stream_id``, if there is one."""
        entry = self._senders.get(stream_id)
        return None if entry is None else entry.sender

    def senders(self) -> list[OutputSender]:
        """All senders, for who wants to know how they stand."""
        return [entry.sender for entry in self._senders.values()]

    def ready(self, stream_id: int) -> None:
        """Something was done to this stream from outside: it may have a packet or an acknowledgement to send."""
        entry = self._senders.get(stream_id)
        if entry is not None:
            self._queue(entry)
            return
        reader = self._readers.get(stream_id)
        if reader is not None:
            self._after_reader(reader)

    # from the peer

    def receive_data(self, packet: Data, now: float) -> bool:
        """Hand a packet to its reader; data for a stream nobody reads is answered with a cancel, and False."""
        stream_id = packet.stream
        reader = self._readers.get(stream_id)
        if reader is None:
            self._answer_unknown(stream_id, now)
            return False
        reader.receive_data(packet, now)
        if reader.ack_due:
            self._ack_queue[stream_id] = reader
        if stream_id not in self._readable and reader.readable:
            self._readable[stream_id] = None
        return True

    def receive_ack(self, ack: Ack, now: float) -> None:
        """Hand an acknowledgement to its sender; one for a stream nobody knows is ignored."""
        entry = self._senders.get(ack.stream)
        if entry is None:
            return
        entry.sender.receive_ack(ack, now)
        if entry.sender.stream_id != entry.stream_id:
            self._drop_sender(entry)
            return
        self._writable[ack.stream] = None
        self._queue(entry)

    # to the peer

    def next_ack(self) -> Ack | None:
        """The next acknowledgement to send, or None."""
        if self._cancels:
            return self._cancels.popleft()
        while self._ack_queue:
            stream_id = next(iter(self._ack_queue))
            reader = self._ack_queue.pop(stream_id)
            ack = reader.next_ack()
            if reader.settled:
                self._drop_reader(reader)
            if ack is not None:
                return ack
        return None

    def next_packet(self, now: float) -> Data | None:
        """One packet of the stream whose turn it is, or None if no stream may send."""
        queue = self._packet_queue
        while queue:
            entry = queue[0]
            here = not entry.removed and entry.sender.stream_id == entry.stream_id
            packet = entry.sender.next_packet(now) if here else None
            if packet is not None:
                queue.rotate(-1)
                self._set_timer(entry)
                return packet
            queue.popleft()
            entry.queued = False
            if here:
                self._set_timer(entry)
            else:
                self._drop_sender(entry)
        return None

    # time

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` wants to be called, at the latest; None: not at all."""
        return self._timers[0][0] if self._timers else None

    def handle_timer(self, now: float) -> None:
        """Let every sender whose time has come look at what it should send again."""
        timers = self._timers
        while timers and timers[0][0] <= now:
            _, stream_id = heappop(timers)
            entry = self._senders.get(stream_id)
            if entry is None:
                continue
            entry.timer = None
            entry.sender.handle_timer(now)
            self._queue(entry)
            self._set_timer(entry)

    def events(self) -> BrokerEvents:
        """What changed since the last call.  Readable and writable are hints: look, then wait for the next."""
        if not (self._readable or self._writable or self._finished):
            return NO_EVENTS
        events = BrokerEvents(tuple(self._readable), tuple(self._writable), tuple(self._finished))
        self._readable.clear()
        self._writable.clear()
        self._finished.clear()
        return events

    # inside

    def _check_free(self, stream_id: int) -> None:
        if not 0 <= stream_id <= STREAM_ID_MAX:
            raise UsageError(f"stream {stream_id} is not within 0 and {STREAM_ID_MAX}", field="stream_id")
        if stream_id in self:
            raise UsageError(f"stream {stream_id} is in use on this connection", field="stream_id")
        if len(self) >= self._streams_max:
            raise LimitExceeded(name="streams_per_connection_max", limit=self._streams_max, value=len(self) + 1)

    def _queue(self, entry: _Outgoing) -> None:
        if not entry.queued:
            entry.queued = True
            self._packet_queue.append(entry)

    def _set_timer(self, entry: _Outgoing) -> None:
        deadline = entry.sender.next_deadline()
        if deadline is not None and (entry.timer is None or deadline < entry.timer):
            entry.timer = deadline
            heappush(self._timers, (deadline, entry.stream_id))

    def _after_reader(self, reader: Reader) -> None:
        if reader.ack_due:
            self._ack_queue[reader.stream_id] = reader
        elif reader.settled:
            self._drop_reader(reader)
        if reader.readable:
            self._readable[reader.stream_id] = None

    def _drop_reader(self, reader: Reader) -> None:
        stream_id = reader.stream_id
        self._readers.pop(stream_id, None)
        self._readable.pop(stream_id, None)
        self._finished[stream_id] = None
        _remember(self._last_acks, stream_id, reader.last_ack())

    def _drop_sender(self, entry: _Outgoing) -> None:
        if self._senders.get(entry.stream_id) is entry:
            del self._senders[entry.stream_id]
            self._writable.pop(entry.stream_id, None)
            self._finished[entry.stream_id] = None

    def _answer_unknown(self, stream_id: int, now: float) -> None:
        """Repeat the last word of a stream that is over; tell the writer of any other to stop."""
        if not self._may_answer(stream_id, now):
            return
        last = self._last_acks.get(stream_id)
        self._cancels.append(last if last is not None else Ack(stream_id, 0, 0, cancel=True, error="unknown stream"))

    def _may_answer(self, stream_id: int, now: float) -> bool:
        """Once per interval and stream, and never so many that a flood of ids costs memory."""
        answered = self._cancelled_at
        last = answered.get(stream_id)
        if last is not None and now - last < CANCEL_INTERVAL_S:
            return False
        if last is None and len(answered) >= _REMEMBERED and now - next(iter(answered.values())) < CANCEL_INTERVAL_S:
            return False
        if len(self._cancels) >= _REMEMBERED:
            return False
        answered.pop(stream_id, None)
        _remember(answered, stream_id, now)
        return True


def _remember(memory: dict[int, _Value], key: int, value: _Value) -> None:
    """Add to a memory of bounded size."""
    if len(memory) >= _REMEMBERED:
        del memory[next(iter(memory))]
    memory[key] = value
