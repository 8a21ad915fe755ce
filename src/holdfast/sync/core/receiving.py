"""What a channel makes of what it receives: acknowledgements, requests, what is missing, what is ready."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from operator import itemgetter

from ...errors import LimitExceeded, ProtocolError
from ..events import DependenciesMissing, EphemeralReceived, MessageAcknowledged, MessagePossiblyAcknowledged
from ..model import HistoryEntry, Message, Unwrapped
from .channel import Channel
from .parts.history import Record
from .parts.incoming import Waiting

_ID_OF = itemgetter(0)
_new = tuple.__new__  # a NamedTuple's own constructor costs three times as much


def receive(channel: Channel, message: Message, kept: bytes, now: float) -> Unwrapped:
    """Take a decoded message; ``kept`` are its bytes without filter and requests."""
    message_id, sender_id, lamport = message.message_id, message.sender_id, message.lamport
    own = sender_id != "" and sender_id == channel.shared.participant
    if lamport is None:
        return _receive_ephemeral(channel, message, own=own)
    content = message.content
    if content:
        if (
            message_id in channel.history.records
            or message_id in channel.incoming.waiting
            or message_id in channel.outgoing.items
        ):
            return _receive_again(channel, message, now)
    elif own:
        return _new(Unwrapped, (b"", (), channel.name, message_id, sender_id, "sync", True))
    missing, ours = _inspect(channel, message)
    if missing or lamport > channel.lamport:
        _check(channel, lamport, missing, now, waits=len(kept) if content else 0)
    # From here on nothing fails.
    _take_clock(channel, lamport)
    _take_word(channel, message, ours, now, own=own)
    if missing:
        _expect(channel, message, kept, missing, now)
    elif content:
        channel.deliver(message, kept, ())
        if message_id in channel.incoming.missing:
            channel.cascade(message_id)
    if content:
        channel.pace.happened(now)
        _count(channel, now)
    else:
        _compare(channel, message, missing, now)
    kind = "content" if content else "sync"
    return _new(Unwrapped, (content, missing, channel.name, message_id, sender_id, kind, False))


def _take_clock(channel: Channel, lamport: int) -> None:
    if lamport > channel.lamport:  # noqa: PLR1730 - a call per message saved
        channel.lamport = lamport
    if channel.shared.wire.dialect == "nim":
        channel.lamport += 1
    channel.journal.touch()


def _take_word(channel: Channel, message: Message, ours: list[Record], now: float, *, own: bool) -> None:
    """What a new message says about others: whether it is there, what is acknowledged, what is asked for."""
    if channel.repair.requests or channel.repair.responses:
        channel.repair.arrived(message.message_id)
    if not own:
        _review(channel, message, ours, now)
        if message.repairs:
            _take_repairs(channel, message.repairs, now)


def _count(channel: Channel, now: float) -> None:
    """Enough messages came that whoever sent them waits to hear of it."""
    channel.since_sent += 1
    sync_messages = channel.shared.profile.sync_messages
    if sync_messages and channel.since_sent >= sync_messages:
        channel.since_sent = 0
        channel.pace.hurry(now)


def _receive_ephemeral(channel: Channel, message: Message, *, own: bool) -> Unwrapped:
    if not own:
        channel.shared.events.append(
            EphemeralReceived(channel.name, message.message_id, message.sender_id, message.content)
        )
    return Unwrapped(
        message.content, (), channel.name, message.message_id, message.sender_id, "ephemeral", duplicate=own
    )


def _receive_again(channel: Channel, message: Message, now: float) -> Unwrapped:
    message_id, pace = message.message_id, channel.pace
    # Whoever repeats a message may not know that we have it.
    at = pace.at
    pace.happened(now)
    if pace.at != at:
        channel.shared.touched[channel.name] = None
    if (channel.repair.requests or channel.repair.responses) and channel.repair.arrived(message_id):
        channel.journal.touch()
    waiting = channel.incoming.waiting.get(message_id)
    missing: tuple[HistoryEntry, ...] = ()
    if waiting is not None:
        missing = tuple([entry for entry in message.causal if entry.message_id in waiting.missing])
    return _new(Unwrapped, (message.content, missing, channel.name, message_id, message.sender_id, "content", True))


def _inspect(channel: Channel, message: Message) -> tuple[tuple[HistoryEntry, ...], list[Record]]:
    """What it refers to: messages we do not have, and messages of ours that we do have."""
    causal, history, refers_to = message.causal, channel.history, message.refers_to
    own = history.own
    mine = own.keys() & refers_to
    ours = [own[name] for name in filter(mine.__contains__, map(_ID_OF, causal))] if mine else []
    if history.records.keys() >= refers_to:
        return (), ours
    unknown = refers_to.difference(history.records)
    absent, sent, past = channel.absent, channel.outgoing.items, history.past
    missing: dict[str, HistoryEntry] = {}
    gone = []
    for entry in [entry for entry in causal if entry[0] in unknown]:
        name = entry[0]
        if name in sent:
            gone.append(sent[name].record)
        elif name not in past and name not in absent and name != message.message_id:
            missing[name] = entry
    return tuple(missing.values()), gone + ours


def _check(channel: Channel, lamport: int, missing: tuple[HistoryEntry, ...], now: float, *, waits: int) -> None:
    limits = channel.shared.limits
    ahead = limits.group_clock_ahead_max
    if lamport - ahead > channel.shared.ticks(now):
        raise ProtocolError(f"lamport_timestamp {lamport}: over {ahead} ticks in the future", "clock", 0)
    if not missing:
        return
    incoming = channel.incoming
    if waits and len(incoming.waiting) >= limits.group_incoming_max:
        raise LimitExceeded(name="group_incoming_max", limit=limits.group_incoming_max, value=len(incoming.waiting) + 1)
    if waits and incoming.held_bytes + waits > limits.group_incoming_bytes_max:
        held, limit = incoming.held_bytes + waits, limits.group_incoming_bytes_max
        raise LimitExceeded(name="group_incoming_bytes_max", limit=limit, value=held)
    if len(incoming.missing) + len(missing) > limits.group_missing_max:
        raise LimitExceeded(
            name="group_missing_max",
            limit=limits.group_missing_max,
            value=len(incoming.missing) + len(missing),
        )


def _review(channel: Channel, message: Message, ours: list[Record], now: float) -> None:
    """What the message says about messages of ours."""
    outgoing = channel.outgoing
    sequence = max([record.sequence for record in ours]) if ours else 0
    if outgoing.items:
        if ours and channel.shared.profile.causal_acks:
            acknowledged = outgoing.acknowledge_until(sequence, now)
        else:
            named = [record.message_id for record in ours if record.message_id in outgoing.items]
            acknowledged = [name for name in named if outgoing.acknowledge(name, now)]
        for name in acknowledged:
            channel.shared.events.append(MessageAcknowledged(channel.name, name))
        if acknowledged:
            channel.repair.round_trip_s = outgoing.round_trip_s
        if message.bloom and outgoing.items:
            _review_filter(channel, message.bloom, now)
    if message.sender_id:
        assert message.lamport is not None
        channel.peers.saw(message.sender_id, message.lamport, sequence, now)


def _review_filter(channel: Channel, data: bytes, now: float) -> None:
    bloom = channel.bloom.read(data)
    if bloom is None:
        return
    enough, events = channel.shared.profile.possible_acks, channel.shared.events
    for sent in channel.outgoing.review(bloom):
        name = sent.record.message_id
        if sent.filters >= enough:
            channel.outgoing.acknowledge(name, now)
            events.append(MessageAcknowledged(channel.name, name))
        else:
            events.append(MessagePossiblyAcknowledged(channel.name, name, sent.filters))


def _take_repairs(channel: Channel, entries: Iterable[HistoryEntry], now: float) -> None:
    if not channel.shared.participant:
        return
    for entry in entries:
        record = channel.record_of(entry.message_id)
        if record is None:
            channel.repair.heard(entry.message_id, now)
            continue
        if not entry.sender_id:
            entry = entry._replace(sender_id=record.sender_id)
        channel.repair.asked(entry, now)


def _expect(channel: Channel, message: Message, kept: bytes, missing: tuple[HistoryEntry, ...], now: float) -> None:
    incoming = channel.incoming
    absent = tuple([entry for entry in missing if entry[0] not in incoming.waiting])
    new = [entry for entry in absent if entry[0] not in incoming.missing]
    if message.content:
        names = {entry.message_id for entry in missing}
        incoming.add(Waiting(message.without_state(), kept, names, now), missing)
    elif channel.shared.participant:  # without repair nothing would ever end the wait
        for entry in new:
            incoming.expect(entry)
    requests = channel.repair.requests
    for entry in absent:
        if entry[0] not in requests:
            channel.repair.want(entry, now)
    if absent and (message.content or new):
        channel.shared.events.append(DependenciesMissing(channel.name, message.message_id, absent))


def _compare(channel: Channel, message: Message, missing: tuple[HistoryEntry, ...], now: float) -> None:
    """A sync message says what its sender has: whether that is what we have."""
    if channel.shared.profile.repair_offers and message.bloom:
        _offer(channel, message, now)
    if missing:
        channel.pace.happened(now)
        return
    assert message.lamport is not None
    named = message.refers_to
    heads = list(islice(channel.history.heads.values(), len(named) + 1))
    unnamed = [head for head in heads if head.message_id not in named]
    if not unnamed:
        channel.wide = -1
        # Its sender wants to hear of its own messages from somebody else.
        channel.pace.heard = all(head.sender_id != message.sender_id for head in heads)
    elif any(head.lamport + _grace_ticks(channel) < message.lamport for head in unnamed):
        # It had the time to arrive there and did not.
        channel.pace.happened(now)
        channel.wide = max(channel.wide, 0)


def _offer(channel: Channel, message: Message, now: float) -> None:
    """Filters err, but never by lacking: what its sender lacks goes out as if it had asked for it."""
    bloom = channel.bloom.read(message.bloom)
    if bloom is None or message.lamport is None:
        return
    profile, left = channel.shared.profile, channel.shared.profile.repair_offers
    latest = message.lamport - _grace_ticks(channel)  # it had the time to arrive there and did not
    for record in channel.history.newest(profile.sync_entries):
        if record.lamport >= latest or record.sender_id == message.sender_id:
            continue
        if bloom.has(record.hashes):
            continue
        if channel.repair.asked(HistoryEntry(record.message_id, b"", record.sender_id), now):
            channel.journal.touch()
            left -= 1
            if not left:
                return


def _grace_ticks(channel: Channel) -> int:
    seconds = channel.shared.profile.sync_s
    return round(seconds * 1000) if channel.shared.wire.dialect == "spec" else round(seconds)
