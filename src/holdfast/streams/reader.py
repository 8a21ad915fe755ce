"""The receiving end of a stream: order restored, duplicates dropped, credit returned as bytes are consumed."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UsageError
from ..limits import LIMITS
from .packets import BYTES, EOF, ERROR, GAP, Ack
from .reorder import Reorder

if TYPE_CHECKING:
    from .packets import Data, Payload

_CRUMB_BYTES = 512
"""Payloads below this are joined as they arrive, so that a window full of single bytes costs no more than its bytes."""
_CRUMBS_BYTES_MAX = 4096
"""Length up to which crumbs are joined."""
_UPDATE_SHARE = 5
"""A window update is due when one part in this many of the window was freed since the last acknowledgement."""

_new = tuple.__new__
"""Makes a NamedTuple at half the price of calling its class; for what is made per packet."""


class Chunk(NamedTuple):
    """Bytes of the stream from ``offset`` on, all with the same ``tag``."""

    offset: int
    data: Payload
    tag: int


class Gap(NamedTuple):
    """``length`` bytes from ``offset`` on are lost for good, as the writer's policy had it."""

    offset: int
    length: int


class End(NamedTuple):
    """The writer closed the stream at ``offset``; everything before it was read."""

    offset: int


class Failed(NamedTuple):
    """The writer ended the stream with an error; ``offset`` is where what was read ends."""

    offset: int
    error: str


Item = Chunk | Gap | End | Failed


