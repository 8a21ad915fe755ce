"""One peer of a simulated group: the real core, a disk, a place in the network, and a death now and then."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nextafter
from random import Random
from typing import TYPE_CHECKING, Literal

from ...sync.events import MessageAcknowledged, MessageReady, MessagesLost
from ...sync.model import PacketKind
from ...sync.peer import SyncPeer
from ...sync.profiles import Profile
from ...sync.transports.memory import MemoryNetwork
from ...sync.wire import Wire
from ..world import Timer, World
from .disk import SyncDisk
from .judge import Judge
from .memory import held_bytes

if TYPE_CHECKING:
    from ...sync.model import Dialect

CHANNEL = "group"
_HELD_BYTES = 128 * 1024
"""A participant may hold this for itself."""
_HELD_EACH_BYTES = 1_024
"""And this for each message, beyond its content."""
_HELD_EACH_REFERENCE_BYTES = 64
"""And this for each message that it may refer to."""
Doom = Literal["", "unsaved", "untold"]
"""How a peer dies: before the operation under way is stored, or after, before anybody was told of it."""
OnBroadcast = Callable[[PacketKind | Literal["content"], bytes], None]


class SimPeer:
    """The program around the core: stores first, then takes what was delivered and sends what is to be sent.

    After a death it comes back on a machine whose clocks begin anew, reads what it had stored, and looks through its
    log for messages that it was never given: storing and being given are two steps, and it died between them.
    """

    def __init__(
        self,
        number: int,
        world: World,
        network: MemoryNetwork,
        judge: Judge,
        *,
        profile: Profile,
        dialect: Dialect,
        disk: SyncDisk | None,
        wire: Wire,
        on_broadcast: OnBroadcast,
    ) -> None:
        self.number = number
        self.disk = disk
        self.doom: Doom = ""
        self.on_death: Callable[[SimPeer], None] = lambda _: None
        self.skew_s = 0.0
        self.duplicates = self.acknowledged = self.deaths = self.waiting_largest = 0
        self.held_largest = 0
        self._id = f"peer-{number}"
        self._world = world
        self._clock_now = world.clock.now
        self._random: Random = world.random
        self._judge = judge
        self._profile = profile
        self._dialect: Dialect = dialect
        self._wire = wire
        self._on_broadcast = on_broadcast
        self._transport = network.transport(str(number))
        self._peer: SyncPeer | None = None
        self._zero_s = 0.0
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self.on_delivered: Callable[[str], None] = lambda _: None

    @property
    def up(self) -> bool:
        """Whether it lives."""
        return self._peer is not None

    @property
    def at_rest(self) -> bool:
        """Somebody has acknowledged all it sent."""
        return self._peer is not None and self._peer.unacknowledged(CHANNEL) == 0

    # life

    def start(self) -> None:
        """Come (back) to life."""
        self._zero_s = self._world.now() - self._random.uniform(0.0, 1e6)
        peer = SyncPeer(
            self._id,
            dialect=self._dialect,
            profile=self._profile,
            wall_offset_s=0.0,
            persistent=self.disk is not None,
            wire=self._wire,
        )
        self._peer = peer
        self.set_skew(self.skew_s)
        peer.ensure(CHANNEL, self._now(), None if self.disk is None else self.disk.load())
        for message in peer.log(CHANNEL):
            if not self._judge.knows(self.number, message.message_id):
                self._delivered(message.message_id, message.lamport or 0, message.content)
        self._transport.connect(self._receive)
        self._timer = None
        self._after()

    def _die(self) -> None:
        self.deaths += 1
        self.doom = ""
        self._transport.disconnect()
        if self._timer is not None:
            self._timer.cancel()
        self._peer = None
        self.on_death(self)

    def set_skew(self, skew_s: float) -> None:
        """The wall clock is so far ahead, from now on."""
        self.skew_s = skew_s
        if self._peer is not None:
            self._peer.wall_offset_s = self._world.clock.wall() + skew_s - self._now()

    # what the program does

    def send(self, message_id: str, content: bytes) -> bool:
        """Send a message; False if the peer died before it was stored, so that it never was."""
        assert self._peer is not None
        data = self._peer.wrap(CHANNEL, content, self._now(), message_id)
        if self._doomed("unsaved"):
            return False
        self._judge.note_sent(self.number, message_id, content, self._world.now())
        if self._after():
            self._on_broadcast("content", data)
            self._transport.send(data)
        return True

    def check(self) -> None:
        """Nothing is held beyond the profile's bounds."""
        if self._peer is None:
            return
        status, profile = self._peer.status(CHANNEL), self._profile
        assert status.history <= profile.history_max, f"{status.history} messages in the history of {self._id}"
        assert status.repair_requests <= profile.repair_buffer, f"{status.repair_requests} repair requests"
        assert status.repair_responses <= profile.repair_buffer, f"{status.repair_responses} repair responses"
        assert status.incoming <= len(self._judge.sent), f"{status.incoming} messages wait at {self._id}"
        assert status.outgoing <= len(self._judge.sent), f"{status.outgoing} messages unacknowledged at {self._id}"
        self.waiting_largest = max(self.waiting_largest, status.incoming)

    def check_memory(self) -> None:
        """All that is held is in proportion to the messages it is held for."""
        peer = self._peer
        if peer is None:
            return
        status = peer.status(CHANNEL)
        messages = status.history + status.incoming + status.outgoing
        held = held_bytes(peer, self._wire)  # what that remembers is bounded, and everybody's
        each = _HELD_EACH_BYTES + _HELD_EACH_REFERENCE_BYTES * self._profile.causal_entries
        limit = _HELD_BYTES + messages * each + 2 * self._judge.content_bytes
        assert held <= limit, f"{self._id} holds {held} bytes for {messages} messages, more than {limit}"
        self.held_largest = max(self.held_largest, held)

    def check_end(self) -> int:
        """The log is in order and whole, and nothing waits any more; how long it is."""
        assert self._peer is not None
        self.check()
        log = self._peer.log(CHANNEL)
        self._judge.check_log(self.number, log, self._profile.history_max)
        status = self._peer.status(CHANNEL)
        assert status.state == "synced", f"{self._id} is {status.state}, though it has everything"
        assert status.incoming == 0, f"{status.incoming} messages wait at {self._id}, which has everything"
        assert status.missing == 0, f"{status.missing} messages are waited for at {self._id}, which has everything"
        assert status.repair_requests == 0, f"{self._id} asks for {status.repair_requests} messages, and has everything"
        return len(log)

    # from the network and the clock

    def _receive(self, data: bytes) -> None:
        assert self._peer is not None
        self.duplicates += self._peer.unwrap(data, self._clock_now() - self._zero_s).duplicate
        if not self.doom or not self._doomed("unsaved"):
            self._after()

    def _tick(self) -> None:
        self._timer = None
        if self._peer is not None:
            self._peer.handle_timer(self._now())
            if not self._doomed("unsaved"):
                self._after()

    def _after(self) -> bool:
        """What follows each operation: store, then tell and send; False if it died in between."""
        peer = self._peer
        assert peer is not None
        if self.disk is not None:
            self.disk.perform(peer)
            if self.doom and self._doomed("untold"):
                return False
        for event in peer.events():
            if isinstance(event, MessageReady):
                assert not event.lost, f"{event.message_id} was delivered without {event.lost}"
                self._delivered(event.message_id, event.lamport, event.content)
            elif isinstance(event, MessageAcknowledged):
                self.acknowledged += 1
            else:
                assert not isinstance(event, MessagesLost), f"{self._id} gave up {event.message_ids}"
        for packet in peer.packets():
            self._on_broadcast(packet.kind, packet.data)
            self._transport.send(packet.data)
        self._set_timer(peer.next_deadline())
        return True

    def _delivered(self, message_id: str, lamport: int, content: bytes) -> None:
        self._judge.note_delivered(self.number, message_id, lamport, content)
        self.on_delivered(message_id)

    def _doomed(self, doom: Doom) -> bool:
        """Die now, if so it is to be, and what is stored is not older than what others have been told."""
        if self.doom != doom or self.disk is None or self.disk.behind:
            return False
        self._die()
        return True

    def _set_timer(self, deadline: float | None) -> None:
        if deadline is None:
            return
        moment = deadline + self._zero_s
        while moment - self._zero_s < deadline:  # by rounding: it would be too early for ever
            moment = nextafter(moment, inf)
        if self._timer is not None:
            if self._timer_at <= moment:
                return
            self._timer.cancel()
        moment = max(self._clock_now(), moment)
        self._timer = self._world.at(moment, self._tick)
        self._timer_at = moment

    def _now(self) -> float:
        return self._clock_now() - self._zero_s
