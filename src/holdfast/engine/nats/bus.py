"""The :class:`~holdfast.engine.base.Bus` on core NATS subjects."""

from __future__ import annotations

import asyncio

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from ...errors import ClosedError, DeadlineExceeded, LimitExceeded, Unavailable, UsageError
from ...limits import LIMITS, Limits
from ...subjects import check_pattern, check_subject
from ..base import BusMessage
from ..bus import INBOX, LocalSubscription, within_limit
from .link.connection import Link
from .link.inbox import Inbox, Sink, is_refused

ROUND_TRIP_S = 10.0
"""How long a subscription may take to be in force, reconnecting included."""
_SUBJECTS_MAX = 10_000


class NatsBus:
    """Implements :class:`~holdfast.engine.base.Bus` on the subjects ``PREFIX.bus.>`` of a deployment.

    Whoever has the same server or cluster, account and prefix is on the same bus.  A subscription is in force on the
    server we are connected to when :meth:`subscribe` returns; other servers of a cluster hear of it a moment later.

    While the connection is down nothing can be published (Unavailable), subscriptions stay, and what others publish
    meanwhile is missed: at most once.  What was on its way when it went down is lost, or comes when it is back.
    """

    def __init__(self, link: Link, *, limits: Limits = LIMITS) -> None:
        self._link = link
        self._client = link.nc
        self._root = link.subject("bus", "")
        self._limits = limits
        self._wires: dict[str, _Wire] = {}
        self._replies = Inbox(link.nc, self._root + INBOX)
        self._echoes = Inbox(link.nc, link.subject("echo"))
        self._subjects: dict[str, str] = {}
        """Those published to, which need not be looked at again, and what they are on the server."""
        self._stopped = False

    async def start(self) -> None:
        """Begin; before anything else."""
        await self._replies.open()
        await self._echoes.open()

    # publishing

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        """Send ``data`` to whoever is subscribed.  See :meth:`Bus.publish`.

        Unavailable while the server cannot be reached.  LimitExceeded(max_payload) if it takes no message that large.
        """
        self._check_running()
        wire = self._subjects.get(subject) or self._look_at(subject)
        if reply:
            check_subject(reply, "reply")
            reply = self._root + reply
        self._check_data(data)
        await self._send(wire, data, reply)

    def _look_at(self, subject: str) -> str:
        """The server's subject for one that was not used before."""
        check_subject(subject)
        if len(self._subjects) >= _SUBJECTS_MAX:
            self._subjects.clear()
        wire = self._subjects[subject] = self._root + subject
        return wire

    def _check_data(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise UsageError(f"data: must be bytes, not {type(data).__name__}", field="data")
        size, limit = len(data), self._limits.bus_message_bytes_max
        if size > limit:
            raise LimitExceeded(name="bus_message_bytes_max", limit=limit, value=size)
        limit = self._client.max_payload
        if size > limit:
            raise LimitExceeded(
                f"{size} bytes in one message, over max_payload = {limit} in the configuration of the NATS server",
                name="max_payload", limit=limit, value=size,
            )  # fmt: skip

    async def _send(self, subject: str, data: bytes, reply: str) -> None:
        if not self._client.is_connected:
            raise self._unavailable()
        try:
            await self._client.publish(subject, data, reply)
        except nats.errors.Error as error:
            raise self._unavailable() from error

    def _unavailable(self) -> Unavailable:
        return Unavailable(str(self._link.away()), self._link.url)

    # subscribing

    async def subscribe(self, pattern: str, *, messages_max: int = 0, bytes_max: int = 0) -> NatsSubscription:
        """Have what matches ``pattern`` from now on.  See :meth:`Bus.subscribe`.

        Unavailable if the server cannot be reached for long.
        """
        self._check_running()
        check_pattern(pattern)
        made = NatsSubscription(
            self,
            pattern,
            within_limit(messages_max, self._limits.bus_subscriber_messages_max, "messages_max"),
            within_limit(bytes_max, self._limits.bus_subscriber_bytes_max, "bytes_max"),
        )
        wire = self._wires.get(pattern)
        opened = wire is not None
        if wire is None:
            wire = self._wires[pattern] = _Wire(len(self._root))
        wire.users += 1
        try:
            if not opened:
                wire.subscription = await self._client.subscribe(self._root + pattern, future=Sink(wire.receive))
            await self._echo()
            self._check_running()
        except nats.errors.Error as error:
            await self._release(wire, pattern)
            raise self._unavailable() from error
        except BaseException:
            await self._release(wire, pattern)
            raise
        wire.subscriptions.append(made)
        return made

    async def _echo(self) -> None:
        """Send a message to ourselves: when it comes back, the server has seen all that went before it.

        A PING would not do: nats-py sends it past what waits to be sent.
        """
        try:
            async with asyncio.timeout(ROUND_TRIP_S):
                with self._echoes.expected() as (subject, answer):
                    await self._client.publish(subject)
                    await answer
        except TimeoutError:
            raise self._unavailable() from None

    async def unsubscribe(self, subscription: NatsSubscription) -> None:
        """Give ``subscription`` nothing any more; called once, by itself."""
        wire = self._wires.get(subscription.pattern)
        if wire is not None and subscription in wire.subscriptions:
            wire.subscriptions.remove(subscription)
            await self._release(wire, subscription.pattern)

    async def _release(self, wire: _Wire, pattern: str) -> None:
        wire.users -= 1
        if not wire.users:
            if self._wires.get(pattern) is wire:
                del self._wires[pattern]
            await wire.close()

    # requests

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> BusMessage:
        """Publish, and wait for the first reply.  See :meth:`Bus.request`."""
        self._check_running()
        check_subject(subject)
        self._check_data(data)
        try:
            async with asyncio.timeout(timeout_s):
                with self._replies.expected() as (inbox, answer):
                    await self._send(self._root + subject, data, inbox)
                    message = await answer
        except TimeoutError:
            raise DeadlineExceeded(phase="request", after_s=timeout_s) from None
        if is_refused(message):
            raise Unavailable(f"nobody is subscribed to {subject}", subject)
        return _message(message, len(self._root))

    # the end

    def _check_running(self) -> None:
        if self._stopped:
            raise ClosedError("the engine was stopped")

    def stop(self) -> None:
        """Refuse all from now on; subscribers get ClosedError after what waits for them.

        The server forgets the subscriptions when the connection closes.
        """
        self._stopped = True
        error = ClosedError("the engine was stopped")
        for wire in self._wires.values():
            for subscription in wire.subscriptions:
                subscription.end(error)
        self._replies.fail(error)
        self._echoes.fail(error)


class NatsSubscription(LocalSubscription):
    """Implements :class:`~holdfast.engine.base.BusSubscription`."""

    def __init__(self, bus: NatsBus, pattern: str, messages_max: int, bytes_max: int) -> None:
        super().__init__(pattern, messages_max, bytes_max, lambda _: None)
        self._bus = bus

    async def close(self) -> None:
        """Have no more; what waits is dropped.  Idempotent."""
        await super().close()
        await self._bus.unsubscribe(self)


class _Wire:
    """One subscription on the server, for all of ours to one pattern: what arrives, arrives for all at once."""

    def __init__(self, root_length: int) -> None:
        self.subscriptions: list[NatsSubscription] = []
        self.users = 0
        """Those, and those that wait to be in force."""
        self.subscription: Subscription | None = None
        self._root_length = root_length

    def receive(self, message: Msg) -> None:
        """Give it to all."""
        received = _message(message, self._root_length)
        for subscription in self.subscriptions:
            subscription.offer(received)

    async def close(self) -> None:
        """Have it no more; nothing happens if the connection is gone."""
        if self.subscription is not None:
            try:
                await self.subscription.unsubscribe()
            except nats.errors.Error:
                return


def _message(message: Msg, root_length: int) -> BusMessage:
    """``message`` as one of the bus; an answer that would have to leave the bus is not wanted."""
    subject, reply = message.subject, message.reply
    if reply:
        inside = reply[:root_length] == subject[:root_length]
        reply = reply[root_length:] if inside else ""
    return BusMessage(subject[root_length:], message.data, reply)
