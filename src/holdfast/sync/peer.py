"""One participant of any number of channels: the protocol, without I/O.

Nothing here reads a clock or draws a random number.  ``now`` is seconds on any clock that never goes back; Lamport
timestamps and snapshots need Unix time, which is ``now + wall_offset_s``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .events import Event
from .model import ChannelStatus, Dialect, HistoryEntry, Message, Packet, Unwrapped
from .persistence.base import ChannelData, Write
from .profiles import LAN, Profile


class SyncPeer:
    """A participant.

    ``participant_id``: unique in its groups; empty switches repair off.  ``dialect``: the wire of its groups.
    ``wall_offset_s``: Unix time minus ``now``; may be assigned again whenever the wall clock jumped.
    ``auto_sync``: sync messages are among the packets; without, SyncDue is told and :meth:`wrap_sync` makes one.
    ``hints``: RetrievalHintWanted is told for each message.  ``jitter``: 0 to 1, spreads the sync messages of peers; by
    default drawn from the participant's id.
    ``persistent``: whether :meth:`writes` gives anything; without, what would be stored is not even gathered.

    Every operation costs its own size: no history, buffer or number of channels makes it dearer.
    Nothing blocks.  After each operation look at :meth:`packets`, :meth:`events` and :meth:`writes`.
    """

    wall_offset_s: float

    def __init__(
        self,
        participant_id: str,
        *,
        dialect: Dialect = "spec",
        profile: Profile = LAN,
        wall_offset_s: float = 0.0,
        auto_sync: bool = True,
        hints: bool = False,
        jitter: float | None = None,
        persistent: bool = True,
    ) -> None:
        raise NotImplementedError

    # channels

    def ensure(self, channel: str, now: float, stored: ChannelData | None = None) -> bool:
        """Have the channel, with what is stored of it; whether it is new to us.  Idempotent.

        Raises CorruptionError if ``stored`` cannot be read whole, UsageError for another dialect's or an unusable name;
        then there is no such channel.
        """
        raise NotImplementedError

    def remove(self, channel: str) -> None:
        """Forget the channel; dropping it from storage is up to the caller, before.  NotFound if there is none."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all channels, as :meth:`remove` does."""
        raise NotImplementedError

    def cleanup(self) -> None:
        """Let go of all memory, without touching what is stored: the end of this object's life.  Idempotent."""
        raise NotImplementedError

    @property
    def channels(self) -> Sequence[str]:
        """The names of the channels."""
        raise NotImplementedError

    # sending: the caller broadcasts what it is given

    def wrap(self, channel: str, content: bytes, now: float, message_id: str | None = None) -> bytes:
        """The bytes of a new message with ``content``; it is kept, and sent again until somebody has it.

        ``message_id`` (default: drawn from sender, time and content) must be unique in the group; wrapping one that is
        in the outgoing buffer again gives the same bytes.  Raises UsageError for empty content or an unusable id,
        LimitExceeded for content over ``sync_content_bytes_max`` and a full outgoing buffer, NotFound.
        """
        raise NotImplementedError

    def wrap_ephemeral(self, channel: str, content: bytes, message_id: str | None = None) -> bytes:
        """The bytes of an ephemeral message: no order, no acknowledgement, kept by nobody."""
        raise NotImplementedError

    def wrap_sync(self, channel: str, now: float) -> bytes:
        """The bytes of a sync message: what we have, and what we miss."""
        raise NotImplementedError

    # receiving

    def unwrap(self, data: bytes, now: float) -> Unwrapped:
        """Take a message from the network.  What became ready comes as MessageReady events, in causal order.

        Raises ProtocolError(reason) for what is no message of our dialect or has an impossible clock, LimitExceeded for
        what is too large, NotFound for a channel we do not have.  Then nothing has changed.
        """
        raise NotImplementedError

    def mark_dependencies_met(self, channel: str, message_ids: Iterable[str], now: float) -> None:
        """The caller has these by other means: nothing waits for them any more.  Unknown ids are ignored."""
        raise NotImplementedError

    def set_hint(self, channel: str, message_id: str, hint: bytes) -> None:
        """Say where a message of the history can be found.  One that is not there is ignored."""
        raise NotImplementedError

    # what comes out

    def packets(self) -> list[Packet]:
        """What to broadcast, since the last call: sync messages, resends and repairs."""
        raise NotImplementedError

    def events(self) -> list[Event]:
        """What happened since the last call."""
        raise NotImplementedError

    def writes(self) -> list[Write]:
        """What to store, at most one write for each channel that changed since the last call.

        A channel has at most one write under way: until :meth:`saved` is told its outcome, its changes gather.
        """
        raise NotImplementedError

    def saved(
        self, channel: str, number: int, *, meta_error: str | None = None, history_error: str | None = None
    ) -> None:
        """How a write went.  What failed is part of the next one, made with the next operation of any kind."""
        raise NotImplementedError

    # time

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` wants to be called next; None: not at all."""
        raise NotImplementedError

    def handle_timer(self, now: float) -> None:
        """Time has passed: resends, sync messages, repairs, and what is given up.  Calling it early does nothing."""
        raise NotImplementedError

    # what can be seen

    def status(self, channel: str) -> ChannelStatus:
        """How the channel stands.  NotFound."""
        raise NotImplementedError

    def log(self, channel: str) -> list[Message]:
        """The history in the order all peers agree on: Lamport time, then message id.  Costs its length."""
        raise NotImplementedError

    def missing(self, channel: str) -> list[HistoryEntry]:
        """What is waited for, oldest request first.  Costs its length."""
        raise NotImplementedError
