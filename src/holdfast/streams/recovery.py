"""What is under way on a transport that may lose it, and what of it to send again, and when."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .pace import TIMEOUT_MAX_S
from .packets import BYTES, GAP, Data

if TYPE_CHECKING:
    from .pace import Pace
    from .ring import Buffer

_DUPLICATES = 3
"""Acknowledgements without progress that hint at a loss; fewer are reordering."""
_REORDER_ALLOWANCE = 1.25
"""A packet younger than this many round trips may be late rather than lost."""


class Sent:
    """One packet under way: the offsets it covers; the terminal one covers one offset beyond the last byte."""

    __slots__ = ("end", "offset", "sent_at")

    def __init__(self, offset: int, end: int, sent_at: float) -> None:
        self.offset = offset
        self.end = end
        self.sent_at = sent_at


class Recovery:
    """Retransmission for one connection: the oldest unacknowledged packet, after a timeout or three hints.

    Acknowledgements are cumulative, so one packet is sent again at a time; while what was under way at the
    time of the loss is not all acknowledged, each partial acknowledgement sends the next one (RFC 6582).
    """

    __slots__ = ("_backoff", "_duplicates", "_pace", "_recover", "_recover_at", "deadline", "resends", "sent")

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._backoff = 1.0
        self._duplicates = 0
        self._recover = -1
        self._recover_at = 0.0
        self.sent: deque[Sent] = deque()
        self.resends: deque[Sent] = deque()
        """What to send again, oldest first."""
        self.deadline: float | None = None

    def on_sent(self, offset: int, end: int, now: float) -> None:
        """A packet covering ``offset`` to ``end`` went out."""
        self.sent.append(Sent(offset, end, now))
        if self.deadline is None:
            self._arm(now)

    def packet_again(self, stream: int, offset: int, buffer: Buffer) -> Data:
        """The first packet to send again, or what of it is left at ``offset``: bytes, or the gap that they are now."""
        lost = self.resends[0]
        head = buffer.head
        if offset < head:
            end = min(head, lost.end)
            packet = Data(stream, offset, b"", GAP, 0, end - offset)
        else:
            data, tag = buffer.peek(offset, lost.end - offset)
            end = offset + len(data)
            packet = Data(stream, offset, bytes(data), BYTES, tag)
        lost.offset = end
        if end >= lost.end:
            self.resends.popleft()
        return packet

    def on_progress(self, acknowledged: int, now: float) -> None:
        """All below ``acknowledged`` is done, which is news."""
        self._backoff = 1.0
        self._duplicates = 0
        sent = self.sent
        while sent and sent[0].end <= acknowledged:
            sent.popleft()
        while self.resends and self.resends[0].end <= acknowledged:
            self.resends.popleft()
        self._arm(now)
        if acknowledged >= self._recover:
            self._recover = -1
        elif sent and sent[0].sent_at < self._recover_at:
            self._resend_oldest(now)

    def on_repeat(self, now: float) -> None:
        """An acknowledgement without news: something arrived, but not what was due."""
        self._duplicates += 1
        if self._duplicates < _DUPLICATES or self._recover >= 0 or not self.sent or self._pace.rtt is None:
            return
        if now - self.sent[0].sent_at > self._pace.rtt * _REORDER_ALLOWANCE:
            self._lose(now)

    def on_timer(self, now: float) -> bool:
        """Whether the deadline has passed; if so the oldest packet is due again, and the next timeout is doubled."""
        if self.deadline is None or now < self.deadline:
            return False
        self._backoff = min(self._backoff * 2, TIMEOUT_MAX_S)
        self._arm(now)
        if self.sent:
            self._lose(now)
        return True

    def watch(self, now: float) -> None:
        """Nothing is under way, but the window is closed: make sure a lost update does not end it all."""
        if self.deadline is None:
            self.deadline = now + self._timeout_s()

    def _lose(self, now: float) -> None:
        if self._recover < 0:
            self._pace.lost()
        self._recover = self.sent[-1].end
        self._recover_at = now
        self._duplicates = 0
        self._resend_oldest(now)

    def _resend_oldest(self, now: float) -> None:
        oldest = self.sent[0]
        oldest.sent_at = now
        self._pace.forget()
        if not self.resends:
            self.resends.append(Sent(oldest.offset, oldest.end, now))

    def _arm(self, now: float) -> None:
        self.deadline = now + self._timeout_s() if self.sent else None

    def _timeout_s(self) -> float:
        return min(self._pace.timeout_s() * self._backoff, TIMEOUT_MAX_S)
