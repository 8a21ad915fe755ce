"""One channel of a participant: its state, what becomes ready, and what is given up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush

from ..events import MessageReady, MessagesIrretrievable, RetrievalHintWanted
from ..model import HistoryEntry, Message
from .journal import Journal
from .parts.history import History, Record
from .parts.incoming import Incoming, Waiting
from .parts.outgoing import Outgoing
from .parts.pace import SyncPace
from .parts.peers import Peers
from .parts.repair import Repair
from .parts.rolling_bloom import RollingBloom
from .shared import Shared

_new = tuple.__new__  # a NamedTuple's own constructor costs three times as much


class Channel:
    """All state of one channel.

    ``sending``, ``receiving`` and ``sweeping`` change it; :class:`~holdfast.sync.peer.SyncPeer` says what they promise.
    """

    __slots__ = (
        "absent",
        "bloom",
        "ephemerals",
        "history",
        "incoming",
        "journal",
        "lamport",
        "lost",
        "name",
        "name_bytes",
        "outgoing",
        "pace",
        "peers",
        "prompt_at",
        "registered",
        "repair",
        "sequence",
        "shared",
        "since_bloom",
        "since_sent",
        "wide",
    )

    def __init__(self, name: str, shared: Shared, now: float) -> None:
        profile = shared.profile
        self.name = name
        self.name_bytes = name.encode()
        self.shared = shared
        self.lamport = 0
        self.sequence = 0
        """Messages of ours since the channel was loaded."""
        self.history = History(
            shared.wire,
            profile.history_max,
            max(profile.causal_entries, profile.sync_entries),
            bytes_limit=profile.history_bytes_max,
            track_heads=profile.causal_heads > 0,
        )
        self.bloom = RollingBloom(
            shared.wire.dialect, profile.bloom_capacity, profile.bloom_error_rate, adaptive=profile.bloom_adaptive
        )
        self.outgoing = Outgoing(profile)
        self.incoming = Incoming(profile.lost_s)
        self.repair = Repair(shared.participant, profile)
        self.peers = Peers(shared.limits.group_peers_max)
        self.pace = SyncPace(profile, f"{shared.participant}\0{name}", now)
        self.journal = Journal(self)
        self.absent: dict[str, bool] = {}
        """Messages nothing waits for although we do not have them: whether they were given up, or are had otherwise."""
        self.lost = 0
        self.ephemerals = 0
        self.since_bloom = 0
        self.since_sent = 0
        """Messages received since we last sent anything that acknowledges them."""
        self.wide = -1
        """Where the next wide sync message starts in the history, from its newest; -1: nobody misses anything."""
        self.prompt_at = now
        """Before this, requests that are due wait for each other."""
        self.registered: float | None = None

    def give_up_requests(self, message_ids: list[str]) -> None:
        """The window of these is over; those that nothing depends on are not waited for any more either."""
        self.shared.events.append(MessagesIrretrievable(self.name, tuple(message_ids)))
        for message_id in message_ids:
            missing = self.incoming.missing.get(message_id)
            if missing is not None and not missing.waiting:
                self.give_up(message_id, lost=True)

    def record_of(self, message_id: str) -> Record | None:
        """What can be sent again: of the history, or gone from there while nobody has acknowledged it."""
        record = self.history.records.get(message_id)
        if record is None and message_id in self.outgoing.items:
            return self.outgoing.items[message_id].record
        return record

    # delivering

    def cascade(self, message_id: str, *, lost: bool = False) -> None:
        """``message_id`` is here or given up: deliver all that waited only for it, and so on, in causal order."""
        incoming = self.incoming
        ready = [_ordered(waiting) for waiting in incoming.meet(message_id, lost=lost)]
        heapify(ready)
        while ready:
            _, name, waiting = heappop(ready)
            self.deliver(waiting.message, waiting.kept, waiting.lost)
            for freed in incoming.meet(name):
                heappush(ready, _ordered(freed))

    def deliver(self, message: Message, kept: bytes, lost: tuple[str, ...]) -> None:
        """Put a message into the history, and tell it unless it was told before."""
        message_id, sender_id = message.message_id, message.sender_id
        shared = self.shared
        lamport = message.lamport
        assert lamport is not None
        reference = shared.wire.reference(HistoryEntry(message_id, b"", sender_id))
        record = Record(message_id, lamport, sender_id, kept, reference, self.bloom.hashes(message_id))
        evicted = self.history.add(record, message.causal, persistent=shared.persistent)
        self.remember(record, evicted)
        if self.absent and message_id in self.absent:
            self.lost -= self.absent.pop(message_id)
        if self.lost and not lost:
            lost = tuple([entry[0] for entry in message.causal if self.absent.get(entry[0])])
        if message_id in self.history.past:
            del self.history.past[message_id]  # it went, and is kept again because somebody lacks it: told once
        else:
            ready = (self.name, message_id, sender_id, lamport, message.content, lost)
            shared.events.append(_new(MessageReady, ready))

    def remember(self, record: Record, evicted: Sequence[Record]) -> None:
        """What follows each message that is new in the history."""
        if self.bloom.add(record.hashes):
            self.rebuild_bloom()
        for gone in evicted:
            sent = self.outgoing.items.get(gone.message_id)
            if sent is not None:
                sent.piece = b""
        if self.shared.hints:
            self.shared.events.append(RetrievalHintWanted(self.name, record.message_id))

    def rebuild_bloom(self) -> None:
        """Make the filter anew from the newest messages."""
        self.bloom.rebuild([record.hashes for record in self.history.newest(self.bloom.keeps)])

    # what the caller knows

    def mark_met(self, message_ids: Iterable[str]) -> None:
        """The caller has these: nothing waits for them."""
        for message_id in message_ids:
            if message_id in self.incoming.missing:
                self.repair.arrived(message_id)
                self.give_up(message_id, lost=False)

    def give_up(self, message_id: str, *, lost: bool) -> None:
        """Nothing waits for the message any more; what only waited for it is delivered."""
        self.lost += lost - self.absent.pop(message_id, False)
        self.absent[message_id] = lost
        if len(self.absent) > self.shared.limits.group_missing_max:
            oldest = next(iter(self.absent))
            self.lost -= self.absent.pop(oldest)
        self.journal.touch()
        self.cascade(message_id, lost=lost)

    def set_hint(self, message_id: str, hint: bytes) -> None:
        """Where a message of the history can be found."""
        if self.history.set_hint(message_id, hint):
            self.journal.keep_hint(message_id, hint)


def _ordered(waiting: Waiting) -> tuple[int, str, Waiting]:
    assert waiting.message.lamport is not None
    return waiting.message.lamport, waiting.message.message_id, waiting
