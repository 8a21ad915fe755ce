"""What of a channel is not stored yet, and how its state becomes a snapshot and comes back from one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import CorruptionError, LimitExceeded, ProtocolError
from .events import MessageUnacknowledged, SaveFailed
from .history import Record
from .incoming import Waiting
from .model import HistoryEntry, Message
from .outgoing import Sent
from .persistence.base import ChannelData, StoredMessage, Write
from .repair import Request, Response
from .snapshot import (
    AbsentMeta,
    ChannelMeta,
    RequestMeta,
    ResponseMeta,
    SentMeta,
    WaitingMeta,
    absent_piece,
    decode_meta,
    join,
    request_piece,
    response_piece,
    sent_piece,
    waiting_piece,
)

if TYPE_CHECKING:
    from .channel import Channel


class Journal:
    """Gathers a channel's changes into writes: at most one under way, what failed goes with the next one."""

    __slots__ = ("_changed", "_channel", "_hints", "_under_way")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._changed = False
        self._hints: dict[str, bytes] = {}
        self._under_way: Write | None = None

    @property
    def unsaved(self) -> int:
        """History changes that are not stored yet."""
        under_way = self._under_way
        update = None if under_way is None else under_way.history
        return len(self._channel.history.pending) + (len(update.append) + len(update.evict) if update else 0)

    def touch(self) -> None:
        """Something of the snapshot changed, or will in this operation."""
        channel = self._channel
        shared = channel.shared
        shared.touched[channel.name] = channel
        if shared.persistent and not self._changed:
            self._changed = True
            shared.unsaved[channel.name] = channel

    def keep_hint(self, message_id: str, hint: bytes) -> None:
        """A hint is to be stored."""
        if self._channel.shared.persistent:
            self._hints[message_id] = hint
            self._channel.shared.unsaved[self._channel.name] = self._channel

    def write(self) -> Write | None:
        """What to store now; None while a write is under way, or when there is nothing."""
        if self._under_way is not None:
            return None
        channel = self._channel
        meta = self._snapshot() if self._changed else None
        history = channel.history.update()
        hints = tuple(self._hints.items())
        if meta is None and history is None and not hints:
            return None
        self._changed = False
        self._hints = {}
        channel.shared.writes_made += 1
        self._under_way = Write(channel.name, channel.shared.writes_made, meta, history, hints)
        return self._under_way

    def saved(self, number: int, meta_error: str | None, history_error: str | None, hints_error: str | None) -> None:
        """How the write under way went; the outcome of another one is ignored."""
        write = self._under_way
        if write is None or write.number != number:
            return
        self._under_way = None
        channel = self._channel
        if write.meta is not None and meta_error is not None:
            self._changed = True
        if write.history is not None:
            if history_error is not None:
                channel.history.retry(write.history)
            else:
                for message_id in channel.history.confirm(write.history):
                    sent = channel.outgoing.items.get(message_id)
                    if sent is not None:
                        sent.piece = b""
        if hints_error is not None:
            self._hints = dict(write.hints) | self._hints
        error = meta_error or history_error or hints_error
        if error is not None:
            channel.shared.events.append(SaveFailed(channel.name, error))
        if self._changed or channel.history.pending or self._hints:
            channel.shared.unsaved[channel.name] = channel

    # to a snapshot

    def _snapshot(self) -> bytes:
        channel = self._channel
        return join(channel.name, channel.shared.wire.dialect, channel.lamport, list(self._pieces()))

    def _pieces(self) -> Iterator[bytes]:
        channel = self._channel
        shared, repair = channel.shared, channel.repair
        for sent in channel.outgoing.items.values():
            yield sent.piece or self._sent_piece(sent)
        for waiting in channel.incoming.waiting.values():
            yield waiting.piece or self._waiting_piece(waiting)
        for message_id, request in repair.requests.items():
            if not request.piece:
                due, since = shared.unix_ms(repair.requests_due.at(message_id) or 0.0), shared.unix_ms(request.since)
                request.piece = request_piece(RequestMeta(request.entry, due, since, request.attempts))
            yield request.piece
        for message_id, response in repair.responses.items():
            if not response.piece:
                due = shared.unix_ms(repair.responses_due.at(message_id) or 0.0)
                response.piece = response_piece(ResponseMeta(response.entry, due))
            yield response.piece
        for message_id, lost in channel.absent.items():
            yield absent_piece(AbsentMeta(message_id, lost))

    def _sent_piece(self, sent: Sent) -> bytes:
        """What is stored with the history is only named; it is stored when a write has confirmed it."""
        record = sent.record
        data = b"" if record.stored else record.data
        sent_ms = self._channel.shared.unix_ms(sent.sent_at)
        sent.piece = sent_piece(SentMeta(record.message_id, data, sent_ms, sent.attempts, sent.filters))
        return sent.piece

    def _waiting_piece(self, waiting: Waiting) -> bytes:
        received_ms = self._channel.shared.unix_ms(waiting.received_at)
        missing = tuple(sorted(waiting.missing))
        waiting.piece = waiting_piece(WaitingMeta(waiting.kept, missing, received_ms, waiting.lost))
        return waiting.piece


# from a snapshot


