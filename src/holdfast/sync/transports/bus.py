"""Groups over an engine's Bus: between the nodes of one cluster, or within one process."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from ...errors import HoldfastError, LimitExceeded
from ...limits import LIMITS, Limits
from .base import Receive, TransportStats
from .segments import Reassembler, segment

if TYPE_CHECKING:
    from ...engine.base import Bus, BusSubscription


class BusTransport:
    """Carries a group's messages as those of one ``subject`` of ``bus``; hears its own too, as buses do.

    What is larger than ``bus_message_bytes_max`` goes in parts, as over UDP.  A bus that fails loses messages, as
    networks do; what was not published is counted in ``stats.dropped``.
    """

    def __init__(self, bus: Bus, subject: str, *, limits: Limits = LIMITS) -> None:
        self._bus = bus
        self._subject = subject
        self._limits = limits
        self._reassembler = Reassembler(limits)
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._subscription: BusSubscription | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sent = self._received = self._dropped = 0
        self._parts_sent = self._parts_received = self._bytes_sent = self._bytes_received = 0

    async def open(self, receive: Receive) -> None:
        """Subscribe.  UsageError if the subject is none; ClosedError if the engine has stopped."""
        self._subscription = await self._bus.subscribe(self._subject)
        self._tasks = [
            asyncio.create_task(self._hear(self._subscription, receive), name=f"bus-hear-{self._subject}"),
            asyncio.create_task(self._speak(), name=f"bus-speak-{self._subject}"),
        ]

    def send(self, message: bytes) -> None:
        """Publish soon.  LimitExceeded for a message no peer would put together."""
        limits = self._limits
        if len(message) > limits.group_wire_bytes_max:
            raise LimitExceeded(name="group_wire_bytes_max", limit=limits.group_wire_bytes_max, value=len(message))
        if not self._tasks or self._queued_bytes + len(message) > limits.group_send_queue_bytes_max:
            self._dropped += 1
            return
        self._queue.append(message)
        self._queued_bytes += len(message)
        self._wake.set()

    async def close(self) -> None:
        """Unsubscribe.  Idempotent."""
        tasks, self._tasks = self._tasks, []
        subscription, self._subscription = self._subscription, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if subscription is not None:
            await subscription.close()

    @property
    def stats(self) -> TransportStats:
        lost = self._subscription.dropped if self._subscription is not None else 0
        return TransportStats(
            messages_sent=self._sent,
            messages_received=self._received,
            datagrams_sent=self._parts_sent,
            datagrams_received=self._parts_received,
            bytes_sent=self._bytes_sent,
            bytes_received=self._bytes_received,
            dropped=self._dropped + lost,
            malformed=self._reassembler.malformed,
        )

    async def _hear(self, subscription: BusSubscription, receive: Receive) -> None:
        try:
            while messages := await subscription.receive():
                now = asyncio.get_running_loop().time()
                for part in messages:
                    self._parts_received += 1
                    self._bytes_received += len(part.data)
                    message = self._reassembler.receive(None, part.data, now)
                    if message is not None:
                        self._received += 1
                        receive(message)
        except HoldfastError:
            pass  # the engine stops: silence, as on any network that went away

    async def _speak(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                message = self._queue.popleft()
                self._queued_bytes -= len(message)
                try:
                    for part in segment(message, self._limits.bus_message_bytes_max):
                        await self._bus.publish(self._subject, part)
                        self._parts_sent += 1
                        self._bytes_sent += len(part)
                except HoldfastError:
                    self._dropped += 1
                else:
                    self._sent += 1
