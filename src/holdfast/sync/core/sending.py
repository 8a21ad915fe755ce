"""What a channel sends: messages with all that is to be said with them."""

from __future__ import annotations

from binascii import b2a_base64
from hashlib import blake2b

from ...errors import LimitExceeded, UsageError
from ..model import HistoryEntry
from .channel import Channel
from .parts.history import Record
from .parts.outgoing import Sent

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ID_BYTES = 15
"""Of a message id: 120 bits of a hash, 20 characters."""


def wrap(channel: Channel, content: bytes, now: float, message_id: str | None) -> bytes:
    """The bytes of a new message, which is kept until somebody has it."""
    shared, history, outgoing = channel.shared, channel.history, channel.outgoing
    wire, profile = shared.wire, shared.profile
    if message_id is not None and message_id in outgoing.items:
        return outgoing.items[message_id].record.data
    _check(channel, len(content), message_id)
    channel.lamport = lamport = _next_lamport(channel, now)
    if message_id is None:
        message_id = _make_id(channel, lamport, content)
    referred, all_heads = history.references(profile.causal_entries, profile.causal_heads)
    head, middle, tail = wire.frame(
        message_id.encode(),
        channel.name_bytes,
        shared.participant_bytes,
        lamport,
        b"".join([record.reference for record in referred]),
        content,
    )
    kept = head + middle + tail
    requests = b""
    if channel.repair.requests:
        requests = wire.repair_fields(_take_requests(channel, now, profile.repair_requests))
    bloom = _due_filter(channel)
    data = b"".join((head, bloom, middle, requests, tail)) if bloom or requests else kept
    reference = wire.reference(HistoryEntry(message_id, b"", shared.participant))
    channel.sequence += 1
    hashes = channel.bloom.hashes(message_id)
    record = Record(message_id, lamport, shared.participant, kept, reference, hashes, channel.sequence)
    evicted = history.add_own(record, all_heads=all_heads, referred=referred, persistent=shared.persistent)
    channel.remember(record, evicted)
    outgoing.add(Sent(record, now))
    channel.since_sent = 0
    if all_heads and channel.wide < 0:
        channel.pace.said(now)
    else:
        channel.pace.happened(now)
    channel.journal.touch()
    if message_id in channel.incoming.missing:
        # Ours, from a life we do not remember: whatever waits for it has it now.
        channel.repair.arrived(message_id)
        channel.cascade(message_id)
    return data


def _check(channel: Channel, size: int, message_id: str | None) -> None:
    outgoing, history, limits = channel.outgoing, channel.history, channel.shared.limits
    count, held = len(outgoing.items) + 1, outgoing.held_bytes + size
    if count > limits.group_outgoing_max:
        raise LimitExceeded(name="group_outgoing_max", limit=limits.group_outgoing_max, value=count)
    if held > limits.group_outgoing_bytes_max:
        raise LimitExceeded(name="group_outgoing_bytes_max", limit=limits.group_outgoing_bytes_max, value=held)
    if message_id is not None and (
        message_id in history.records or message_id in history.past or message_id in channel.incoming.waiting
    ):
        raise UsageError(f"message_id: {message_id!r} is that of another message", field="message_id")


def wrap_ephemeral(channel: Channel, content: bytes, message_id: str | None) -> bytes:
    """The bytes of a message that nobody keeps."""
    shared = channel.shared
    if shared.wire.dialect == "nim":
        raise UsageError("dialect: nim knows no ephemeral messages", field="dialect")
    if message_id is None:
        channel.ephemerals += 1
        message_id = _make_id(channel, channel.lamport, b"%d\0%b" % (channel.ephemerals, content))
    return b"".join(
        shared.wire.frame(message_id.encode(), channel.name_bytes, shared.participant_bytes, None, b"", content)
    )


def wrap_sync(channel: Channel, now: float, *, slim: bool = False) -> tuple[str, bytes]:
    """A sync message's id and bytes; a slim one carries requests, and hardly anything of what we have."""
    shared, history = channel.shared, channel.history
    wire, profile = shared.wire, shared.profile
    channel.lamport = lamport = _next_lamport(channel, now)
    message_id = "sync-" + _make_id(channel, lamport, b"")
    entries = profile.causal_entries if slim else profile.sync_entries
    referred, _ = history.references(entries, profile.causal_heads)
    if channel.wide >= 0 and not slim:
        known = {record.message_id for record in referred}
        more = history.window(channel.wide, profile.sync_entries_wide)
        referred = [record for record in more if record.message_id not in known] + referred
        channel.wide = channel.wide + len(more) if len(more) == profile.sync_entries_wide else 0
    causal = b"".join([record.reference for record in referred])
    head, middle, tail = wire.frame(
        message_id.encode(), channel.name_bytes, shared.participant_bytes, lamport, causal, b""
    )
    bloom = b"" if slim and profile.bloom_every > 1 else wire.bloom_field(channel.bloom.wire())
    requests = wire.repair_fields(_take_requests(channel, now, profile.repair_requests_sync))
    if not slim:
        channel.since_sent = 0
    return message_id, b"".join((head, bloom, middle, requests, tail))


def _next_lamport(channel: Channel, now: float) -> int:
    ticks = channel.shared.ticks(now)
    if channel.shared.wire.dialect == "nim":
        return max(ticks, channel.lamport) + 1
    return max(ticks, channel.lamport + 1)


def _make_id(channel: Channel, lamport: int, content: bytes) -> str:
    digest = blake2b(
        b"%b\0%b\0%d\0" % (channel.shared.participant_bytes, channel.name_bytes, lamport), digest_size=_ID_BYTES
    )
    digest.update(content)
    return b2a_base64(digest.digest(), newline=False).translate(_URL_SAFE).decode()


def _due_filter(channel: Channel) -> bytes:
    """The filter as a field, if it is its turn; a large one comes more rarely, so that it costs no more."""
    profile = channel.shared.profile
    every = profile.bloom_every
    if every > 1:
        channel.since_bloom += 1
        if profile.bloom_adaptive:
            every = max(every, channel.bloom.byte_size // 32)
        if channel.since_bloom < every:
            return b""
        channel.since_bloom = 0
    return channel.shared.wire.bloom_field(channel.bloom.wire())


def _take_requests(channel: Channel, now: float, count: int) -> list[HistoryEntry]:
    taken, over = channel.repair.take_requests(now, count)
    if over:
        channel.give_up_requests(over)
    if taken or over:
        channel.journal.touch()
    return taken
