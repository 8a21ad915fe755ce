"""What a group gives to the program that uses it."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import HoldfastError, LimitExceeded
from .events import Event, MessageAcknowledged, MessageReady, MessagesLost, RepairReady, SaveFailed
from .model import ChannelStatus, Unwrapped
from .transports.base import TransportStats


class GroupMessage(NamedTuple):
    """A message of the group, in causal order: after all that its sender had when it was sent."""

    id: str
    sender: str
    content: bytes
    lamport: int
    """Its Lamport time; with the id, the order that all peers agree on.  0 for ephemeral messages."""
    lost: tuple[str, ...] = ()
    """Messages before it that were given up; empty: none."""
    ephemeral: bool = False
    """It was kept by nobody, and has no place in the order."""

    @property
    def text(self) -> str:
        """The content as UTF-8 text; what is none of it is replaced."""
        return self.content.decode(errors="replace")


class GroupCounts(NamedTuple):
    """What a group did since it was opened."""

    sent: int = 0
    delivered: int = 0
    duplicates: int = 0
    acknowledged: int = 0
    repaired: int = 0
    """Messages sent again because somebody asked for them."""
    lost: int = 0
    malformed: int = 0
    """Packets that were no messages of this group."""
    refused: int = 0
    """Packets not taken because too many messages waited, to be read or for others; they come again."""
    save_failures: int = 0
    namesake: int = 0
    """Messages under our own name that we did not have: of an earlier life that kept no state, or of somebody else
    who has our name."""


_ROOM = frozenset({"group_incoming_max", "group_incoming_bytes_max", "group_missing_max"})
"""Limits of ours that a packet met, which may be a good one."""


class Tally:
    """The counts of a group while it is open."""

    __slots__ = ("_me", *GroupCounts._fields)

    def __init__(self, me: str) -> None:
        self._me = me
        self.sent = self.delivered = self.duplicates = self.acknowledged = self.repaired = self.lost = 0
        self.malformed = self.refused = self.save_failures = self.namesake = 0

    def counts(self) -> GroupCounts:
        """As they stand."""
        return GroupCounts(*[getattr(self, name) for name in GroupCounts._fields])

    def received(self, unwrapped: Unwrapped) -> None:
        """A packet was taken."""
        self.duplicates += unwrapped.duplicate and unwrapped.sender_id != self._me

    def rejected(self, error: HoldfastError) -> None:
        """A packet was not."""
        if isinstance(error, LimitExceeded) and error.name in _ROOM:
            self.refused += 1
        else:
            self.malformed += 1

    def happened(self, event: Event) -> None:
        """The protocol tells something."""
        match event:
            case MessageReady(_, _, sender_id):
                self.namesake += sender_id == self._me
            case MessageAcknowledged():
                self.acknowledged += 1
            case RepairReady():
                self.repaired += 1
            case MessagesLost(_, message_ids):
                self.lost += len(message_ids)
            case SaveFailed():
                self.save_failures += 1


class GroupStatus(NamedTuple):
    """How a group stands."""

    channel: ChannelStatus
    counts: GroupCounts
    transport: TransportStats
    waiting: int
    """Messages delivered and not read by the program yet."""
