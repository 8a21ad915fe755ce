"""Two connections back to back in memory, under a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from holdfast.clock import VirtualClock
from holdfast.limits import LIMITS, Limits
from holdfast.rpc.connection import Connection
from holdfast.rpc.events import Event
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.rpc.handshake.greeting import Authenticator
from holdfast.rpc.handshake.job_link import JobLinkKeeper, JobLinkNode
from holdfast.rpc.states import Role

SECRET = bytes(range(32))
JOB = "0123456789ab"


class Pair:
    """A client and a server, and the bytes under way between them."""

    def __init__(
        self,
        dialing: Authenticator,
        accepting: Authenticator,
        limits: Limits = LIMITS,
        client_features: Iterable[str] = (),
        server_features: Iterable[str] = (),
    ) -> None:
        self.clock = VirtualClock(100.0)
        now = self.clock.now()
        self.client = Connection(Role.CLIENT, dialing, now=now, limits=limits, features=client_features)
        self.server = Connection(Role.SERVER, accepting, now=now, limits=limits, features=server_features)
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []
        self.to_server: list[bytes] = []
        """Everything the client sent."""
        self.to_client: list[bytes] = []

    @property
    def now(self) -> float:
        return self.clock.now()

    def turn(self, max_bytes: int = 1 << 20) -> bool:
        """One exchange; whether anything moved."""
        up = b"".join(self.client.data_to_send(max_bytes, self.now))
        down = b"".join(self.server.data_to_send(max_bytes, self.now))
        if up:
            self.to_server.append(up)
            self.server_events += self.server.receive_bytes(up, self.now)
        if down:
            self.to_client.append(down)
            self.client_events += self.client.receive_bytes(down, self.now)
        return bool(up or down)

    def settle(self, max_bytes: int = 1 << 20) -> None:
        """Exchange until both are quiet."""
        while self.turn(max_bytes):
            pass

    def advance(self, seconds: float, *, exchange: bool = True) -> None:
        """Let time pass, with every timer at its moment."""
        until = self.now + seconds
        while True:
            deadlines = [core.next_deadline() for core in (self.client, self.server)]
            due = min((deadline for deadline in deadlines if deadline is not None), default=until)
            self.clock.advance_to(min(max(due, self.now), until))
            self.client_events += self.client.handle_timer(self.now)
            self.server_events += self.server.handle_timer(self.now)
            if exchange:
                self.settle()
            if self.now >= until and due >= until:
                return

    def take(self) -> tuple[list[Event], list[Event]]:
        """What happened at the client and at the server since the last take."""
        taken = self.client_events, self.server_events
        self.client_events, self.server_events = [], []
        return taken


MakePair = Callable[..., Pair]


def counter_random(start: int) -> Callable[[int], bytes]:
    """Bytes that are random enough for a test, and the same each time."""
    state = [start]

    def draw(size: int) -> bytes:
        state[0] += 1
        return bytes((state[0] + place) % 256 for place in range(size))

    return draw


def local_pair(limits: Limits = LIMITS) -> Pair:
    return Pair(LocalClient(), LocalOwner(1000, 1000), limits)


def link_pair(limits: Limits = LIMITS) -> Pair:
    return Pair(JobLinkNode(JOB, SECRET, counter_random(0)), JobLinkKeeper(JOB, SECRET, counter_random(100)), limits)


@pytest.fixture
def make_pair() -> MakePair:
    """Pairs in their handshake, by any authenticators."""
    return Pair


@pytest.fixture
def opened_pair() -> Callable[..., Pair]:
    """Pairs that are open, by uid, with limits of one's own."""

    def make(limits: Limits = LIMITS) -> Pair:
        pair = local_pair(limits)
        pair.settle()
        pair.take()
        return pair

    return make


@pytest.fixture
def pair(opened_pair: Callable[..., Pair]) -> Pair:
    """An open pair."""
    return opened_pair()


@pytest.fixture
def keeper_pair() -> Pair:
    """A node and a keeper that know the same secret, before their handshake."""
    return link_pair()
