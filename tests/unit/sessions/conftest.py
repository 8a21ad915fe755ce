"""A world that does what the manager's core asks of it, when a test says so."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Self

import pytest

from holdfast.clock import VirtualClock
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import DisconnectedError, HoldfastError, NotFound
from holdfast.limits import LIMITS, Limits
from holdfast.rpc.failures import decode_failure
from holdfast.sessions.access import Stranger, Trusted
from holdfast.sessions.actor import Sessions
from holdfast.sessions.core.effects import (
    Answer,
    BeginDelivery,
    Bind,
    CloseFeed,
    Dispose,
    Effect,
    EndDelivery,
    Forget,
    Note,
    OpenFeed,
    Plan,
    Save,
    StartProvider,
    StopProvider,
    Unbind,
)
from holdfast.sessions.core.manager import Manager
from holdfast.sessions.core.state import Session
from holdfast.sessions.delivery.outflow import Carrier
from holdfast.sessions.model import Message, PatternSpec, SubjectInfo
from holdfast.sessions.packing import Unpacker
from holdfast.sessions.providers.base import BaseProvider, OpenStream, Page, Sender, Sink, Stream
from holdfast.streams.reader import Chunk, Failed, Reader
from holdfast.subjects import matches


class Ticket:
    """Somebody who waits for an answer."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.answered = 0
        self.result: Any = None
        self.error: HoldfastError | None = None


