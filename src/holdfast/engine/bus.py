"""The :class:`~holdfast.engine.base.Bus` of engines that live in one process: publishing is handing over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from ..errors import ClosedError, DeadlineExceeded, LimitExceeded, Unavailable, UsageError
from ..ids import new_token
from ..limits import LIMITS, Limits
from ..subjects import PatternTrie, check_pattern, check_subject
from .base import BusMessage

_OVERHEAD_BYTES = 100
"""What a waiting message takes besides its data."""
INBOX = "_INBOX"
"""First word of the subjects that replies are sent to."""


class LocalBus:
    """Implements :class:`~holdfast.engine.base.Bus` within one process."""

    def __init__(self, *, limits: Limits = LIMITS, new_word: Callable[[], str] = new_token) -> None:
        self._limits = limits
        self._new_word = new_word
        self._patterns: PatternTrie[LocalSubscription] = PatternTrie()
        self._stopped = False

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        """Hand ``data`` to whoever is subscribed now.  See :meth:`Bus.publish`."""
        self._publish(subject, data, reply)

    def _publish(self, subject: str, data: bytes, reply: str) -> int:
        self._check_running()
        check_subject(subject)
        if reply:
            check_subject(reply, "reply")
        if not isinstance(data, bytes):
            raise UsageError(f"data: must be bytes, not {type(data).__name__}", field="data")
        if len(data) > self._limits.bus_message_bytes_max:
            limit = self._limits.bus_message_bytes_max
            raise LimitExceeded(name="bus_message_bytes_max", limit=limit, value=len(data))
        found = self._patterns.match(subject)
        message = BusMessage(subject, data, reply)
        for subscription in found:
            subscription.offer(message)
        return len(found)

    async def subscribe(self, pattern: str, *, messages_max: int = 0, bytes_max: int = 0) -> LocalSubscription:
        """Have what matches ``pattern`` from now on.  See :meth:`Bus.subscribe`."""
        self._check_running()
        check_pattern(pattern)
        subscription = LocalSubscription(
            pattern,
            within_limit(messages_max, self._limits.bus_subscriber_messages_max, "messages_max"),
            within_limit(bytes_max, self._limits.bus_subscriber_bytes_max, "bytes_max"),
            self._unsubscribe,
        )
        self._patterns.add(pattern, subscription)
        return subscription

    def _unsubscribe(self, subscription: LocalSubscription) -> None:
        self._patterns.remove(subscription.pattern, subscription)

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> BusMessage:
        """Publish, and wait for the first reply.  See :meth:`Bus.request`."""
        inbox = f"{INBOX}.{self._new_word()}"
        subscription = await self.subscribe(inbox)
        try:
            if not self._publish(subject, data, inbox):
                raise Unavailable(f"nobody is subscribed to {subject}", subject)
            async with asyncio.timeout(timeout_s):
                return await anext(subscription)
        except TimeoutError:
            raise DeadlineExceeded(phase="request", after_s=timeout_s) from None
        finally:
            await subscription.close()

    def _check_running(self) -> None:
        if self._stopped:
            raise ClosedError("the engine was stopped")

    def stop(self) -> None:
        """Refuse all from now on; subscribers get ClosedError after what waits for them."""
        self._stopped = True
        for subscription in list(self._patterns):
            subscription.end(ClosedError("the engine was stopped"))


class LocalSubscription:
    """Implements :class:`~holdfast.engine.base.BusSubscription`."""

    def __init__(
        self, pattern: str, messages_max: int, bytes_max: int, on_close: Callable[[LocalSubscription], None]
    ) -> None:
        self.pattern = pattern
        self.dropped = 0
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._on_close = on_close
        self._waiting: deque[BusMessage] = deque()
        self._bytes = 0
        self._hint: asyncio.Future[None] | None = None
        self._error: ClosedError | None = None
        self._closed = False

    def offer(self, message: BusMessage) -> None:
        """Take ``message``, and let the oldest go if there are too many."""
        self._waiting.append(message)
        self._bytes += len(message.data) + _OVERHEAD_BYTES
        while len(self._waiting) > self._messages_max or (self._bytes > self._bytes_max and len(self._waiting) > 1):
            self._bytes -= len(self._waiting.popleft().data) + _OVERHEAD_BYTES
            self.dropped += 1
        self._wake()

    async def receive(self) -> list[BusMessage]:
        """All that waits; see :meth:`BusSubscription.receive`."""
        while not self._waiting:
            if self._closed:
                return []
            if self._error is not None:
                raise self._error
            await self._moved()
        messages = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        return messages

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BusMessage:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            await self._moved()
        message = self._waiting.popleft()
        self._bytes -= len(message.data) + _OVERHEAD_BYTES
        return message

    async def close(self) -> None:
        """Have no more; what waits is dropped.  Idempotent."""
        if not self._closed:
            self._closed = True
            self._waiting.clear()
            self._on_close(self)
            self._wake()

    def end(self, error: ClosedError) -> None:
        """The bus is over."""
        self._error = error
        self._wake()

    async def _moved(self) -> None:
        if self._hint is not None:
            raise UsageError("another task is waiting on this subscription")
        self._hint = asyncio.get_running_loop().create_future()
        try:
            await self._hint
        finally:
            self._hint = None

    def _wake(self) -> None:
        if self._hint is not None and not self._hint.done():
            self._hint.set_result(None)


def within_limit(wanted: int, limit: int, name: str) -> int:
    """``wanted`` or ``limit``, whichever is less; 0 wants the limit."""
    if wanted < 0:
        raise UsageError(f"{name}: {wanted} is negative", field=name)
    return min(wanted, limit) if wanted else limit
