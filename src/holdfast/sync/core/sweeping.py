"""What time does to a channel: resends, answers, sync messages, and what is given up."""

from __future__ import annotations

from ..events import MessagesLost, MessageUnacknowledged, RepairReady, SyncDue
from ..model import ChannelStatus, Packet, State
from .channel import Channel
from .sending import wrap_sync


def next_deadline(channel: Channel) -> float:
    """When :func:`sweep` wants to be called next."""
    due = channel.pace.at
    repair = channel.repair
    # After every operation somebody asks for this, and mostly these are empty.
    if channel.outgoing.items:
        at = channel.outgoing.next_deadline()
        if at is not None and at < due:
            due = at
    if channel.incoming.waiting:
        at = channel.incoming.next_deadline()
        if at is not None and at < due:
            due = at
    if repair.responses:
        at = repair.responses_due.first()
        if at is not None and at < due:
            due = at
    if repair.requests and channel.shared.profile.repair_prompt and channel.shared.auto_sync:
        at = repair.requests_due.first()
        if at is not None and at < due:
            due = min(due, max(at, channel.prompt_at))
    return due


def sweep(channel: Channel, now: float) -> None:
    """Do all that is due; a channel with nothing due is left as it is."""
    _give_up_waiting(channel, now)
    _resend(channel, now)
    _answer(channel, now)
    if channel.pace.at <= now:
        _sync(channel, now)
    _ask(channel, now)
    if channel.repair.overflowed and 2 * len(channel.repair.requests) < channel.shared.profile.repair_buffer:
        _ask_for_the_rest(channel, now)


def _give_up_waiting(channel: Channel, now: float) -> None:
    given_up = channel.incoming.take_due(now)
    if not given_up:
        return
    channel.shared.events.append(MessagesLost(channel.name, tuple(given_up)))
    for message_id in given_up:
        channel.give_up(message_id, lost=True)


def _resend(channel: Channel, now: float) -> None:
    resend, given_up = channel.outgoing.take_due(now)
    shared = channel.shared
    for sent in resend:
        shared.packets.append(Packet(channel.name, sent.record.data, "resend", sent.record.message_id))
    for sent in given_up:
        shared.events.append(MessageUnacknowledged(channel.name, sent.record.message_id, sent.attempts))
    if resend or given_up:
        channel.journal.touch()


def _answer(channel: Channel, now: float) -> None:
    shared = channel.shared
    taken = channel.repair.take_responses(now)
    for message_id in taken:
        record = channel.record_of(message_id)
        if record is not None:
            shared.packets.append(Packet(channel.name, record.data, "repair", message_id))
            shared.events.append(RepairReady(channel.name, message_id))
    if taken:
        channel.journal.touch()


def _sync(channel: Channel, now: float) -> None:
    """Our turn to say what we have; not if somebody else just did."""
    shared, pace = channel.shared, channel.pace
    if not shared.auto_sync:
        shared.events.append(SyncDue(channel.name))
    elif (channel.history.records or channel.repair.requests) and not (pace.heard and not pace.periodic):
        message_id, data = wrap_sync(channel, now)
        shared.packets.append(Packet(channel.name, data, "sync", message_id))
    pace.fired(now)


def _ask(channel: Channel, now: float) -> None:
    """Requests that are due do not wait for the next message."""
    shared, repair = channel.shared, channel.repair
    if not (shared.profile.repair_prompt and shared.auto_sync) or channel.prompt_at > now:
        return
    at = repair.requests_due.first()
    if at is None or at > now:
        return
    channel.prompt_at = now + shared.profile.repair_min_s
    message_id, data = wrap_sync(channel, now, slim=True)
    shared.packets.append(Packet(channel.name, data, "sync", message_id))


def _ask_for_the_rest(channel: Channel, now: float) -> None:
    """Ask for what did not fit when it was found missing."""
    repair, incoming = channel.repair, channel.incoming
    repair.overflowed = False
    for message_id, missing in incoming.missing.items():
        if message_id not in incoming.waiting:
            repair.want(missing.entry, now)
            if repair.overflowed:
                break
    channel.journal.touch()


def status(channel: Channel) -> ChannelStatus:
    """How the channel stands."""
    incoming, repair = channel.incoming, channel.repair
    absent = len(incoming.missing) - sum(1 for name in incoming.waiting if name in incoming.missing)
    state: State = "missing" if absent or incoming.waiting else ("lost" if channel.lost else "synced")
    return ChannelStatus(
        channel.name,
        state,
        channel.lamport,
        len(channel.history),
        len(channel.outgoing.items),
        len(incoming.waiting),
        absent,
        channel.lost,
        len(repair.requests),
        len(repair.responses),
        channel.journal.unsaved,
        channel.peers.status(channel.sequence),
    )
