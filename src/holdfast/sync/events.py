"""What a :class:`~holdfast.sync.peer.SyncPeer` tells whoever drives it.  Readers ignore events they do not know."""

from __future__ import annotations

from typing import NamedTuple

from .model import HistoryEntry


class MessageReady(NamedTuple):
    """A message is delivered: it comes once, after all it depends on."""

    channel: str
    message_id: str
    sender_id: str
    lamport: int
    content: bytes
    lost: tuple[str, ...] = ()
    """What it depends on and was given up before it; empty: causal order holds."""


class EphemeralReceived(NamedTuple):
    """An ephemeral message: unordered, maybe repeated, never kept."""

    channel: str
    message_id: str
    sender_id: str
    content: bytes


class MessageAcknowledged(NamedTuple):
    """Somebody has a message of ours for certain, or most likely (seen in enough filters)."""

    channel: str
    message_id: str


class MessagePossiblyAcknowledged(NamedTuple):
    """A filter says that somebody has a message of ours; filters may err.  ``filters`` said so by now."""

    channel: str
    message_id: str
    filters: int


class MessageUnacknowledged(NamedTuple):
    """A message of ours was sent ``attempts`` times, and nobody acknowledged it: it is not sent again by itself.

    It stays in the history, and goes out whenever somebody asks for it.
    """

    channel: str
    message_id: str
    attempts: int


class DependenciesMissing(NamedTuple):
    """``message_id`` refers to messages we do not have.  Whoever can fetch them elsewhere may."""

    channel: str
    message_id: str
    missing: tuple[HistoryEntry, ...]


class MessagesLost(NamedTuple):
    """These dependencies were waited for long enough: what depends on them is delivered without them.

    They are delivered too, late, should they come after all.
    """

    channel: str
    message_ids: tuple[str, ...]


class MessagesIrretrievable(NamedTuple):
    """The window in which these could be repaired is over: they are not asked for any more."""

    channel: str
    message_ids: tuple[str, ...]


class RepairReady(NamedTuple):
    """Somebody asked for ``message_id``; it is among the packets to send."""

    channel: str
    message_id: str


class SyncDue(NamedTuple):
    """It is time for a sync message; only told where the peer does not send them itself (``auto_sync=False``)."""

    channel: str


class RetrievalHintWanted(NamedTuple):
    """Only with ``hints=True``: if the caller knows where ``message_id`` can be found, it may call ``set_hint``."""

    channel: str
    message_id: str


class SaveFailed(NamedTuple):
    """A write failed; it is tried again with the next operation.  Nothing in memory is affected."""

    channel: str
    error: str


Event = (
    MessageReady
    | EphemeralReceived
    | MessageAcknowledged
    | MessagePossiblyAcknowledged
    | MessageUnacknowledged
    | DependenciesMissing
    | MessagesLost
    | MessagesIrretrievable
    | RepairReady
    | SyncDue
    | RetrievalHintWanted
    | SaveFailed
)