class World:
    """The shell, by hand.  It checks that what it is asked for makes sense."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.core = Manager(limits)
        self.now = 1_000.0
        self.running: set[str] = set()
        self.starting: list[str] = []
        self.stopping: list[str] = []
        self.opening: list[str] = []
        self.open: set[str] = set()
        self.saving: list[Save] = []
        self.stored: dict[str, set[str]] = {}
        self.bound: defaultdict[str, set[str]] = defaultdict(set)
        self.clients: dict[str, Any] = {}
        self.ended: list[tuple[str, HoldfastError | None]] = []
        self.told: list[tuple[str, tuple[str, ...], str]] = []
        self.notes: list[Note] = []
        self.tickets: list[Ticket] = []

    def ticket(self, what: str) -> Ticket:
        ticket = Ticket(what)
        self.tickets.append(ticket)
        return ticket

    def do(self, effects: list[Effect]) -> None:
        for effect in effects:
            getattr(self, f"_{type(effect).__name__.lower()}")(effect)

    def _startprovider(self, effect: StartProvider) -> None:
        self.starting.append(effect.name)

    def _stopprovider(self, effect: StopProvider) -> None:
        self.running.discard(effect.name)
        self.stopping.append(effect.name)
        for pattern in effect.feeds:
            self.open.discard(pattern)
            if pattern in self.opening:
                self.opening.remove(pattern)

    def _openfeed(self, effect: OpenFeed) -> None:
        assert effect.pattern not in self.open, "opened twice"
        assert effect.pattern not in self.opening, "opened twice"
        self.opening.append(effect.pattern)

    def _closefeed(self, effect: CloseFeed) -> None:
        assert effect.pattern in self.open, "closed, and was not open"
        self.open.remove(effect.pattern)

    def _save(self, effect: Save) -> None:
        self.saving.append(effect)

    def _forget(self, effect: Forget) -> None:
        self.saving = [save for save in self.saving if save.session is not effect.session]
        self.stored.pop(effect.session.id, None)
        if effect.ticket is not None:
            self._answer(Answer(effect.ticket))

    def _bind(self, effect: Bind) -> None:
        bound = self.bound[effect.session.id]
        for spec in effect.added:
            assert spec.pattern not in bound
            bound.add(spec.pattern)
        assert {spec.pattern for spec in effect.changed} <= bound
        assert set(effect.removed) <= bound
        bound -= set(effect.removed)

    def _unbind(self, effect: Unbind) -> None:
        assert set(effect.patterns) <= self.bound[effect.session.id]
        self.bound[effect.session.id] -= set(effect.patterns)
        self.told.append((effect.session.id, tuple(effect.patterns), effect.reason))

    def _begindelivery(self, effect: BeginDelivery) -> None:
        assert effect.session.id not in self.clients, "two clients"
        self.clients[effect.session.id] = effect.carrier

    def _enddelivery(self, effect: EndDelivery) -> None:
        del self.clients[effect.session.id]
        self.ended.append((effect.session.id, effect.error))

    def _dispose(self, effect: Dispose) -> None:
        assert effect.session.id not in self.clients
        self.bound.pop(effect.session.id, None)

    def _plan(self, effect: Plan) -> None:
        self._answer(Answer(effect.ticket, effect.change))

    def _answer(self, effect: Answer) -> None:
        ticket = effect.ticket
        if ticket is None:
            return
        assert isinstance(ticket, Ticket)
        ticket.answered += 1
        assert ticket.answered == 1, f"{ticket.what} was answered twice"
        ticket.result, ticket.error = effect.result, effect.error

    def _note(self, effect: Note) -> None:
        self.notes.append(effect)

    # what takes time comes about

    def start_provider(self, error: HoldfastError | None = None) -> None:
        name = self.starting.pop(0)
        if error is None:
            self.running.add(name)
        self.do(self.core.receive_provider_started(name, error))

    def finish_stop(self) -> None:
        self.do(self.core.receive_provider_stopped(self.stopping.pop(0)))

    def open_feed(self, pattern: str | None = None, error: HoldfastError | None = None) -> None:
        pattern = pattern or self.opening[0]
        self.opening.remove(pattern)
        if error is None:
            self.open.add(pattern)
        self.do(self.core.receive_feed_opened(pattern, error, self.now))

    def finish_save(self, error: HoldfastError | None = None) -> None:
        save = self.saving.pop(0)
        if error is None:
            self.stored[save.session.id] = {spec.pattern for spec in save.patterns}
        if save.ticket is not None:
            self.do(self.core.receive_session_saved(save.session, save.ticket, error, self.now))

    def settle(self) -> None:
        while self.starting or self.opening or self.saving or self.stopping:
            if self.starting:
                self.start_provider()
            elif self.opening:
                self.open_feed()
            elif self.saving:
                self.finish_save()
            else:
                self.finish_stop()

    def advance(self, seconds: float) -> None:
        """Let time pass, and every timer in it be handled when it is due."""
        until = self.now + seconds
        while (deadline := self.core.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.do(self.core.handle_timer(self.now))
        self.now = until

    # commands

    def add_provider(self, name: str, *, built_in: bool = False, settle: bool = True) -> Ticket:
        ticket = self.ticket(f"add {name}")
        self.do(self.core.receive_add_provider(ticket, name, built_in=built_in))
        if settle:
            self.settle()
        return ticket

    def new(self, *patterns: str, id: str = "s", idle_after: float = 60.0, owner: str = "ann") -> Ticket:
        ticket = self.ticket(f"new {id}")
        self.do(
            self.core.receive_new_session(
                ticket, id, Stranger(owner), idle_after, specs(*patterns), self.now, 2_000.0 + self.now
            )
        )
        return ticket

    def attach(self, id: str = "s", *, client: str = "c", steal: bool = False, owner: str = "ann") -> Ticket:
        ticket = self.ticket(f"attach {id}")
        self.do(self.core.receive_attach(ticket, Stranger(owner), id, client, client, steal=steal))
        return ticket

    def detach(self, id: str = "s", attachment: int = 0, *, owner: str = "ann") -> Ticket:
        ticket = self.ticket(f"detach {id}")
        self.do(self.core.receive_detach(ticket, Stranger(owner), id, attachment, self.now))
        return ticket

    def configure(self, *patterns: str | PatternSpec, id: str = "s", owner: str = "ann", **options: Any) -> Ticket:
        ticket = self.ticket(f"configure {id}")
        self.do(self.core.receive_configure(ticket, Stranger(owner), id, specs(*patterns), self.now, **options))
        return ticket

    def close(self, id: str = "s", *, owner: str = "ann", reason: str = "") -> Ticket:
        ticket = self.ticket(f"close {id}")
        self.do(self.core.receive_close(ticket, Stranger(owner), id, reason, self.now))
        return ticket

    def remove_provider(self, name: str, reason: str = "") -> Ticket:
        ticket = self.ticket(f"remove {name}")
        self.do(self.core.receive_remove_provider(ticket, name, reason, self.now))
        return ticket

    def session(self, id: str = "s") -> Session:
        return self.core.find(Trusted("root"), id)


def specs(*patterns: str | PatternSpec) -> list[PatternSpec]:
    return [one if isinstance(one, PatternSpec) else PatternSpec(pattern=one) for one in patterns]


@pytest.fixture
def world() -> World:
    made = World(LIMITS._replace(session_linger_s=5.0))
    made.add_provider("p")
    made.add_provider("q")
    return made


@pytest.fixture
def world_type() -> type[World]:
    return World


# a whole node's sessions over an engine in memory, without sockets


class Shelf(BaseProvider):
    """A provider under a test's thumb: durable subjects with lists of payloads, and feeds."""

    def __init__(self) -> None:
        self.logs: dict[str, list[bytes]] = {}
        self.trimmed: dict[str, int] = {}
        self.over: set[str] = set()
        self.sinks: dict[str, Sink] = {}
        self.reads = 0
        self.fails: dict[str, Exception] = {}
        """Why opening a pattern, or ``start``, fails."""
        self.state: dict[str, bytes] = {}
        """What snapshots hold."""
        self.held: asyncio.Event | None = None
        """Opening waits for it."""
        self.held_start: asyncio.Event | None = None
        """So does ``start``."""
        self.stopped = 0

    async def start(self) -> None:
        if self.held_start is not None:
            await self.held_start.wait()
        if "start" in self.fails:
            raise self.fails["start"]

    async def stop(self) -> None:
        assert not self.sinks, "streams are closed before"
        self.stopped += 1

    def durable(self, pattern: str) -> bool:
        return ".log" in pattern

    def _info(self, subject: str) -> SubjectInfo:
        log = self.logs[subject]
        oldest = self.trimmed.get(subject, 0)
        return SubjectInfo(
            subject=subject,
            durable=True,
            oldest=oldest,
            tail=len(log),
            stored_bytes=sum(map(len, log[oldest:])),
            ended=subject in self.over,
        )

    async def subjects(self, pattern: str) -> Sequence[SubjectInfo]:
        return [self._info(subject) for subject in sorted(self.logs) if matches(pattern, subject)]

    async def open(self, pattern: str, sink: Sink) -> Stream:
        if self.held is not None:
            await self.held.wait()
        if pattern in self.fails:
            raise self.fails[pattern]
        assert pattern not in self.sinks, "opened twice"
        self.sinks[pattern] = sink
        for info in await self.subjects(pattern):
            sink.found(info)

        async def close() -> None:
            del self.sinks[pattern]

        return OpenStream(close)

    async def read(self, subject: str, position: int, max_bytes: int) -> Page:
        self.reads += 1
        await asyncio.sleep(0)
        if subject not in self.logs:
            raise NotFound(kind="subject", name=subject)
        log, oldest = self.logs[subject], self.trimmed.get(subject, 0)
        messages = []
        if 0 <= position < oldest:
            messages.append(Message(subject, position=position, next_position=oldest, kind="gap"))
        place = max(position, oldest)
        while place < len(log) and (max_bytes > 0 or not messages):
            messages.append(Message(subject, log[place], position=place, next_position=place + 1))
            max_bytes -= len(log[place])
            place += 1
        return Page(messages, place, ended=subject in self.over and place == len(log))

    async def snapshot(self, subject: str) -> Sequence[Message]:
        await asyncio.sleep(0)
        return [Message(one, value) for one, value in self.state.items() if matches(subject, one)]

    async def send(self, message: Message, sender: Sender) -> int:
        self.emit(message.subject, message.payload)
        return -1

    # what a test does

    def append(self, subject: str, *payloads: bytes, end: bool = False) -> None:
        """More of a durable subject, which may be new."""
        new = subject not in self.logs
        self.logs.setdefault(subject, []).extend(payloads)
        if end:
            self.over.add(subject)
        for pattern, sink in list(self.sinks.items()):
            if matches(pattern, subject):
                if new:
                    sink.found(self._info(subject))
                else:
                    sink.moved(subject, len(self.logs[subject]))
                if end:
                    sink.ended(subject)

    def drop(self, subject: str) -> None:
        """A durable subject is removed."""
        del self.logs[subject]
        self.trimmed.pop(subject, None)
        self.over.discard(subject)
        for pattern, sink in list(self.sinks.items()):
            if matches(pattern, subject):
                sink.gone(subject, "dropped")

    def emit(self, subject: str, *payloads: bytes) -> None:
        """Messages of a feed."""
        for pattern, sink in list(self.sinks.items()):
            if matches(pattern, subject):
                sink.messages([Message(subject, payload) for payload in payloads])


