"""Messages of ours that nobody acknowledged yet."""

from __future__ import annotations

from collections import deque

from ...profiles import Profile
from ...wire.bloom import Bloom
from .deadlines import Deadlines
from .history import Record

_REVIEWED_MAX = 128
"""Messages looked up in one received filter; the others have their turn with the next ones."""


class Sent:
    """One of them."""

    __slots__ = ("attempts", "filters", "piece", "record", "sent_at")

    def __init__(self, record: Record, sent_at: float, attempts: int = 0, filters: int = 0) -> None:
        self.record = record
        self.sent_at = sent_at
        self.attempts = attempts
        """Sendings beyond the first."""
        self.filters = filters
        """Received filters that had it."""
        self.piece = b""
        """As the snapshot has it; empty: not made yet."""


class Outgoing:
    """They are in the order they were sent."""

    __slots__ = ("_ack_s", "_due", "_order", "_profile", "_review", "held_bytes", "items")

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.held_bytes = 0
        self.items: dict[str, Sent] = {}
        self._due = Deadlines()
        self._order: deque[Sent] = deque()
        self._review: deque[Sent] = deque()
        self._ack_s = 0.0

    def add(self, sent: Sent) -> None:
        """Wait for somebody to acknowledge it."""
        self.items[sent.record.message_id] = sent
        self.held_bytes += len(sent.record.data)
        self._order.append(sent)
        self._review.append(sent)
        if len(self._order) > 2 * len(self.items) + 64:
            self._order = deque(self.items.values())
        if len(self._review) > 2 * len(self.items) + 64:
            self._review = deque(self.items.values())
        self._schedule(sent)

    def _schedule(self, sent: Sent) -> None:
        profile = self._profile
        if sent.attempts > profile.resend_attempts:
            return
        wait = profile.resend_s
        if profile.adaptive and 2 * self._ack_s > wait:
            wait = 2 * self._ack_s
        wait = min(wait * 2**sent.attempts, profile.resend_max_s)
        self._due.set(sent.record.message_id, sent.sent_at + wait)

    @property
    def round_trip_s(self) -> float:
        """To others and back: what acknowledgements take, without the time in which others gather some.

        0.0 where the profile does not adapt.
        """
        return max(0.0, self._ack_s - self._profile.sync_s / 2) if self._profile.adaptive else 0.0

    # acknowledgements

    def acknowledge(self, message_id: str, now: float) -> bool:
        """Somebody has it; whether that is news."""
        sent = self.items.pop(message_id, None)
        if sent is None:
            return False
        self._due.cancel(message_id)
        self.held_bytes -= len(sent.record.data)
        if sent.attempts == 0:
            self._ack_s += (now - sent.sent_at - self._ack_s) / 8
        return True

    def acknowledge_until(self, sequence: int, now: float) -> list[str]:
        """Somebody has our message ``sequence`` and all that leads to it; the ids that is news for.

        Each costs its own removal only: they are in order.
        """
        acknowledged: list[str] = []
        order = self._order
        while order and order[0].record.sequence <= sequence:
            message_id = order.popleft().record.message_id
            if self.acknowledge(message_id, now):
                acknowledged.append(message_id)
        return acknowledged

    def review(self, bloom: Bloom) -> list[Sent]:
        """Those that a received filter has, with their count of filters raised.

        At most some of them are looked up, those first that waited longest for it.
        """
        found = []
        review, items = self._review, self.items
        for _ in range(min(len(review), _REVIEWED_MAX)):
            sent = review.popleft()
            if sent.record.message_id in items:
                review.append(sent)
                if bloom.has(sent.record.hashes):
                    sent.filters += 1
                    sent.piece = b""
                    found.append(sent)
        return found

    # time

    def next_deadline(self) -> float | None:
        """When the first is due to be sent again."""
        return self._due.first()

    def take_due(self, now: float) -> tuple[list[Sent], list[Sent]]:
        """Those to send again now, and those that are given up."""
        resend: list[Sent] = []
        given_up: list[Sent] = []
        while (message_id := self._due.take(now)) is not None:
            sent = self.items[message_id]
            sent.attempts += 1
            sent.sent_at = now
            sent.piece = b""
            if sent.attempts > self._profile.resend_attempts:
                del self.items[sent.record.message_id]
                self.held_bytes -= len(sent.record.data)
                given_up.append(sent)
            else:
                self._schedule(sent)
                resend.append(sent)
        return resend, given_up
