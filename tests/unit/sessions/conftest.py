"""A world that does what the manager's core asks of it, when a test says so."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from holdfast.errors import HoldfastError
from holdfast.limits import LIMITS, Limits
from holdfast.sessions.access import Stranger, Trusted
from holdfast.sessions.effects import (
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
from holdfast.sessions.manager import Manager
from holdfast.sessions.model import PatternSpec
from holdfast.sessions.state import Session


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
