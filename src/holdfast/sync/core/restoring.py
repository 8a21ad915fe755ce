"""How a channel comes back from what was stored of it: its history first, then the snapshot's buffers."""

from __future__ import annotations

from ...errors import CorruptionError, LimitExceeded, ProtocolError
from ..events import MessageUnacknowledged
from ..model import HistoryEntry, Message
from ..persistence.base import ChannelData, StoredMessage
from ..persistence.snapshot import ChannelMeta, decode_meta
from .channel import Channel
from .parts.history import Record
from .parts.incoming import Waiting
from .parts.outgoing import Sent
from .parts.repair import Request, Response


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