class Client:
    """The other end of an attached session's stream: a real reader, without a connection between."""

    def __init__(self, *, window_bytes: int = 1 << 20, acknowledges: bool = True) -> None:
        self.acknowledges = acknowledges
        self.stream_id = 7
        self.cut = False
        self.writer: Any = None
        self.given = 0
        """Messages and reports received."""
        self._moved: Any = None
        self._reader = Reader(self.stream_id, window_bytes=window_bytes)
        self._unpacker = Unpacker()
        self._frozen = False

    # the connection, as sessions see it

    def attach_sender(self, sender: Any, on_moved: Any = None) -> None:
        if self.cut:
            raise DisconnectedError("gone")
        self.writer, self._moved = sender, on_moved
        self._reader.start()

    def sender_ready(self, stream_id: int) -> None:
        assert stream_id == self.stream_id

    # what a test does

    @property
    def carrier(self) -> Carrier:
        return Carrier(self, self.stream_id, self.acknowledges)

    def hang_up(self) -> None:
        """The link is cut."""
        self.cut = True
        self.writer.disconnect()
        self._moved()

    async def take(self, count: int = 0) -> list[Message]:
        """All that comes without waiting for anything new; at least ``count``."""
        got: list[Message] = []
        idle = 0
        while idle < 30 or len(got) < count:
            before = len(got)
            got += self._turn()
            idle = 0 if len(got) > before else idle + 1
            assert idle < 3_000, f"only {len(got)} of {count} came: {got[:5]}"
            await asyncio.sleep(0)
        self.given += len(got)
        return got

    error: Any = None
    """What the stream failed with."""
    ended = False

    def _turn(self) -> list[Message]:
        if self.writer is None or self.cut:
            return []
        ack = self._reader.next_ack()
        if ack is not None and self.writer.stream_id is not None:
            self.writer.receive_ack(ack, 0.0)
            self._moved()
        while self.writer.stream_id is not None and (packet := self.writer.next_packet(0.0)) is not None:
            self._reader.receive_data(packet._replace(payload=bytes(packet.payload)), 0.0)
        got: list[Message] = []
        while not self._reader.finished and (item := self._reader.read()) is not None:
            if isinstance(item, Chunk):
                got += self._unpacker.take(bytes(item.data))
            elif isinstance(item, Failed):
                self.error = decode_failure(item.error)
            else:
                self.ended = True
        return got


