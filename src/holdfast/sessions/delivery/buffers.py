"""What waits for the client of a session: messages of feeds, bounded, with a policy for each pattern.  Pure."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from ..model import Message
from ..packing import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...limits import Limits
    from ..model import PatternSpec

OVERHEAD_BYTES = 120
"""What a waiting message takes besides itself."""


class Waiting(NamedTuple):
    """One message that waits."""

    order: int
    """Its place among all that wait for the session."""
    subject: str
    data: bytes

    @property
    def cost_bytes(self) -> int:
        """What it takes."""
        return len(self.data) + OVERHEAD_BYTES


class Totals:
    """What all patterns of one session have together."""

    __slots__ = ("bytes", "lost", "messages", "unreported")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.lost = 0
        """Ever."""
        self.unreported = 0
        """Of these, since they were reported last."""


class PatternBuffer:
    """What waits of one pattern."""

    def __init__(self, spec: PatternSpec, limits: Limits, totals: Totals) -> None:
        self.bytes = 0
        self._limits = limits
        self._totals = totals
        self._lost = 0
        self._lost_bytes = 0
        self._items: OrderedDict[object, Waiting] = OrderedDict()
        self.change(spec)

    def __len__(self) -> int:
        return len(self._items)

    def change(self, spec: PatternSpec) -> None:
        """Have these bounds and this policy from now on."""
        limits = self._limits
        self.spec = spec
        self._messages_max = _within(spec.buffer_messages, limits.session_buffer_messages_max)
        self._bytes_max = _within(spec.buffer_bytes, limits.session_buffer_bytes_max)
        while self.over:
            self.drop_oldest()

    @property
    def over(self) -> bool:
        """Whether more waits than may; a single message always may."""
        if len(self._items) <= 1:
            return False
        totals = self._totals
        return (
            len(self._items) > self._messages_max
            or self.bytes > self._bytes_max
            or totals.messages > self._limits.session_buffer_messages_max
            or totals.bytes > self._limits.session_buffer_bytes_max
        )

    def add(self, item: Waiting) -> None:
        """Have ``item`` wait; with ``conflate`` instead of the one of its subject that did."""
        key: object = item.order
        if self.spec.policy == "conflate":
            key = item.subject
            before = self._items.pop(key, None)
            if before is not None:
                self._lose(before)
        self._items[key] = item
        self._count(1, item.cost_bytes)

    def drop_oldest(self) -> None:
        """The oldest goes, counted."""
        self._lose(self._items.popitem(last=False)[1])

    def clear(self) -> None:
        """All that waits goes, counted."""
        while self._items:
            self.drop_oldest()

    def _lose(self, item: Waiting) -> None:
        self._count(-1, -item.cost_bytes)
        self._lost += 1
        self._lost_bytes += len(item.data)
        self._totals.lost += 1
        self._totals.unreported += 1

    def _count(self, messages: int, size: int) -> None:
        self.bytes += size
        self._totals.messages += messages
        self._totals.bytes += size

    @property
    def first_order(self) -> int:
        """The place of the oldest that waits."""
        return next(iter(self._items.values())).order

    def take_first(self) -> Waiting:
        """The oldest, which waits no more."""
        item = self._items.popitem(last=False)[1]
        self._count(-1, -item.cost_bytes)
        return item

    def take_report(self, now: float) -> bytes:
        """What was lost since the last report, as a packed one; empty: nothing."""
        if not self._lost:
            return b""
        detail = {"count": self._lost, "bytes": self._lost_bytes, "policy": self.spec.policy}
        self._totals.unreported -= self._lost
        self._lost = self._lost_bytes = 0
        return pack(Message(self.spec.pattern, time=now, kind="lost", detail=detail))


class FeedBuffer:
    """All that waits for one session."""

    def __init__(self, limits: Limits) -> None:
        self.totals = Totals()
        self._limits = limits
        self._patterns: dict[str, PatternBuffer] = {}
        self._order = 0

    @property
    def waiting(self) -> bool:
        """Whether there is anything to give, a report included."""
        return self.totals.messages > 0 or self.totals.unreported > 0

    def change(self, spec: PatternSpec) -> None:
        """The bounds or the policy of a pattern are others from now on."""
        known = self._patterns.get(spec.pattern)
        if known is not None:
            known.change(spec)

    def forget(self, pattern: str) -> None:
        """The pattern is gone, and what waited of it, too; what was lost of it is not reported any more."""
        known = self._patterns.pop(pattern, None)
        if known is not None:
            known.clear()
            known.take_report(0.0)

    def add(self, spec: PatternSpec, batch: Sequence[tuple[str, bytes]], *, attached: bool) -> bool:
        """Have packed messages, each with its subject, wait; False: the client is to be let go, as the policy has it.

        Then nothing of the pattern waits any more.
        """
        known = self._patterns.get(spec.pattern)
        if known is None:
            known = self._patterns[spec.pattern] = PatternBuffer(spec, self._limits, self.totals)
        for subject, data in batch:
            self._order += 1
            known.add(Waiting(self._order, subject, data))
            while known.over:
                if attached and spec.policy == "disconnect":
                    known.clear()
                    return False
                known.drop_oldest()
        return True

    def take(self, room: int, now: float) -> list[bytes]:
        """The oldest that wait, in the order they came, until ``room`` bytes are full or one is over.

        What was lost of a pattern is reported before what is left of it.
        """
        parts: list[bytes] = []
        for known in self._patterns.values() if self.totals.unreported else ():
            report = known.take_report(now) if room > 0 else b""
            if report:
                parts.append(report)
                room -= len(report)
        heads = [(known.first_order, pattern) for pattern, known in self._patterns.items() if len(known)]
        heapify(heads)
        while heads and room > 0:
            known = self._patterns[heappop(heads)[1]]
            while room > 0 and len(known) and (not heads or known.first_order < heads[0][0]):
                data = known.take_first().data
                parts.append(data)
                room -= len(data)
            if len(known):
                heappush(heads, (known.first_order, known.spec.pattern))
        return parts


def _within(wanted: int, limit: int) -> int:
    return min(wanted, limit) if wanted else limit
