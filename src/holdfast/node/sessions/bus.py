"""The bus as a provider: ``bus.<anything>``, feeds that whoever may publish publishes to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ...errors import ClosedError, HoldfastError, NotFound
from ...sessions.packing import pack
from ...sessions.providers.base import BaseProvider, OpenStream, Sender, Sink, Stream

if TYPE_CHECKING:
    from ...clock import Clock
    from ...engine.base import Bus, BusSubscription
    from ...sessions.model import Message

_logger = structlog.get_logger("holdfast.sessions")


class BusProvider(BaseProvider):
    """Implements :class:`~holdfast.sessions.providers.base.Provider`.

    On the engine's bus messages have the same subjects, packed, so that other nodes on it see them too.
    """

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    async def open(self, pattern: str, sink: Sink) -> Stream:
        """See :meth:`Provider.open`."""
        subscription = await self._bus.subscribe(pattern)
        task = asyncio.create_task(_forward(subscription, sink, pattern), name=f"bus-{pattern}")

        async def close() -> None:
            await subscription.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        return OpenStream(close)

    async def send(self, message: Message, sender: Sender) -> int:
        """Publish it."""
        if message.subject.count(".") < 1:
            raise NotFound(f"{message.subject}: a subject of the bus has a word after it", "subject", message.subject)
        stamped = message._replace(time=self._clock.wall(), position=-1, next_position=-1)
        await self._bus.publish(message.subject, pack(stamped))
        return -1


async def _forward(subscription: BusSubscription, sink: Sink, pattern: str) -> None:
    dropped = 0
    try:
        while batch := await subscription.receive():
            if subscription.dropped != dropped:
                sink.gap(pattern, f"{subscription.dropped - dropped} messages came faster than they could be taken")
                dropped = subscription.dropped
            sink.packed([(message.subject, message.data) for message in batch])
            await asyncio.sleep(0)
    except ClosedError:
        pass  # the engine is going
    except HoldfastError as error:
        _logger.warning("bus.subscription_failed", pattern=pattern, error=str(error))
        sink.failed(str(error))
