"""What a group gives to the program that uses it."""

from __future__ import annotations

from typing import NamedTuple

from .model import ChannelStatus
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
    """Packets not looked at because too many messages waited to be read; they come again."""
    save_failures: int = 0
    namesake: int = 0
    """Messages under our own name that we did not have: of an earlier life that kept no state, or of somebody else
    who has our name."""


class GroupStatus(NamedTuple):
    """How a group stands."""

    channel: ChannelStatus
    counts: GroupCounts
    transport: TransportStats
    waiting: int
    """Messages delivered and not read by the program yet."""
