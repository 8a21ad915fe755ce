"""One channel of a participant: what is sent, what is received, and what that makes of the buffers."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from itertools import islice
from operator import itemgetter

from ..errors import LimitExceeded, ProtocolError, UsageError
from ..limits import LIMITS
from .bloom import RollingBloom
from .events import (
    DependenciesMissing,
    EphemeralReceived,
    MessageAcknowledged,
    MessagePossiblyAcknowledged,
    MessageReady,
    MessagesIrretrievable,
    RetrievalHintWanted,
)
from .history import History, Record
from .incoming import Incoming, Waiting
from .journal import Journal
from .model import HistoryEntry, Message, Unwrapped
from .outgoing import Outgoing, Sent
from .pace import SyncPace
from .peers import Peers
from .repair import Repair
from .shared import Shared

_ID_OF = itemgetter(0)
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ID_BYTES = 15
"""Of a message id: 120 bits of a hash, 20 characters."""


class Channel:
    """All state of one channel.  :class:`~holdfast.sync.peer.SyncPeer` says what its operations promise."""

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
        self.peers = Peers()
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

    # sending

    def wrap(self, content: bytes, now: float, message_id: str | None) -> bytes:
        shared, history, outgoing = self.shared, self.history, self.outgoing
        wire, profile = shared.wire, shared.profile
        if message_id is not None and message_id in outgoing.items:
            return outgoing.items[message_id].record.data
        if len(outgoing.items) >= LIMITS.group_outgoing_max:
            raise LimitExceeded(name="group_outgoing_max", limit=LIMITS.group_outgoing_max, value=len(outgoing.items))
        if outgoing.held_bytes + len(content) > LIMITS.group_outgoing_bytes_max:
            held, limit = outgoing.held_bytes + len(content), LIMITS.group_outgoing_bytes_max
            raise LimitExceeded(name="group_outgoing_bytes_max", limit=limit, value=held)
        if message_id is not None and (message_id in history.records or message_id in self.incoming.waiting):
            raise UsageError(f"message_id: {message_id!r} is that of another message", field="message_id")
        self.lamport = lamport = self._next_lamport(now)
        if message_id is None:
            message_id = self._make_id(lamport, content)
        referred, all_heads = history.references(profile.causal_entries, profile.causal_heads)
        head, middle, tail = wire.frame(
            message_id.encode(),
            self.name_bytes,
            shared.participant_bytes,
            lamport,
            b"".join([record.reference for record in referred]),
            content,
        )
        kept = head + middle + tail
        requests = b""
        if self.repair.requests:
            requests = wire.repair_fields(self._take_requests(now, profile.repair_requests))
        bloom = self._due_filter()
        data = b"".join((head, bloom, middle, requests, tail)) if bloom or requests else kept
        reference = wire.reference(HistoryEntry(message_id, b"", shared.participant))
        self.sequence += 1
        hashes = self.bloom.hashes(message_id)
        record = Record(message_id, lamport, shared.participant, kept, reference, hashes, self.sequence)
        evicted = history.add_own(record, all_heads=all_heads, referred=referred, persistent=shared.persistent)
        self._remember(record, evicted)
        outgoing.add(Sent(record, now))
        self.since_sent = 0
        self.pace.happened(now)
        self.journal.touch()
        if message_id in self.incoming.missing:
            # Ours, from a life we do not remember: whatever waits for it has it now.
            self.repair.arrived(message_id)
            self.cascade(message_id)
        return data

    def wrap_ephemeral(self, content: bytes, message_id: str | None) -> bytes:
        shared = self.shared
        if shared.wire.dialect == "nim":
            raise UsageError("dialect: nim knows no ephemeral messages", field="dialect")
        if message_id is None:
            self.ephemerals += 1
            message_id = self._make_id(self.lamport, b"%d\0%b" % (self.ephemerals, content))
        return b"".join(
            shared.wire.frame(message_id.encode(), self.name_bytes, shared.participant_bytes, None, b"", content)
        )

    def wrap_sync(self, now: float, *, slim: bool = False) -> tuple[str, bytes]:
        """A sync message's id and bytes; a slim one carries requests, and hardly anything of what we have."""
        shared, history = self.shared, self.history
        wire, profile = shared.wire, shared.profile
        self.lamport = lamport = self._next_lamport(now)
        message_id = "sync-" + self._make_id(lamport, b"")
        entries = profile.causal_entries if slim else profile.sync_entries
        referred, _ = history.references(entries, profile.causal_heads)
        if self.wide >= 0 and not slim:
            known = {record.message_id for record in referred}
            more = history.window(self.wide, profile.sync_entries_wide)
            referred = [record for record in more if record.message_id not in known] + referred
            self.wide = self.wide + len(more) if len(more) == profile.sync_entries_wide else 0
        causal = b"".join([record.reference for record in referred])
        head, middle, tail = wire.frame(
            message_id.encode(), self.name_bytes, shared.participant_bytes, lamport, causal, b""
        )
        bloom = b"" if slim and profile.bloom_every > 1 else wire.bloom_field(self.bloom.wire())
        requests = wire.repair_fields(self._take_requests(now, profile.repair_requests_sync))
        if not slim:
            self.since_sent = 0
        return message_id, b"".join((head, bloom, middle, requests, tail))

    def _next_lamport(self, now: float) -> int:
        ticks = self.shared.ticks(now)
        if self.shared.wire.dialect == "nim":
            return max(ticks, self.lamport) + 1
        return max(ticks, self.lamport + 1)

    def _make_id(self, lamport: int, content: bytes) -> str:
        digest = blake2b(
            b"%b\0%b\0%d\0" % (self.shared.participant_bytes, self.name_bytes, lamport), digest_size=_ID_BYTES
        )
        digest.update(content)
        return b2a_base64(digest.digest(), newline=False).translate(_URL_SAFE).decode()

    def _due_filter(self) -> bytes:
        """The filter as a field, if it is its turn; a large one comes more rarely, so that it costs no more."""
        profile = self.shared.profile
        every = profile.bloom_every
        if every > 1:
            self.since_bloom += 1
            if profile.bloom_adaptive:
                every = max(every, self.bloom.byte_size // 32)
            if self.since_bloom < every:
                return b""
            self.since_bloom = 0
        return self.shared.wire.bloom_field(self.bloom.wire())

    def _take_requests(self, now: float, count: int) -> list[HistoryEntry]:
        taken, over = self.repair.take_requests(now, count)
        if over:
            self._give_up_requests(over)
        if taken or over:
            self.journal.touch()
        return taken

    def _give_up_requests(self, message_ids: list[str]) -> None:
        """The window of these is over; those that nothing depends on are not waited for any more either."""
        self.shared.events.append(MessagesIrretrievable(self.name, tuple(message_ids)))
        for message_id in message_ids:
            missing = self.incoming.missing.get(message_id)
            if missing is not None and not missing.waiting:
                self.give_up(message_id, lost=True)

    # receiving

    def receive(self, message: Message, kept: bytes, now: float) -> Unwrapped:
        message_id, sender_id, lamport = message.message_id, message.sender_id, message.lamport
        own = sender_id != "" and sender_id == self.shared.participant
        if lamport is None:
            return self._receive_ephemeral(message, own=own)
        content = message.content
        if content:
            if (
                message_id in self.history.records
                or message_id in self.incoming.waiting
                or message_id in self.outgoing.items
            ):
                return self._receive_again(message, now)
        elif own:
            return Unwrapped(b"", (), self.name, message_id, sender_id, "sync", duplicate=True)
        missing, ours = self._inspect(message)
        self._check(lamport, missing, now, waits=len(kept) if content else 0)
        # From here on nothing fails.
        self._take_clock(lamport)
        self._take_word(message, ours, now, own=own)
        if missing:
            self._expect(message, kept, missing, now)
        elif content:
            self._deliver(message, kept, ())
            if message_id in self.incoming.missing:
                self.cascade(message_id)
                self._freed(now)
        if content:
            self.pace.happened(now)
            self._count(now)
        else:
            self._compare(message, missing, now)
        return Unwrapped(content, missing, self.name, message_id, sender_id, "content" if content else "sync")

    def _take_clock(self, lamport: int) -> None:
        if lamport > self.lamport:  # noqa: PLR1730 - a call per message saved
            self.lamport = lamport
        if self.shared.wire.dialect == "nim":
            self.lamport += 1
        self.journal.touch()

    def _take_word(self, message: Message, ours: list[Record], now: float, *, own: bool) -> None:
        """What a new message says about others: whether it is there, what is acknowledged, what is asked for."""
        if self.repair.requests or self.repair.responses:
            self.repair.arrived(message.message_id)
        if not own:
            self._review(message, ours, now)
            if message.repairs:
                self._take_repairs(message.repairs, now)

    def _count(self, now: float) -> None:
        """Enough messages came that whoever sent them waits to hear of it."""
        self.since_sent += 1
        sync_messages = self.shared.profile.sync_messages
        if sync_messages and self.since_sent >= sync_messages:
            self.since_sent = 0
            self.pace.hurry(now)

    def _freed(self, now: float) -> None:
        """Messages that had waited are delivered: whoever sent them has not heard of it for that long."""
        profile = self.shared.profile
        if profile.sync_messages:
            self.pace.hurry(now + profile.repair_max_s)

    def _receive_ephemeral(self, message: Message, *, own: bool) -> Unwrapped:
        if not own:
            self.shared.events.append(
                EphemeralReceived(self.name, message.message_id, message.sender_id, message.content)
            )
        return Unwrapped(
            message.content, (), self.name, message.message_id, message.sender_id, "ephemeral", duplicate=own
        )

    def _receive_again(self, message: Message, now: float) -> Unwrapped:
        message_id = message.message_id
        # Whoever repeats a message may not know that we have it.
        self.pace.happened(now)
        self.shared.touched[self.name] = self
        if self.repair.arrived(message_id):
            self.journal.touch()
        waiting = self.incoming.waiting.get(message_id)
        missing: tuple[HistoryEntry, ...] = ()
        if waiting is not None:
            missing = tuple([entry for entry in message.causal if entry.message_id in waiting.missing])
        return Unwrapped(message.content, missing, self.name, message_id, message.sender_id, "content", duplicate=True)

    def _inspect(self, message: Message) -> tuple[tuple[HistoryEntry, ...], list[Record]]:
        """What it refers to: messages we do not have, and messages of ours that we do have."""
        causal = message.causal
        found = list(map(self.history.records.get, map(_ID_OF, causal)))
        missing: dict[str, HistoryEntry] = {}
        if None in found:
            absent, sent, past = self.absent, self.outgoing.items, self.history.past
            for index, record in enumerate(found):
                if record is None:
                    entry = causal[index]
                    name = entry.message_id
                    if name in sent:
                        found[index] = sent[name].record
                    elif name not in past and name not in absent and name != message.message_id:
                        missing[name] = entry
        ours = [record for record in found if record is not None and record.sequence]
        return tuple(missing.values()), ours

    def _check(self, lamport: int, missing: tuple[HistoryEntry, ...], now: float, *, waits: int) -> None:
        ahead = LIMITS.group_clock_ahead_max
        if lamport - ahead > self.shared.ticks(now):
            raise ProtocolError(f"lamport_timestamp {lamport}: over {ahead} ticks in the future", "clock", 0)
        if not missing:
            return
        incoming = self.incoming
        if waits and len(incoming.waiting) >= LIMITS.group_incoming_max:
            raise LimitExceeded(
                name="group_incoming_max", limit=LIMITS.group_incoming_max, value=len(incoming.waiting) + 1
            )
        if waits and incoming.held_bytes + waits > LIMITS.group_incoming_bytes_max:
            held, limit = incoming.held_bytes + waits, LIMITS.group_incoming_bytes_max
            raise LimitExceeded(name="group_incoming_bytes_max", limit=limit, value=held)
        if len(incoming.missing) + len(missing) > LIMITS.group_missing_max:
            raise LimitExceeded(
                name="group_missing_max",
                limit=LIMITS.group_missing_max,
                value=len(incoming.missing) + len(missing),
            )

    def _review(self, message: Message, ours: list[Record], now: float) -> None:
        """What the message says about messages of ours."""
        outgoing = self.outgoing
        sequence = max([record.sequence for record in ours], default=0)
        if outgoing.items:
            if ours and self.shared.profile.causal_heads:
                acknowledged = outgoing.acknowledge_until(sequence, now)
            else:
                named = [record.message_id for record in ours if record.message_id in outgoing.items]
                acknowledged = [name for name in named if outgoing.acknowledge(name, now)]
            for name in acknowledged:
                self.shared.events.append(MessageAcknowledged(self.name, name))
            if message.bloom and outgoing.items:
                self._review_filter(message.bloom, now)
        if message.sender_id:
            assert message.lamport is not None
            self.peers.saw(message.sender_id, message.lamport, sequence, now)

    def _review_filter(self, data: bytes, now: float) -> None:
        bloom = self.bloom.read(data)
        if bloom is None:
            return
        enough, events = self.shared.profile.possible_acks, self.shared.events
        for sent in self.outgoing.review(bloom):
            name = sent.record.message_id
            if sent.filters >= enough:
                self.outgoing.acknowledge(name, now)
                events.append(MessageAcknowledged(self.name, name))
            else:
                events.append(MessagePossiblyAcknowledged(self.name, name, sent.filters))

    def _take_repairs(self, entries: Iterable[HistoryEntry], now: float) -> None:
        if not self.shared.participant:
            return
        for entry in entries:
            record = self.record_of(entry.message_id)
            if record is None:
                self.repair.heard(entry.message_id, now)
                continue
            if not entry.sender_id:
                entry = entry._replace(sender_id=record.sender_id)
            self.repair.asked(entry, now)

    def record_of(self, message_id: str) -> Record | None:
        """What can be sent again: of the history, or gone from there while nobody has acknowledged it."""
        record = self.history.records.get(message_id)
        if record is None and message_id in self.outgoing.items:
            return self.outgoing.items[message_id].record
        return record

    def _expect(self, message: Message, kept: bytes, missing: tuple[HistoryEntry, ...], now: float) -> None:
        incoming = self.incoming
        absent = tuple([entry for entry in missing if entry[0] not in incoming.waiting])
        new = [entry for entry in absent if entry[0] not in incoming.missing]
        if message.content:
            names = {entry.message_id for entry in missing}
            incoming.add(Waiting(message, kept, names, now), missing)
        else:
            for entry in new:
                incoming.expect(entry)
        for entry in absent:
            self.repair.want(entry, now)
        if absent and (message.content or new):
            self.shared.events.append(DependenciesMissing(self.name, message.message_id, absent))

    def _compare(self, message: Message, missing: tuple[HistoryEntry, ...], now: float) -> None:
        """A sync message says what its sender has: whether that is what we have."""
        if self.shared.profile.repair_offers and message.bloom:
            self._offer(message, now)
        if missing:
            self.pace.happened(now)
            return
        assert message.lamport is not None
        named = {entry[0] for entry in message.causal}
        heads = list(islice(self.history.heads.values(), len(named) + 1))
        unnamed = [head for head in heads if head.message_id not in named]
        if not unnamed:
            self.wide = -1
            # Its sender wants to hear of its own messages from somebody else.
            self.pace.heard = all(head.sender_id != message.sender_id for head in heads)
        elif any(head.lamport + self._grace_ticks() < message.lamport for head in unnamed):
            # It had the time to arrive there and did not.
            self.pace.happened(now)
            self.wide = max(self.wide, 0)

    def _offer(self, message: Message, now: float) -> None:
        """Filters err, but never by lacking: what its sender lacks goes out as if it had asked for it."""
        bloom = self.bloom.read(message.bloom)
        if bloom is None or message.lamport is None:
            return
        profile, left = self.shared.profile, self.shared.profile.repair_offers
        latest = message.lamport - self._grace_ticks()  # it had the time to arrive there and did not
        for record in self.history.newest(profile.sync_entries):
            if record.lamport >= latest or record.sender_id == message.sender_id:
                continue
            if bloom.has(record.hashes):
                continue
            if self.repair.asked(HistoryEntry(record.message_id, b"", record.sender_id), now):
                self.journal.touch()
                left -= 1
                if not left:
                    return

    def _grace_ticks(self) -> int:
        seconds = self.shared.profile.sync_s
        return round(seconds * 1000) if self.shared.wire.dialect == "spec" else round(seconds)

    # delivering

    def cascade(self, message_id: str, *, lost: bool = False) -> None:
        """``message_id`` is here or given up: deliver all that waited only for it, and so on, in causal order."""
        incoming = self.incoming
        ready = [_ordered(waiting) for waiting in incoming.meet(message_id, lost=lost)]
        heapify(ready)
        while ready:
            _, name, waiting = heappop(ready)
            self._deliver(waiting.message, waiting.kept, waiting.lost)
            for freed in incoming.meet(name):
                heappush(ready, _ordered(freed))

    def _deliver(self, message: Message, kept: bytes, lost: tuple[str, ...]) -> None:
        message_id, sender_id = message.message_id, message.sender_id
        shared = self.shared
        lamport = message.lamport
        assert lamport is not None
        reference = shared.wire.reference(HistoryEntry(message_id, b"", sender_id))
        record = Record(message_id, lamport, sender_id, kept, reference, self.bloom.hashes(message_id))
        evicted = self.history.add(record, message.causal, persistent=shared.persistent)
        self._remember(record, evicted)
        if self.absent and message_id in self.absent:
            self.lost -= self.absent.pop(message_id)
        if self.lost and not lost:
            lost = tuple([entry[0] for entry in message.causal if self.absent.get(entry[0])])
        if message_id in self.history.past:
            del self.history.past[message_id]  # it went, and is kept again because somebody lacks it: told once
        else:
            shared.events.append(MessageReady(self.name, message_id, sender_id, lamport, message.content, lost))

    def _remember(self, record: Record, evicted: Sequence[Record]) -> None:
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
        for message_id in message_ids:
            if message_id in self.incoming.missing:
                self.repair.arrived(message_id)
                self.give_up(message_id, lost=False)

    def give_up(self, message_id: str, *, lost: bool) -> None:
        """Nothing waits for the message any more; what only waited for it is delivered."""
        self.lost += lost - self.absent.pop(message_id, False)
        self.absent[message_id] = lost
        if len(self.absent) > LIMITS.group_missing_max:
            oldest = next(iter(self.absent))
            self.lost -= self.absent.pop(oldest)
        self.journal.touch()
        self.cascade(message_id, lost=lost)

    def set_hint(self, message_id: str, hint: bytes) -> None:
        if self.history.set_hint(message_id, hint):
            self.journal.keep_hint(message_id, hint)


def _ordered(waiting: Waiting) -> tuple[int, str, Waiting]:
    assert waiting.message.lamport is not None
    return waiting.message.lamport, waiting.message.message_id, waiting