class House:
    """A node's sessions, and nothing else of a node; can be taken down and put up again on the same engine."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.engine = MemoryEngine()
        self.clock = VirtualClock(1_000.0)
        self.limits = limits
        self.shelf = Shelf()
        self.sessions: Sessions
        self._number = 0

    def _new_id(self) -> str:
        self._number += 1
        return f"id-{self._number}"

    async def __aenter__(self) -> Self:
        await self.engine.start()
        await self.up()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.down()
        await self.engine.stop()

    async def up(self) -> None:
        self.sessions = Sessions(
            self.engine,
            clock=self.clock,
            limits=self.limits,
            restore=lambda grant: Stranger(str(grant["subject"])),
            new_id=self._new_id,
        )
        await self.sessions.open({"shelf": self.shelf})

    async def down(self) -> None:
        await self.sessions.close()

    async def attach(self, caller: Any, session_id: str, client: Client | None = None, **options: Any) -> Client:
        client = client or Client()
        found = await self.sessions.attach(
            caller, session_id, client.carrier, client=options.get("name", "c"), steal=options.get("steal", False)
        )
        assert found.attachment
        return client


@pytest.fixture
def ann() -> Stranger:
    return Stranger("ann")


@pytest.fixture
def house_type() -> type[House]:
    return House


@pytest.fixture
def client_type() -> type[Client]:
    return Client