class Reader:
    """Receives one stream, from ``start_offset`` on, with never more than ``window_bytes`` held.  Sans-I/O.

    ``manual_ack``: acknowledge nothing by itself; the caller says with :meth:`acknowledge` what is durable, and
    the window counts from there.  Payloads handed in must not change afterwards.
    """

    __slots__ = (
        "_acknowledged",
        "_announced_edge",
        "_buffered",
        "_cancel",
        "_crumbs",
        "_end",
        "_failed",
        "_fin_sent",
        "_manual",
        "_over",
        "_ready",
        "_reorder",
        "_window",
        "ack_due",
        "duplicates",
        "next_offset",
        "out_of_order",
        "stream_id",
        "violations",
    )

    def __init__(
        self,
        stream_id: int,
        *,
        window_bytes: int = LIMITS.window_bytes,
        start_offset: int = 0,
        manual_ack: bool = False,
    ) -> None:
        if window_bytes < 1:
            raise UsageError(f"window_bytes: must be at least 1, not {window_bytes}", field="window_bytes")
        if start_offset < 0:
            raise UsageError(f"start_offset: must not be negative, not {start_offset}", field="start_offset")
        self.stream_id = stream_id
        self.next_offset = start_offset
        """All below this offset has arrived."""
        self.duplicates = 0
        """Packets that brought nothing new."""
        self.out_of_order = 0
        """Packets that arrived before one they follow."""
        self.violations = 0
        """Packets dropped because the peer broke the contract: beyond the window, or beyond the end."""
        self._window = window_bytes
        self._manual = manual_ack
        self._acknowledged = start_offset
        self._buffered = 0
        self._ready: deque[Chunk | Gap] = deque()
        self._reorder = Reorder()
        self._crumbs = bytearray()
        self._end: int | None = None
        self._failed: str | None = None
        self._over = False
        self._cancel: str | None = None
        self.ack_due = False
        """Whether :meth:`next_ack` has something."""
        self._fin_sent = False
        self._announced_edge = start_offset + window_bytes

    # from the writer

    def receive_data(self, packet: Data, now: float) -> None:
        """Take one packet, in whatever order it comes."""
        _, seq, payload, kind, tag, skip = packet
        if kind == BYTES and seq == self.next_offset and self._in_order(seq, payload, tag):
            return
        self.ack_due = True
        if self._over or self._failed is not None:
            return
        if kind == BYTES:
            self._receive_piece(seq, seq + len(payload), payload, tag)
        elif kind == GAP:
            self._receive_piece(seq, seq + skip, None, 0)
        elif kind == EOF:
            self._receive_end(seq)
        elif kind == ERROR:
            self._failed = bytes(payload).decode(errors="replace") or "failed"
            self._reorder.clear()
        else:
            self.violations += 1

    # to the application

    def read(self, max_bytes: int = LIMITS.packet_bytes_max) -> Item | None:
        """The next item, its data at most ``max_bytes`` long; None if there is nothing now.  Never blocks.

        Packets that follow one another with the same tag are joined up to ``max_bytes``.
        :class:`End` or :class:`Failed` comes once, last.
        """
        ready = self._ready
        if not ready:
            return self._read_end()
        item = ready.popleft()
        if type(item) is Chunk:
            size = len(item.data)
            if size > max_bytes:
                ready.appendleft(Chunk(item.offset + max_bytes, item.data[max_bytes:], item.tag))
                item = Chunk(item.offset, item.data[:max_bytes], item.tag)
                size = max_bytes
            elif ready and size < max_bytes:
                item = self._joined(item, max_bytes)
                size = len(item.data)
            self._freed(size)
        return item

    def start(self) -> None:
        """Have the next acknowledgement announce the window: the first one opens a corked sender."""
        self.ack_due = True

    def resume(self, stream_id: int) -> int:
        """The link was cut and there is a new one: go on as ``stream_id``; the offset to ask the sender to start from.

        What arrived in order stays readable; what did not is asked for again.  Offer :attr:`window` to the sender.
        Raises UsageError with ``manual_ack``: then only what is durable counts, so make a new Reader from there.
        """
        if self._manual:
            raise UsageError("resume: a manual reader begins anew from what is durable", field="manual_ack")
        self.stream_id = stream_id
        self._reorder.clear()
        self._fin_sent = False
        self.ack_due = True
        return self.next_offset

    def acknowledge(self, offset: int) -> None:
        """All below ``offset`` is safe with the reader (manual mode).

        Lower than before is no news.  Raises UsageError beyond what was read, and without ``manual_ack``.
        Once End was read and all is acknowledged, so is the end.
        """
        if not self._manual:
            raise UsageError("acknowledge needs manual_ack=True", field="manual_ack")
        if offset > self.read_offset:
            raise UsageError(f"offset: {offset} was not read yet ({self.read_offset} was)", field="offset")
        if offset > self._acknowledged:
            self._acknowledged = offset
            self.ack_due = True

    def close(self, error: str = "") -> None:
        """Read no more.  Before the end was reached this asks the writer to stop, giving ``error`` as reason."""
        ended = self._fin_due()
        self._over = True
        if not ended and self._cancel is None:
            self._cancel = error
            self.ack_due = True
        self._ready.clear()
        self._reorder.clear()
        self._buffered = 0

    # to the writer

    def next_ack(self) -> Ack | None:
        """The acknowledgement that is due, with the latest state only; None if none is."""
        if not self.ack_due:
            return None
        self.ack_due = False
        if self._cancel is not None:
            return self.last_ack()
        seq, window = self._seq_and_window()
        self._announced_edge = seq + window
        if self._end is None and self._failed is None:
            return Ack(self.stream_id, seq, window)
        self._fin_sent = self._fin_due()
        return Ack(self.stream_id, seq, window, self._fin_sent)

    def last_ack(self) -> Ack:
        """The last word of a :attr:`settled` reader, for a writer that missed it and sends on."""
        if self._cancel is not None:
            return Ack(self.stream_id, self.next_offset, 0, cancel=True, error=self._cancel)
        return Ack(self.stream_id, *self._seq_and_window(), fin=True)

    # what can be seen

    @property
    def readable(self) -> bool:
        """Whether :meth:`read` has something."""
        return bool(self._ready) or (not self._over and self._settled_end())

    @property
    def finished(self) -> bool:
        """Whether the end was read, or the reader closed."""
        return self._over

    @property
    def settled(self) -> bool:
        """Whether nothing is owed to the writer any more: the end is acknowledged, or cancel was sent."""
        return self._over and not self.ack_due and (self._fin_sent or self._cancel is not None)

    @property
    def read_offset(self) -> int:
        """All below this offset was read."""
        return self._ready[0].offset if self._ready else self.next_offset

    @property
    def buffered(self) -> int:
        """Bytes in order and not read yet."""
        return self._buffered

    @property
    def window_bytes(self) -> int:
        """Bytes held at most."""
        return self._window

    @property
    def window(self) -> int:
        """Bytes there is room for now, counted from what is acknowledged."""
        return self._window if self._manual else self._window - self._buffered

    @property
    def edge(self) -> int:
        """Offset from which on there is no room."""
        if self._manual:
            return self._acknowledged + self._window
        return self.next_offset + self._window - self._buffered

    # inside

    def _seq_and_window(self) -> tuple[int, int]:
        if self._manual:
            return self._acknowledged, self._window
        return self.next_offset, self._window - self._buffered

    def _in_order(self, offset: int, payload: Payload, tag: int) -> bool:
        """Take the packet everybody hopes for; False if it is anything else."""
        size = len(payload)
        if not size or self._reorder or self._end is not None or self._over or self._failed is not None:
            return False
        if self._manual:
            if offset + size > self._acknowledged + self._window:
                return False
        elif size > self._window - self._buffered:
            return False
        else:
            self.ack_due = True
        self._deliver(offset, payload, size, tag)
        return True

    def _receive_piece(self, offset: int, end: int, payload: Payload | None, tag: int) -> None:
        due = self.next_offset
        if end <= due:
            self.duplicates += end > offset
            return
        over = offset > self.edge if payload is None else end > self.edge
        if over or (self._end is not None and end > self._end):
            self.violations += 1
            return
        if offset < due:
            payload = None if payload is None else payload[due - offset :]
            offset = due
        if not self._reorder.hold(offset, end, payload, tag):
            self.duplicates += 1
            return
        if offset > due:
            self.out_of_order += 1
            return
        for piece in self._reorder.take(due):
            if piece.payload is None:
                self._ready.append(Gap(piece.offset, piece.end - piece.offset))
                self.next_offset = piece.end
            else:
                self._deliver(piece.offset, piece.payload, piece.end - piece.offset, piece.tag)

    def _receive_end(self, offset: int) -> None:
        if self._end is None and offset >= self.next_offset:
            self._end = offset
        elif self._end != offset:
            self.violations += 1

    def _deliver(self, offset: int, payload: Payload, size: int, tag: int) -> None:
        self.next_offset = offset + size
        self._buffered += size
        ready = self._ready
        if size < _CRUMB_BYTES and ready:
            last = ready[-1]
            if type(last) is Chunk and last.tag == tag and len(last.data) <= _CRUMBS_BYTES_MAX:
                if last.data is not self._crumbs:
                    self._crumbs = bytearray(last.data)
                    ready[-1] = Chunk(last.offset, self._crumbs, tag)
                self._crumbs += payload
                return
        ready.append(_new(Chunk, (offset, payload, tag)))

    def _joined(self, first: Chunk, max_bytes: int) -> Chunk:
        """``first`` and those behind it that can be read as one."""
        ready, tag, room = self._ready, first.tag, max_bytes - len(first.data)
        parts = [first.data]
        while ready:
            following = ready[0]
            if type(following) is not Chunk or following.tag != tag or len(following.data) > room:
                break
            ready.popleft()
            parts.append(following.data)
            room -= len(following.data)
        return first if len(parts) == 1 else Chunk(first.offset, b"".join(parts), tag)

    def _freed(self, size: int) -> None:
        self._buffered -= size
        if self._manual or self._fin_sent:
            return
        freed = self.next_offset + self._window - self._buffered - self._announced_edge
        if freed * _UPDATE_SHARE >= self._window or (not self._ready and freed > 0):
            self.ack_due = True

    def _settled_end(self) -> bool:
        """Whether nothing will arrive any more."""
        return self._failed is not None or (self._end is not None and self.next_offset >= self._end)

    def _fin_due(self) -> bool:
        if not self._settled_end() or self._cancel is not None:
            return False
        return not self._manual or (self._over and self._acknowledged >= self.next_offset)

    def _read_end(self) -> Item | None:
        if self._over or not self._settled_end():
            return None
        self._over = True
        self.ack_due = self.ack_due or (self._fin_due() and not self._fin_sent)
        if self._failed is not None:
            return Failed(self.next_offset, self._failed)
        return End(self.next_offset)
