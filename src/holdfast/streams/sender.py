"""The sending end of a stream: a buffer, at most one reader, and what is owed to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError
from ..limits import LIMITS
from .events import Finished, GapSent, ReaderCancelled
from .pace import Pace
from .packets import BYTES, EOF, ERROR, GAP, Data
from .recovery import Recovery
from .ring import RingBuffer

if TYPE_CHECKING:
    from .events import SenderEvent
    from .packets import Ack, Payload
    from .ring import Buffer

_new = tuple.__new__
"""Makes a NamedTuple at half the price of calling its class; for what is made per packet."""


class OutputSender:
    """Keeps what is written in a buffer and sends it to at most one connected reader.  Sans-I/O, never blocks.

    ``buffer``: where bytes wait, a :class:`RingBuffer` of the default size if None.  ``window_bytes``: the first
    congestion window; with ``autotune`` it grows up to ``window_bytes_max`` (default: the ring's capacity) and
    packets grow from ``packet_bytes`` to ``packet_bytes_max``.  ``lossy``: the transport may lose packets, so
    resend.  ``overwrite_detached``: a RingBuffer drops its oldest bytes while nobody is connected, so that the
    source never blocks; other buffers decide for themselves.
    """

    __slots__ = (
        "_buffer",
        "_done",
        "_edge",
        "_end",
        "_end_sent",
        "_error",
        "_events",
        "_gap_end",
        "_open",
        "_overwrite_detached",
        "_pace",
        "_pace_arguments",
        "_probe",
        "_progress_at",
        "_recovery",
        "_sent_at",
        "_window",
        "acknowledged",
        "lossy",
        "retransmits",
        "sent",
        "stream_id",
    )

    acknowledged: int
    """All below this offset is done with."""
    sent: int
    """The offset after the last byte sent to this reader."""
    _edge: int
    _gap_end: int
    _open: bool

    def __init__(
        self,
        buffer: Buffer | None = None,
        *,
        window_bytes: int = LIMITS.window_bytes,
        window_bytes_max: int | None = None,
        packet_bytes: int = LIMITS.packet_bytes,
        packet_bytes_max: int = LIMITS.packet_bytes_max,
        autotune: bool = True,
        lossy: bool = False,
        overwrite_detached: bool = True,
    ) -> None:
        self._buffer: Buffer = RingBuffer() if buffer is None else buffer
        ring = self._buffer if isinstance(self._buffer, RingBuffer) else None
        if window_bytes_max is None:
            window_bytes_max = LIMITS.ring_bytes if ring is None else ring.capacity
        self._pace_arguments = (window_bytes, window_bytes_max, packet_bytes, packet_bytes_max, autotune, lossy)
        self.lossy = lossy
        """Whether the transport may lose packets; only then there are timers."""
        self._overwrite_detached = overwrite_detached
        self._end: int | None = None
        self._error = ""
        self._done = False
        self._events: list[SenderEvent] = []
        self.retransmits = 0
        """Packets sent again, on all connections."""
        self.stream_id: int | None = None
        """The stream of the connected reader, or None."""
        self._reset(self._buffer.head)
        self._set_overwrite(overwrite=True)

    # what the source does

    def write(self, data: Payload, tag: int = 0) -> int:
        """Take as much of ``data`` as the buffer has room for; how many bytes that was.

        ``tag``, 0 to 15, travels with the bytes.  Raises UsageError after :meth:`finish` or :meth:`fail`.
        """
        if self._end is not None:
            raise UsageError("write after the end of the stream", field="data")
        return self._buffer.write_available(data, tag)

    def finish(self) -> None:
        """No more will be written; the reader sees the end after the last byte.  Only the first end counts."""
        if self._end is None:
            self._end = self._buffer.total

    def fail(self, text: str) -> None:
        """The source broke; the reader sees ``text`` after the last byte.  Only the first end counts."""
        if self._end is None:
            self._end = self._buffer.total
            self._error = text or "failed"

    # the connection

    def connect(self, stream_id: int, window: int, from_offset: int, now: float) -> int:
        """Serve a reader that has all below ``from_offset`` and room for ``window`` bytes; where it will start.

        A start beyond ``from_offset`` means that the bytes between are gone; the reader gets them as a gap.
        ``window`` 0 corks the sender (*prepare*): :meth:`start`, or the first acknowledgement with a window,
        opens it.  Raises UsageError if a reader is connected, or ``from_offset`` is beyond the end.
        """
        if self.stream_id is not None:
            raise UsageError(f"stream {self.stream_id} is connected: disconnect it first", field="stream_id")
        if not 0 <= from_offset <= self._buffer.total:
            raise UsageError(f"from_offset: {from_offset} is beyond the end {self._buffer.total}", field="from_offset")
        self._set_overwrite(overwrite=False)
        self._buffer.consume(from_offset)
        self._reset(from_offset)
        self.stream_id = stream_id
        if window > 0:
            self.start(window, now)
        head: int = self._buffer.head
        return max(from_offset, head)

    def start(self, window: int, now: float) -> None:
        """Open a corked sender: the reader has room for ``window`` bytes from its starting offset."""
        if self.stream_id is None:
            raise UsageError("start without a connected reader", field="window")
        if not self._open:
            self._open = True
            self._window = window
            self._edge = self.acknowledged + window
            self._progress_at = now

    def disconnect(self) -> None:
        """Forget the reader and all that was under way to it; what it did not acknowledge is kept.  Idempotent."""
        self.stream_id = None
        self._reset(self.acknowledged)
        self._set_overwrite(overwrite=True)

    # what the reader says

    def receive_ack(self, ack: Ack, now: float) -> None:
        """Take an acknowledgement; one that is stale, reordered, or outside what was sent changes nothing."""
        if ack.stream != self.stream_id:
            return
        if ack.cancel:
            self._on_cancel(ack.error)
            return
        seq, window = ack.seq, ack.window
        if seq > self.sent or window < 0:
            return
        if seq > self.acknowledged:
            self._progress(seq, window, now)
        elif seq == self.acknowledged and window > self._window:
            self._window = window
            self._edge = seq + window
            self._open = True
        elif self._recovery is not None and not ack.fin:
            self._recovery.on_repeat(now)
        if ack.fin and self._end_sent and (self._error or seq == self._end):
            self._on_fin()

    # what goes out

    def next_packet(self, now: float) -> Data | None:
        """The next packet to send, or None until something changes.  One at a time, for connections to be fair."""
        if not self._open or self.stream_id is None:
            return None
        recovery = self._recovery
        if recovery is not None and (recovery.resends or self._probe):
            return self._again(recovery)
        buffer, offset = self._buffer, self.sent
        if offset < buffer.head:
            return self._gap_packet(offset, buffer.head - offset, now)
        available = buffer.total - offset
        if available <= 0:
            self._time_round_trip()
            return self._last_packet(now)
        pace, acknowledged = self._pace, self.acknowledged
        room = acknowledged + pace.window
        room = (room if room < self._edge else self._edge) - offset  # noqa: FURB136 - a call per packet saved
        if room < available and room < pace.packet and (offset > acknowledged or room <= 0):
            # Crumbs are not sent while an acknowledgement is due that will bring more room (RFC 1122, 4.2.3.4).
            if recovery is not None and offset == acknowledged:
                recovery.watch(now)
            self._time_round_trip()
            return None
        size = pace.packet
        data, tag = buffer.peek(offset, room if room < size else size)  # noqa: FURB136 - the same
        if type(data) is not bytes:
            data = bytes(data)
        self.sent = end = offset + len(data)
        if offset == acknowledged:
            self._progress_at = now
        self._sent_at = now
        if recovery is not None:
            recovery.on_sent(offset, end, now)
        return _new(Data, (self.stream_id, offset, data, BYTES, tag, 0))

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` wants to be called next; None: not at all.  Only lossy transports need it."""
        return None if self._recovery is None else self._recovery.deadline

    def handle_timer(self, now: float) -> None:
        """Time has passed; :meth:`next_packet` may have something to send again."""
        if self._recovery is not None and self._recovery.on_timer(now) and not self._recovery.sent:
            self._probe = True

    def events(self) -> list[SenderEvent]:
        """What happened since the last call."""
        if not self._events:
            return []
        events, self._events = self._events, []
        return events

    # what can be seen

    @property
    def buffer(self) -> Buffer:
        """Where bytes wait."""
        return self._buffer

    @property
    def connected(self) -> bool:
        """Whether a reader is connected, corked or not.  Says nothing about whether it is there: see acks."""
        return self.stream_id is not None

    @property
    def corked(self) -> bool:
        """Whether a reader is connected that nothing may be sent to yet."""
        return self.stream_id is not None and not self._open

    @property
    def done(self) -> bool:
        """Whether some reader has acknowledged the end."""
        return self._done

    @property
    def ended(self) -> bool:
        """Whether the source has finished or failed."""
        return self._end is not None

    @property
    def error(self) -> str:
        """What the source failed with, or an empty string."""
        return self._error

    @property
    def outstanding(self) -> int:
        """Bytes sent to this reader and not acknowledged, gaps included."""
        return self.sent - self.acknowledged

    @property
    def credit(self) -> int:
        """Bytes that may be sent now; never negative."""
        return max(0, min(self._edge, self.acknowledged + self._pace.window) - self.sent) if self._open else 0

    @property
    def congestion_window(self) -> int:
        """Bytes that may be under way, as measured so far."""
        return self._pace.window

    @property
    def round_trip_s(self) -> float | None:
        """Smoothed round trip to the reader in seconds, once known."""
        return self._pace.rtt

    @property
    def unacknowledged_since(self) -> float | None:
        """Since when the reader owes an acknowledgement without any progress; None: it owes none."""
        waiting = self.sent > self.acknowledged or self._end_sent
        return self._progress_at if waiting and self.stream_id is not None else None

    # inside

    def _reset(self, offset: int) -> None:
        window, window_max, packet, packet_max, autotune, lossy = self._pace_arguments
        self._pace = Pace(
            window=window,
            window_max=window_max,
            packet=packet,
            packet_max=packet_max,
            autotune=autotune,
            lossy=lossy,
        )
        self._recovery = Recovery(self._pace) if self.lossy else None
        self.acknowledged = offset
        self.sent = offset
        self._edge = offset
        self._window = 0
        self._gap_end = offset
        self._open = False
        self._end_sent = False
        self._probe = False
        self._progress_at = 0.0
        self._sent_at = 0.0

    def _set_overwrite(self, *, overwrite: bool) -> None:
        if self._overwrite_detached and isinstance(self._buffer, RingBuffer):
            self._buffer.set_overwrite(overwrite)

    def _progress(self, seq: int, window: int, now: float) -> None:
        self.acknowledged = seq
        self._window = window
        self._edge = seq + window
        self._progress_at = now
        pace = self._pace
        if pace.mark >= 0:
            if pace.mark <= seq:
                pace.end(seq, now, window)
            elif pace.train_offset < 0:
                pace.train(seq, now)
        if self._recovery is not None:
            self._recovery.on_progress(seq, now)
        self._buffer.consume(seq)

    def _on_cancel(self, error: str) -> None:
        self._events.append(ReaderCancelled(error))
        self.disconnect()

    def _on_fin(self) -> None:
        assert self._end is not None
        self._done = True
        self._buffer.consume(self._end)
        self._events.append(Finished(self._end, self._error))
        self.disconnect()

    def _time_round_trip(self) -> None:
        """No more can go out for now: time the last packet, for what it closes is the whole window."""
        if self._pace.mark < 0 and self.sent > self.acknowledged:
            self._pace.begin(self.sent, max(self.acknowledged, self._gap_end), self._sent_at)

    def _gap_packet(self, offset: int, length: int, now: float) -> Data:
        assert self.stream_id is not None
        self.sent = self._gap_end = offset + length
        self._sent_at = now
        self._pace.forget()
        if self._recovery is not None:
            self._recovery.on_sent(offset, self.sent, now)
        if offset == self.acknowledged:
            self._progress_at = now
        self._events.append(GapSent(offset, length))
        return Data(self.stream_id, offset, b"", GAP, 0, length)

    def _last_packet(self, now: float) -> Data | None:
        if self._end is None or self._end_sent or (self._error and self.acknowledged < self._end):
            # A reader honours an error at once, so it must not overtake the bytes before it.
            return None
        self._end_sent = True
        if self.sent == self.acknowledged:
            self._progress_at = now
        if self._recovery is not None:
            self._recovery.on_sent(self._end, self._end + 1, now)
        return self._terminal()

    def _terminal(self) -> Data:
        assert self.stream_id is not None
        assert self._end is not None
        if self._error:
            return Data(self.stream_id, self._end, self._error.encode(errors="replace"), ERROR)
        return Data(self.stream_id, self._end, b"", EOF)

    def _again(self, recovery: Recovery) -> Data:
        """What was lost, once more; or an empty packet to ask how far the reader is."""
        assert self.stream_id is not None
        self._probe = False
        if not recovery.resends:
            return Data(self.stream_id, self.sent)
        self.retransmits += 1
        offset = max(recovery.resends[0].offset, self.acknowledged)
        if offset == self._end:
            recovery.resends.popleft()
            return self._terminal()
        return recovery.packet_again(self.stream_id, offset, self._buffer)
