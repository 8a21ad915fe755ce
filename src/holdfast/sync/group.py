"""A group, as an asyncio program uses it: one participant, one channel, one transport, one store."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..clock import RealClock
from ..errors import ClosedError, DeadlineExceeded, LimitExceeded, NotFound, ProtocolError, UsageError
from ..ids import new_token
from ..limits import LIMITS, Limits
from .events import EphemeralReceived, Event, MessageAcknowledged, MessageReady
from .group_values import GroupCounts, GroupMessage, GroupStatus, Tally
from .peer import SyncPeer
from .persistence.noop import NoPersistence
from .profiles import LAN, Profile, profile_named
from .saver import Saver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..clock import Clock
    from .model import Dialect, HistoryEntry, Message, Packet
    from .persistence.base import Persistence
    from .transports.base import Transport

_WINDOW_SHARE = 4
"""All participants together have at most this part of a history on its way: what drops out of it before somebody has
it could not be repaired any more."""
_WINDOW_MIN = 4
_NO_WINDOW = 2**62
_HEARD_S = 5.0
"""Only those heard this recently can acknowledge anything; without any there is nothing to wait for."""
_LOOK_S = 0.25
"""How many are heard is looked up this often: that costs their number."""
_TURN = 128
"""Messages taken from the network before the loop and the store get their turn."""

__all__ = ["Group", "GroupCounts", "GroupMessage", "GroupStatus"]


class Group:
    """A participant of the group ``name``: whatever is sent is delivered to all, once, in causal order.

    ::

        async with sync.Group("ops", me="alice", transport=Udp(multicast="239.192.7.3:7946")) as group:
            await group.send(b"hello")
            async for message in group:
                print(message.sender, message.text)

    ``me``: unique among its participants.  ``persistence``: where its state is kept (default: nowhere; a participant
    that comes back without its state should come back under another name).  ``profile``: timers and sizes, by name or
    as a :class:`~holdfast.sync.profiles.Profile`; ``dialect``: the wire; both the same for all of a group.
    ``on_event`` is called with each event of the protocol; see :mod:`holdfast.sync.events`.  What it raises is the end
    of the group, as any error that was not foreseen: every wait raises it.  ``hints``: RetrievalHintWanted is among
    them; answer with :meth:`set_hint`.

    Messages that are not read wait, ``group_inbox_messages_max`` of them; then nothing more is taken from the network
    until there is room, and the others send it again.  One task at a time may iterate; ending the iteration loses
    nothing.  Every wait is cancel-safe.
    """

    def __init__(
        self,
        name: str,
        *,
        me: str,
        transport: Transport,
        persistence: Persistence | None = None,
        profile: Profile | str = LAN,
        dialect: Dialect = "spec",
        on_event: Callable[[Event], None] | None = None,
        hints: bool = False,
        clock: Clock | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self.name = name
        self.me = me
        self._transport = transport
        self._clock = clock or RealClock()
        profile = profile_named(profile) if isinstance(profile, str) else profile
        self._history_max = profile.history_max
        self._limits = limits
        self._on_event = on_event
        self._peer = SyncPeer(
            me,
            dialect=dialect,
            profile=profile,
            wall_offset_s=self._clock.wall() - self._clock.now(),
            hints=hints,
            persistent=persistence is not None,
            limits=limits,
        )
        self._saver = Saver(self._peer, persistence or NoPersistence())
        self._arrived: deque[bytes] = deque()
        self._inbox: deque[GroupMessage] = deque()
        self._readable = asyncio.Event()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._closed = False
        self._tally = Tally(me)
        self._window = _WINDOW_MIN
        self._window_until = 0.0

    # life

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Load what is stored, and begin.

        Raises StorageError or CorruptionError if the state cannot be loaded, and what the transport raises.
        """
        if self._task is not None or self._closed:
            raise UsageError("a group is opened once")
        await self._saver.ensure(self.name, self._clock.now())
        await self._transport.open(self._receive)
        self._task = asyncio.create_task(self._run(), name=f"group-{self.name}")
        self._wake.set()

    async def close(self) -> None:
        """Leave: store what is not stored yet, and let go of the transport.  Nobody is told.  Idempotent.

        Messages that were delivered can still be read.
        """
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        try:
            if self._task is not None:
                await asyncio.wait([self._task])
                await self._saver.flush()
        finally:
            await self._transport.close()
            if self._timer is not None:
                self._timer.cancel()
            self._readable.set()
            self._settled.set()

    async def leave_for_good(self) -> None:
        """Close, and remove what is stored.  StorageError if it cannot be removed."""
        await self.close()
        await self._saver.remove(self.name)

    # sending

    async def send(self, content: bytes, *, id: str | None = None) -> str:
        """Send to all; the message's id.  It is stored, and on its way, when this returns.

        Waits while too many messages of ours are on their way; how many that is depends on the profile's
        ``history_max`` and on how many take part.  While nobody is heard it does not wait.

        ``id`` must be unique in the group (default: made up).  It is sent again until somebody has it; see
        :meth:`settle`.  Raises UsageError for empty content, LimitExceeded (group_content_bytes_max, or too many
        messages that nobody acknowledged), ClosedError.  Cancelled while it waits for room nothing is sent, and later
        it is.
        """
        await self._room()
        message_id = new_token(16) if id is None else id
        data = self._peer.wrap(self.name, content, self._clock.now(), message_id)
        self._tally.sent += 1
        messages = self._take_events()
        try:
            await self._saver.flush()
        finally:  # cancelled: it is sent, as it would be after a crash
            self._deliver(messages)
            self._put(data)
            self._wake.set()
        return message_id

    async def _room(self) -> None:
        """Wait until somebody has enough of what we sent."""
        self._check_open()
        while self._crowded():
            self._settled.clear()
            try:
                async with asyncio.timeout(_HEARD_S):
                    await self._settled.wait()
            except TimeoutError:
                pass  # are they still there?
            self._check_open()

    def _crowded(self) -> bool:
        outgoing = self._peer.unacknowledged(self.name)
        if outgoing < _WINDOW_MIN:
            return False
        now = self._clock.now()
        if now >= self._window_until:
            self._window_until = now + _LOOK_S
            peers = self._peer.status(self.name).peers
            heard = sum(peer.last_seen >= now - _HEARD_S for peer in peers)
            self._window = max(_WINDOW_MIN, self._history_max // (_WINDOW_SHARE * heard)) if heard else _NO_WINDOW
        return outgoing >= self._window

    def send_ephemeral(self, content: bytes) -> None:
        """Send to whoever listens now: not kept, not ordered, not sent again."""
        self._check_open()
        self._put(self._peer.wrap_ephemeral(self.name, content))

    async def settle(self, timeout_s: float | None = None) -> None:
        """Wait until somebody has every message we sent.  DeadlineExceeded after ``timeout_s``; cancel-safe."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._peer.unacknowledged(self.name):
                    self._check_open()
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            raise DeadlineExceeded(phase="settle", after_s=timeout_s or 0.0, safe_to_retry=True) from None

    # receiving

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> GroupMessage:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    async def receive(self) -> GroupMessage | None:
        """The next message of the others; None when the group was closed and all were read."""
        while not self._inbox:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                return None
            self._readable.clear()
            await self._readable.wait()
        return self._inbox.popleft()

    def receive_now(self) -> list[GroupMessage]:
        """All messages that wait."""
        messages = list(self._inbox)
        self._inbox.clear()
        return messages

    # what the program knows

    def set_hint(self, message_id: str, hint: bytes) -> None:
        """Say where a message of the history can be found; others are told with it.  LimitExceeded."""
        self._check_open()
        self._peer.set_hint(self.name, message_id, hint)
        self._wake.set()

    def mark_dependencies_met(self, message_ids: Iterable[str]) -> None:
        """The program has these messages by other means: nothing waits for them.  Unknown ids are ignored."""
        self._check_open()
        self._peer.mark_dependencies_met(self.name, message_ids, self._clock.now())
        self._wake.set()

    # what can be seen

    def status(self) -> GroupStatus:
        """How the group stands, in figures."""
        return GroupStatus(
            channel=self._peer.status(self.name),
            counts=self._tally.counts(),
            transport=self._transport.stats,
            waiting=len(self._inbox),
        )

    def lamport_of(self, message_id: str) -> int:
        """The Lamport time of a message that is kept; 0: there is none of that id."""
        return self._peer.lamport_of(self.name, message_id)

    def log(self) -> list[Message]:
        """The messages kept, ours too, in the order that all peers agree on.  Costs its length."""
        return self._peer.log(self.name)

    def missing(self) -> list[HistoryEntry]:
        """What others refer to and we wait for, oldest request first.  Costs its length."""
        return self._peer.missing(self.name)

    # from the transport

    def _receive(self, data: bytes) -> None:
        """Something arrived.  Looked at by our own task, so that a flood leaves room for everything else."""
        room = self._limits.group_inbox_messages_max - len(self._inbox) - len(self._arrived)
        if self._closed or room <= 0:
            self._tally.refused += 1
            return
        self._arrived.append(data)
        self._wake.set()

    # our own task

    async def _run(self) -> None:
        try:
            while not self._closed and self._failure is None:
                await self._wake.wait()
                self._wake.clear()
                await self._step()
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told instead of waiting for ever
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self._readable.set()
        self._settled.set()

    async def _step(self) -> None:
        """Take what arrived and what time brought; store it; then tell and answer."""
        now = self._clock.now()
        self._peer.wall_offset_s = self._clock.wall() - now
        if self._arrived and self._window == _NO_WINDOW:
            self._window_until = 0.0  # somebody is there
        for _ in range(min(_TURN, len(self._arrived))):
            self._unwrap(self._arrived.popleft(), now)
        self._peer.handle_timer(now)
        packets, messages = self._peer.packets(), self._take_events()
        await self._saver.flush()  # nobody is told of what a crash could take back
        self._deliver(messages)
        self._send_packets(packets)
        if self._arrived:
            self._wake.set()
        self._set_timer()

    def _unwrap(self, data: bytes, now: float) -> None:
        try:
            self._tally.received(self._peer.unwrap(data, now))
        except (ProtocolError, LimitExceeded, NotFound) as error:
            self._tally.rejected(error)

    def _take_events(self) -> list[GroupMessage]:
        messages = []
        for event in self._peer.events():
            self._tally.happened(event)
            match event:
                case MessageReady(_, message_id, sender_id, lamport, content, lost):
                    messages.append(GroupMessage(message_id, sender_id, content, lamport, lost))
                case EphemeralReceived(_, message_id, sender_id, content):
                    messages.append(GroupMessage(message_id, sender_id, content, 0, ephemeral=True))
                case MessageAcknowledged():
                    self._settled.set()
            if self._on_event is not None:
                self._call(self._on_event, event)
        return messages

    def _call(self, on_event: Callable[[Event], None], event: Event) -> None:
        try:
            on_event(event)
        except Exception as error:  # noqa: BLE001 - the program's; what it was about to be told is delivered all the same
            self._fail(error)

    def _deliver(self, messages: list[GroupMessage]) -> None:
        if messages:
            self._tally.delivered += len(messages)
            self._inbox.extend(messages)
            self._readable.set()

    def _send_packets(self, packets: list[Packet]) -> None:
        for packet in packets:
            with suppress(LimitExceeded):  # whoever sent it was told
                self._put(packet.data)

    def _put(self, data: bytes) -> None:
        if not self._closed:
            self._transport.send(data)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._peer.next_deadline()
        if deadline is not None:
            delay_s = max(0.0, deadline - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake.set)

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed or self._task is None:
            raise ClosedError("the group is not open")
