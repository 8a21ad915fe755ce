"""What a group asks of a transport: very little."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

Receive = Callable[[bytes], None]
"""Called with each message that arrives, whole; on the event loop, and not before ``open`` returned."""


class TransportStats(NamedTuple):
    """What a transport carried since it was opened.  Messages are whole; datagrams are what the network saw."""

    messages_sent: int = 0
    messages_received: int = 0
    datagrams_sent: int = 0
    datagrams_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    dropped: int = 0
    """Messages not sent because too much waited already, or because the network would not take them."""
    malformed: int = 0
    """Datagrams that were none of ours, or contradicted each other."""
    unverified: int = 0
    """Datagrams that were not sealed with our key, or that came before; only where there is a key."""


class Transport(Protocol):
    """Carries messages of one peer to all others of its group, or does not: it may lose, repeat, delay and reorder.

    It promises two things only: a message arrives whole or not at all, and no call waits for the network.
    """

    async def open(self, receive: Receive) -> None:
        """Begin to carry.  OSError, or UsageError naming the argument, if it cannot."""
        ...

    def send(self, message: bytes) -> None:
        """Send ``message`` to all others, if that works out.  Never waits and never raises for what the network does.

        LimitExceeded for a message that is larger than it could ever carry.
        """
        ...

    async def close(self) -> None:
        """Stop carrying; what waits to be sent is lost.  Idempotent."""
        ...

    @property
    def stats(self) -> TransportStats:
        """What was carried so far."""
        ...
