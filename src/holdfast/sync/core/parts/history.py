"""What a participant has of a channel: bounded, oldest first, with what of it is not stored yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter

from ...model import HistoryEntry
from ...persistence.base import HistoryUpdate, StoredMessage
from ...wire import Wire
from ...wire.bloom import Hashes

_PAST_SHARE = 8
"""For each message kept, so many that went are known by their id: a hundred bytes each."""


class Record:
    """One message of the history."""

    __slots__ = (
        "data",
        "hashes",
        "hint",
        "lamport",
        "message_id",
        "place",
        "reference",
        "sender_id",
        "sequence",
        "stored",
    )

    def __init__(
        self,
        message_id: str,
        lamport: int,
        sender_id: str,
        data: bytes,
        reference: bytes,
        hashes: Hashes,
        sequence: int = 0,
    ) -> None:
        self.message_id = message_id
        self.lamport = lamport
        self.sender_id = sender_id
        self.data = data
        """As rebroadcast."""
        self.reference = reference
        """As others' causal history holds it."""
        self.hashes = hashes
        """As filters have it."""
        self.sequence = sequence
        """Orders our messages: 1 is the oldest that was in the history when the channel was loaded, those below 0 had
        gone from it and wait for acknowledgement; 0: not ours."""
        self.place = 0
        """Where it is in the order of delivery."""
        self.hint = b""
        self.stored = False
        """Whether storage is known to have it."""


