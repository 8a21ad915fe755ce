"""One participant of any number of channels: the protocol, without I/O.

Nothing here reads a clock or draws a random number.  ``now`` is seconds on any clock that never goes back; Lamport
timestamps and snapshots need Unix time, which is ``now + wall_offset_s``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

from ..errors import LimitExceeded, NotFound, UsageError
from ..limits import LIMITS, Limits
from .core.channel import Channel
from .core.receiving import receive
from .core.restoring import restore
from .core.sending import wrap, wrap_ephemeral, wrap_sync
from .core.shared import Shared
from .core.sweeping import next_deadline, status, sweep
from .events import Event
from .model import ChannelStatus, Dialect, HistoryEntry, Message, Packet, Unwrapped
from .persistence.base import ChannelData, Write
from .profiles import LAN, Profile, check_profile
from .wire import Wire


class SyncPeer:
    """A participant.

    ``participant_id``: unique in its groups; empty switches repair off.  ``dialect``: the wire of its groups.
    ``wall_offset_s``: Unix time minus ``now``; may be assigned again whenever the wall clock jumped.
    ``auto_sync``: sync messages are among the packets; without, SyncDue is told and :meth:`wrap_sync` makes one.
    ``hints``: RetrievalHintWanted is told for each message.
    ``persistent``: whether :meth:`writes` gives anything; without, what would be stored is not even gathered.
    ``wire``: what reads and writes its messages, instead of one of its own, in its ``dialect``; participants of one
    process that share one read what all of them receive once.

    ``limits``: how much is held of what waits; what a message may hold is the same for everybody.

    Every operation costs its own size: no history, buffer or number of channels makes it dearer.
    Nothing blocks.  After each operation look at :meth:`packets`, :meth:`events` and :meth:`writes`.
    """

    __slots__ = ("_channels", "_deadlines", "_shared")

    def __init__(
        self,
        participant_id: str,
        *,
        dialect: Dialect = "spec",
        profile: Profile = LAN,
        wall_offset_s: float = 0.0,
        auto_sync: bool = True,
        hints: bool = False,
        persistent: bool = True,
        wire: Wire | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        if dialect not in {"spec", "nim"}:
            raise UsageError(f"dialect: {dialect!r} is neither spec nor nim", field="dialect")
        if wire is not None and wire.dialect != dialect:
            raise UsageError(f"wire: is of dialect {wire.dialect}, not {dialect}", field="wire")
        if participant_id:
            _check_id(participant_id, "participant_id")
        self._shared = Shared(
            participant_id,
            Wire(dialect) if wire is None else wire,
            check_profile(profile),
            wall_offset_s,
            auto_sync=auto_sync,
            hints=hints,
            persistent=persistent,
            limits=limits,
        )
        self._channels: dict[str, Channel] = {}
        self._deadlines: list[tuple[float, str]] = []

    @property
    def participant_id(self) -> str:
        """Who this is."""
        return self._shared.participant

    @property
    def dialect(self) -> Dialect:
        """The wire of its groups."""
        return self._shared.wire.dialect

    @property
    def profile(self) -> Profile:
        """How it behaves."""
        return self._shared.profile

    @property
    def wall_offset_s(self) -> float:
        """Unix time minus ``now``.

        Assign it again when the wall clock jumped: timers do not care, and Lamport clocks never go back.
        """
        return self._shared.wall_offset_s

    @wall_offset_s.setter
    def wall_offset_s(self, value: float) -> None:
        self._shared.wall_offset_s = value

    # channels

    def ensure(self, channel: str, now: float, stored: ChannelData | None = None) -> bool:
        """Have the channel, with what is stored of it; whether it is new to us.  Idempotent.

        Raises CorruptionError if ``stored`` cannot be read whole, or is another dialect's; UsageError for an unusable
        name; LimitExceeded.  Then there is no such channel.
        """
        if channel in self._channels:
            return False
        _check_id(channel, "channel")
        limit = self._shared.limits.group_channels_max
        if len(self._channels) >= limit:
            raise LimitExceeded(name="group_channels_max", limit=limit, value=len(self._channels) + 1)
        made = Channel(channel, self._shared, now)
        if stored is not None and (stored.meta or stored.history):
            told = len(self._shared.events)
            try:
                restore(made, stored, now)
            except BaseException:
                del self._shared.events[told:]
                self._shared.unsaved.pop(channel, None)
                self._shared.touched.pop(channel, None)
                raise
        self._channels[channel] = made
        self._shared.touched[channel] = None
        return True

    def remove(self, channel: str) -> None:
        """Forget the channel; dropping it from storage is up to the caller, before.  NotFound if there is none."""
        self._find(channel)
        del self._channels[channel]
        self._shared.unsaved.pop(channel, None)
        self._shared.touched.pop(channel, None)

    def reset(self) -> None:
        """Forget all channels, as :meth:`remove` does."""
        for channel in list(self._channels):
            self.remove(channel)

    def cleanup(self) -> None:
        """Let go of all memory, without touching what is stored: the end of this object's life.  Idempotent."""
        self.reset()
        self._deadlines.clear()
        self._shared.events.clear()
        self._shared.packets.clear()

    @property
    def channels(self) -> Sequence[str]:
        """The names of the channels."""
        return list(self._channels)

    def _find(self, channel: str) -> Channel:
        found = self._channels.get(channel)
        if found is None:
            raise NotFound(f"no channel {channel!r} in this participant: ensure it first", "group channel", channel)
        return found

    # sending: the caller broadcasts what it is given

    def wrap(self, channel: str, content: bytes, now: float, message_id: str | None = None) -> bytes:
        """The bytes of a new message with ``content``; it is kept, and sent again until somebody has it.

        ``message_id`` (default: drawn from sender, time and content) must be unique in the group; wrapping one that is
        in the outgoing buffer again gives the message once more.  Raises UsageError for empty content or an unusable
        id, LimitExceeded for content over ``group_content_bytes_max`` and a full outgoing buffer, NotFound.
        """
        found = self._channels.get(channel) or self._find(channel)
        content = _check_content(content)
        if message_id is not None:
            _check_id(message_id, "message_id")
        return wrap(found, content, now, message_id)

    def wrap_ephemeral(self, channel: str, content: bytes, message_id: str | None = None) -> bytes:
        """The bytes of an ephemeral message: no order, no acknowledgement, kept by nobody.

        Raises as :meth:`wrap`, and UsageError in dialect ``nim``, which knows none.
        """
        found = self._find(channel)
        content = _check_content(content)
        if message_id is not None:
            _check_id(message_id, "message_id")
        return wrap_ephemeral(found, content, message_id)

    def wrap_sync(self, channel: str, now: float) -> bytes:
        """The bytes of a sync message: what we have, and what we miss.  NotFound."""
        return wrap_sync(self._find(channel), now)[1]

    # receiving

    def unwrap(self, data: bytes, now: float) -> Unwrapped:
        """Take a message from the network.  What became ready comes as MessageReady events, in causal order.

        Raises ProtocolError(reason) for what is no message of our dialect or has an impossible clock, LimitExceeded for
        what is too large, NotFound for a channel we do not have.  Then nothing has changed.
        """
        message, kept = self._shared.wire.decode(data if type(data) is bytes else bytes(data))
        found = self._channels.get(message.channel) or self._find(message.channel)
        return receive(found, message, kept, now)

    def mark_dependencies_met(self, channel: str, message_ids: Iterable[str], now: float) -> None:
        """The caller has these by other means: nothing waits for them any more.  Unknown ids are ignored.  NotFound."""
        self._find(channel).mark_met(message_ids)

    def set_hint(self, channel: str, message_id: str, hint: bytes) -> None:
        """Say where a message of the history can be found.  One that is not there is ignored.

        NotFound, LimitExceeded.
        """
        if len(hint) > LIMITS.group_hint_bytes_max:
            raise LimitExceeded(name="group_hint_bytes_max", limit=LIMITS.group_hint_bytes_max, value=len(hint))
        self._find(channel).set_hint(message_id, hint)

    # what comes out

    def packets(self) -> list[Packet]:
        """What to broadcast, since the last call: sync messages, resends and repairs."""
        packets, self._shared.packets = self._shared.packets, []
        return packets

    def events(self) -> list[Event]:
        """What happened since the last call."""
        events, self._shared.events = self._shared.events, []
        return events

    def writes(self) -> list[Write]:
        """What to store, at most one write for each channel that changed since the last call.

        A channel has at most one write under way: until :meth:`saved` is told its outcome, its changes gather.
        """
        unsaved = self._shared.unsaved
        if not unsaved:
            return []
        writes = []
        for name in list(unsaved):
            write = self._channels[name].journal.write()
            if write is not None:
                del unsaved[name]
                writes.append(write)
        return writes

    def saved(
        self,
        channel: str,
        number: int,
        *,
        meta_error: str | None = None,
        history_error: str | None = None,
        hints_error: str | None = None,
    ) -> None:
        """How a write went.  What failed is part of the next one, made with the next operation of any kind."""
        found = self._channels.get(channel)
        if found is not None:
            found.journal.saved(number, meta_error, history_error, hints_error)

    # time

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` wants to be called next; None: not at all."""
        self._schedule()
        deadlines, channels = self._deadlines, self._channels
        while deadlines:
            at, name = deadlines[0]
            channel = channels.get(name)
            if channel is not None and channel.registered == at:
                return at
            heappop(deadlines)
        return None

    def _schedule(self) -> None:
        touched, channels = self._shared.touched, self._channels
        for name in touched:
            channel = channels[name]
            at = next_deadline(channel)
            if at != channel.registered:
                channel.registered = at
                heappush(self._deadlines, (at, name))
        touched.clear()

    def handle_timer(self, now: float) -> None:
        """Time has passed: resends, sync messages, repairs, and what is given up.  Calling it early does nothing."""
        while (at := self.next_deadline()) is not None and at <= now:
            channel = self._channels[heappop(self._deadlines)[1]]
            channel.registered = None
            sweep(channel, now)
            self._shared.touched[channel.name] = None

    # what can be seen

    def status(self, channel: str) -> ChannelStatus:
        """How the channel stands.  NotFound.  Costs what is waited for, and the number of participants."""
        return status(self._find(channel))

    def unacknowledged(self, channel: str) -> int:
        """How many messages of ours nobody has acknowledged yet.  NotFound."""
        return len(self._find(channel).outgoing.items)

    def lamport_of(self, channel: str, message_id: str) -> int:
        """The Lamport time of a message that can be sent again; 0: there is none of that id.  NotFound."""
        record = self._find(channel).record_of(message_id)
        return 0 if record is None else record.lamport

    def log(self, channel: str) -> list[Message]:
        """The history in the order all peers agree on: Lamport time, then message id.  Costs its length."""
        decode = self._shared.wire.decode
        records = sorted(self._find(channel).history, key=lambda record: (record.lamport, record.message_id))
        return [decode(record.data).message for record in records]

    def missing(self, channel: str) -> list[HistoryEntry]:
        """What is waited for and not here, the first noticed first.  Costs its length.  NotFound."""
        incoming = self._find(channel).incoming
        return [one.entry for name, one in incoming.missing.items() if name not in incoming.waiting]


def _check_id(text: str, field: str) -> None:
    try:
        size = len(text.encode())
    except (UnicodeEncodeError, AttributeError):
        raise UsageError(f"{field}: must be text", field=field) from None
    if not size:
        raise UsageError(f"{field}: is empty", field=field)
    if size > LIMITS.group_id_bytes_max:
        raise LimitExceeded(
            f"{field}: {size} bytes, over the limit group_id_bytes_max = {LIMITS.group_id_bytes_max}",
            name="group_id_bytes_max",
            limit=LIMITS.group_id_bytes_max,
            value=size,
        )


def _check_content(content: bytes) -> bytes:
    if type(content) is not bytes:
        if not isinstance(content, bytearray | memoryview):
            raise UsageError(f"content: must be bytes, not {type(content).__name__}", field="content")
        content = bytes(content)
    if not content:
        raise UsageError("content: is empty; that is what sync messages are", field="content")
    if len(content) > LIMITS.group_content_bytes_max:
        raise LimitExceeded(
            f"content: {len(content)} bytes, over the limit group_content_bytes_max = {LIMITS.group_content_bytes_max}",
            name="group_content_bytes_max",
            limit=LIMITS.group_content_bytes_max,
            value=len(content),
        )
    return content