def restore(channel: Channel, stored: ChannelData, now: float) -> None:
    """Bring back what was stored, and finish what was half done.  CorruptionError if any of it cannot be read.

    A wall clock that was set back meanwhile makes no time lie further ahead than it could have at ``now``.
    """
    where = f"stored channel {channel.name!r}"
    meta = decode_meta(stored.meta, where) if stored.meta else None
    if meta is not None:
        _check(channel, meta, where)
        channel.lamport = meta.lamport
        for absent in meta.absent:
            channel.absent[absent.message_id] = absent.lost
            channel.lost += absent.lost
    for item in stored.history:
        _restore_record(channel, item, where)
    _count_own(channel)
    channel.rebuild_bloom()
    if meta is not None:
        _restore_outgoing(channel, meta, where, now)
        _restore_repair(channel, meta, now)
        _restore_incoming(channel, meta, where, now)
    if channel.history.pending:
        channel.journal.touch()


def _check(channel: Channel, meta: ChannelMeta, where: str) -> None:
    dialect = channel.shared.wire.dialect
    if meta.dialect != dialect:
        raise CorruptionError(where=where, expected=f"dialect {dialect}", got=meta.dialect)
    if meta.channel != channel.name:
        raise CorruptionError(where=where, expected=f"channel {channel.name!r}", got=repr(meta.channel))


def _decode(channel: Channel, data: bytes, where: str) -> Message:
    try:
        return channel.shared.wire.decode(data).message
    except (ProtocolError, LimitExceeded) as error:
        raise CorruptionError(where=where, expected="a message", got=str(error)) from None


def _restore_record(channel: Channel, item: StoredMessage, where: str) -> None:
    message = _decode(channel, item.data, where)
    if message.message_id != item.message_id or message.lamport is None:
        raise CorruptionError(where=where, expected=f"message {item.message_id!r}", got=repr(message.message_id))
    channel.lamport = max(channel.lamport, message.lamport)
    shared = channel.shared
    reference = shared.wire.reference(HistoryEntry(message.message_id, item.hint, message.sender_id))
    hashes = channel.bloom.hashes(message.message_id)
    record = Record(message.message_id, message.lamport, message.sender_id, item.data, reference, hashes)
    record.hint = item.hint
    record.stored = True
    # The first to go, if the history may hold less than before, is told to storage as any other.
    for evicted in channel.history.add(record, message.causal, persistent=False):
        if shared.persistent:
            channel.history.pending[evicted.message_id] = False


def _count_own(channel: Channel) -> None:
    """Number our messages as they were sent: their clocks never stand still."""
    me = channel.shared.participant
    own = [record for record in channel.history if me and record.sender_id == me]
    own.sort(key=lambda record: record.lamport)
    for number, record in enumerate(own, 1):
        record.sequence = number
        channel.history.number_own(record)
    channel.sequence = len(own)


def _restore_outgoing(channel: Channel, meta: ChannelMeta, where: str, now: float) -> None:
    sent = []
    evicted = []
    for item in meta.outgoing:
        record = channel.history.records.get(item.message_id)
        if record is None and item.data:
            # It was evicted from the history, so it is older than all of ours there.
            message = _decode(channel, item.data, where)
            assert message.lamport is not None
            hashes = channel.bloom.hashes(message.message_id)
            record = Record(message.message_id, message.lamport, message.sender_id, item.data, b"", hashes)
            evicted.append(record)
            channel.lamport = max(channel.lamport, message.lamport)
        if record is None:
            channel.shared.events.append(MessageUnacknowledged(channel.name, item.message_id, item.attempts))
            continue
        sent_at = min(now, channel.shared.from_unix_ms(item.sent_ms))
        sent.append(Sent(record, sent_at, item.attempts, item.filters))
    for number, record in enumerate(sorted(evicted, key=lambda record: record.lamport)):
        record.sequence = number - len(evicted)
    for one in sorted(sent, key=lambda one: one.record.sequence):
        channel.outgoing.add(one)


def _restore_repair(channel: Channel, meta: ChannelMeta, now: float) -> None:
    shared, repair, records = channel.shared, channel.repair, channel.history.records
    if not shared.participant:
        return
    longest_s = shared.profile.repair_max_s + 8 * shared.profile.repair_again_s
    for wanted in meta.requests:
        if wanted.entry.message_id not in records:
            if wanted.entry.message_id not in channel.absent:
                channel.incoming.expect(wanted.entry)
            request = Request(wanted.entry, min(now, shared.from_unix_ms(wanted.since_ms)), wanted.attempts)
            repair.restore_request(request, min(now + longest_s, shared.from_unix_ms(wanted.due_ms)))
    for asked in meta.responses:
        if asked.entry.message_id in records:
            repair.restore_response(Response(asked.entry), min(now + longest_s, shared.from_unix_ms(asked.due_ms)))


def _restore_incoming(channel: Channel, meta: ChannelMeta, where: str, now: float) -> None:
    """Those that wait come back; what they wait for and was delivered after all is met."""
    records = channel.history.records
    for item in meta.incoming:
        message = _decode(channel, item.data, where)
        if message.message_id in records:
            continue
        entries = {entry.message_id: entry for entry in message.causal}
        missing = tuple([entries.get(name, HistoryEntry(name)) for name in item.missing])
        received_at = min(now, channel.shared.from_unix_ms(item.received_ms))
        waiting = Waiting(message, item.data, set(item.missing), received_at)
        waiting.lost = item.lost
        channel.incoming.add(waiting, missing)
    for name in [name for name in channel.incoming.missing if name in records]:
        channel.repair.arrived(name)
        channel.cascade(name)
    for waiting in [one for one in channel.incoming.waiting.values() if not one.missing]:
        raise CorruptionError(where=where, expected="what a message waits for", got=f"nothing: {waiting.message!r}")
