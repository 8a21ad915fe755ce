"""Messages for whoever listens now, and what every engine promises of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol


class BusMessage(NamedTuple):
    """A message on the bus."""

    subject: str
    data: bytes
    reply: str = ""
    """Where an answer is to be published; empty: none is waited for."""


class BusSubscription(Protocol):
    """What matches a pattern, from when it was made; for one task at a time.  Also an async iterator of messages."""

    @property
    def dropped(self) -> int:
        """Messages that it lost because too many were waiting: always the oldest."""
        ...

    async def receive(self) -> list[BusMessage]:
        """All that waits, at least one message; [] once closed.  ClosedError when the engine stops.  Cancel-safe."""
        ...

    def __aiter__(self) -> AsyncIterator[BusMessage]: ...

    async def __anext__(self) -> BusMessage: ...

    async def close(self) -> None:
        """Have no more; what waits is dropped, and who waits in :meth:`receive` is let go.  Idempotent."""
        ...


class Bus(Protocol):
    """Messages for whoever listens: at most once, kept nowhere, what one caller publishes in its order.

    Subjects and patterns are those of :mod:`holdfast.subjects`.
    """

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        """Give ``data`` to those subscribed to a matching pattern now; that there are none is no error.

        Never waits for a subscriber.  Raises UsageError for a bad subject, LimitExceeded(bus_message_bytes_max).
        """
        ...

    async def subscribe(self, pattern: str, *, messages_max: int = 0, bytes_max: int = 0) -> BusSubscription:
        """Have what matches ``pattern``, in force on return; a message that matches twice is given to each.

        At most ``messages_max`` messages and ``bytes_max`` bytes wait (0: the limits bus_subscriber_messages_max and
        bus_subscriber_bytes_max, which are the most); beyond that the oldest are dropped, and counted.
        Raises UsageError for a bad pattern.
        """
        ...

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> BusMessage:
        """Publish with a ``reply`` subject of its own, and wait for the first message there.

        Raises Unavailable if nobody is subscribed, DeadlineExceeded(phase="request").  Cancel-safe.
        """
        ...