class History:
    """Messages in the order they were delivered.

    ``heads`` are those that no other refers to: whoever has them and all they lead to has everything.  ``pending`` is
    what storage has to be told: per id whether to append (or to evict); the latest wins.
    """

    __slots__ = (
        "_bytes",
        "_bytes_limit",
        "_limit",
        "_order",
        "_past_order",
        "_place",
        "_recent",
        "_track_heads",
        "_wire",
        "heads",
        "last_own",
        "own",
        "past",
        "pending",
        "records",
    )

    def __init__(
        self, wire: Wire, limit: int, recent: int, *, bytes_limit: int = 2**62, track_heads: bool = True
    ) -> None:
        self._wire = wire
        self._track_heads = track_heads
        self._limit = limit
        self._place = 0
        self._bytes = 0
        self._bytes_limit = bytes_limit
        self._order: deque[Record] = deque()
        self._recent: deque[Record] = deque(maxlen=max(1, min(recent, limit)))
        self.records: dict[str, Record] = {}
        self.past: dict[str, None] = {}
        """Ids of messages that were here, so that one coming again much later is known; not stored."""
        self._past_order: deque[str] = deque()
        self.heads: dict[str, Record] = {}
        self.pending: dict[str, bool] = {}
        self.last_own: Record | None = None
        self.own: dict[str, Record] = {}
        """Of the records, ours: those with a sequence."""

    def __len__(self) -> int:
        return len(self.records)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self.records

    def __iter__(self) -> Iterator[Record]:
        """Oldest first."""
        return iter(self._order)

    def newest(self, count: int) -> Iterator[Record]:
        """The ``count`` newest, newest first."""
        return islice(reversed(self._order), count)

    # changes

    def add(self, record: Record, refers_to: Sequence[HistoryEntry], *, persistent: bool) -> Sequence[Record]:
        """Append a message that is not there; those that had to go for it."""
        message_id = record.message_id
        if self._track_heads:
            heads = self.heads
            for entry in reversed(refers_to):  # the newest come last, and are most likely heads
                if not heads:
                    break
                heads.pop(entry[0], None)
        return self._append(message_id, record, persistent)

    def add_own(
        self, record: Record, *, all_heads: bool, referred: Iterable[Record], persistent: bool
    ) -> Sequence[Record]:
        """Append a message of ours, which refers to ``referred``: all heads or not; those that had to go for it."""
        if all_heads:
            self.heads.clear()
        elif self._track_heads:
            for other in referred:
                self.heads.pop(other.message_id, None)
        self.number_own(record)
        return self._append(record.message_id, record, persistent)

    def number_own(self, record: Record) -> None:
        """The record, which is there or comes now, is ours, and the newest of them; its sequence says where it is."""
        self.own[record.message_id] = record
        self.last_own = record

    def _append(self, message_id: str, record: Record, persistent: bool) -> Sequence[Record]:
        if self._track_heads:
            self.heads[message_id] = record
        self.records[message_id] = record
        self._place = record.place = self._place + 1
        self._order.append(record)
        self._recent.append(record)
        self._bytes += len(record.data)
        if persistent:
            self.pending.pop(message_id, None)
            self.pending[message_id] = True
        if len(self._order) <= self._limit and self._bytes <= self._bytes_limit:
            return ()
        evicted = []
        while len(self._order) > self._limit or (self._bytes > self._bytes_limit and len(self._order) > 1):
            evicted.append(self._evict(persistent))
        return evicted

    def _evict(self, persistent: bool) -> Record:
        oldest = self._order.popleft()
        message_id = oldest.message_id
        self._bytes -= len(oldest.data)
        if self._recent[0] is oldest:
            self._recent.popleft()
        del self.records[message_id]
        self.own.pop(message_id, None)
        self._remember_past(message_id)
        self.heads.pop(message_id, None)
        oldest.stored = False
        if persistent:
            self.pending.pop(message_id, None)
            self.pending[message_id] = False
            if len(self.pending) > 2 * self._limit:
                self._forget_eviction()
        return oldest

    def _remember_past(self, message_id: str) -> None:
        self.past[message_id] = None
        self._past_order.append(message_id)
        if len(self._past_order) > _PAST_SHARE * self._limit:
            # Not the dictionary's first key: finding that costs what was deleted before it.
            self.past.pop(self._past_order.popleft(), None)

    def _forget_eviction(self) -> None:
        """During an outage evictions would pile up; one that is never stored is made up for by the next load."""
        oldest = next((key for key, append in self.pending.items() if not append), None)
        if oldest is not None:
            del self.pending[oldest]

    def set_hint(self, message_id: str, hint: bytes) -> bool:
        """Whether that is another hint than before, for a message that is here."""
        record = self.records.get(message_id)
        if record is None or record.hint == hint:
            return False
        record.hint = hint
        record.reference = self._wire.reference(HistoryEntry(message_id, hint, record.sender_id))
        return True

    # what a message of ours refers to

    def references(self, entries: int, heads_max: int) -> tuple[list[Record], bool]:
        """What the next message refers to, in the order of delivery, and whether all heads are among it.

        All heads, at most ``heads_max`` and our last message among them; and the newest ones up to ``entries``.
        ``heads_max`` 0: the newest only.
        """
        recent, heads = self._recent, self.heads
        start = max(0, len(recent) - entries)
        newest = list(islice(recent, start, None)) if start else list(recent)
        oldest_head = next(iter(heads.values()), None)
        if not heads_max or oldest_head is None or (newest and oldest_head.place >= newest[0].place):
            return newest, bool(heads_max)
        return self._heads_and_newest(newest, entries, heads_max), len(heads) <= heads_max

    def _heads_and_newest(self, newest: list[Record], entries: int, heads_max: int) -> list[Record]:
        """Heads that are older than the newest take the place of the oldest of these."""
        heads, own = self.heads, self.last_own
        if len(heads) <= heads_max:
            chosen = list(heads.values())
        else:
            chosen = [own] if own is not None and own.message_id in heads else []
            chosen += [head for head in islice(heads.values(), heads_max) if head is not own]
        for record in reversed(newest):
            if len(chosen) >= entries:
                break
            if record.message_id not in heads:
                chosen.append(record)
        chosen.sort(key=attrgetter("place"))
        return chosen

    def window(self, offset: int, count: int) -> list[Record]:
        """``count`` messages before the newest ``offset``, oldest first.  Costs the distance from the newest."""
        found = list(islice(reversed(self._order), offset, offset + count))
        found.reverse()
        return found

    # storage

    def update(self) -> HistoryUpdate | None:
        """What storage has to be told now; it counts as told until :meth:`retry`."""
        if not self.pending:
            return None
        records = self.records
        append = tuple([_stored(records[message_id]) for message_id, appended in self.pending.items() if appended])
        evict = tuple([message_id for message_id, appended in self.pending.items() if not appended])
        self.pending = {}
        return HistoryUpdate(append, evict)

    def confirm(self, update: HistoryUpdate) -> list[str]:
        """Storage has taken ``update``; the ids it is now known to have."""
        confirmed = []
        for stored in update.append:
            record = self.records.get(stored.message_id)
            if record is not None and stored.message_id not in self.pending:
                record.stored = True
                confirmed.append(stored.message_id)
        return confirmed

    def retry(self, update: HistoryUpdate) -> None:
        """Storage has not taken ``update``: what is still so is to be told again, before what came since."""
        since = self.pending
        merged = {stored.message_id: True for stored in update.append if stored.message_id in self.records}
        merged |= {message_id: False for message_id in update.evict if message_id not in self.records}
        for message_id in since:
            merged.pop(message_id, None)
        self.pending = merged | since


def _stored(record: Record) -> StoredMessage:
    return StoredMessage(record.message_id, record.data, record.hint)
