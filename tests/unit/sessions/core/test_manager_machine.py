"""The manager against a simple model, by random commands: providers fail, stores fail, clients come and go."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from holdfast.errors import StorageError, Unavailable
from holdfast.limits import LIMITS

_spec = importlib.util.spec_from_file_location("sessions_world", Path(__file__).parent.parent / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_module: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

PROVIDERS = ("p", "q")
PATTERNS = [f"{provider}.{word}" for provider in PROVIDERS for word in ("a", "b", "*", ">")]
IDLE_S = 60.0
LINGER_S = 7.0

patterns = st.lists(st.sampled_from(PATTERNS), unique=True, max_size=4)
sessions = st.integers(0, 3).map(str)


@dataclass
class Wish:
    """A set of patterns on its way."""

    ticket: Any
    patterns: list[str]


@dataclass
class Expected:
    """What the model knows of a session."""

    idle_after: float
    idle_since: float | None
    patterns: set[str] = field(default_factory=set)
    attached: bool = False
    attachments: int = 0


class ManagerMachine(RuleBasedStateMachine):
    """Commands in any order, completions in any order, with failures; time moves."""

    def __init__(self) -> None:
        super().__init__()
        self.world = _module.World(LIMITS._replace(session_linger_s=LINGER_S))
        self.model: dict[str, Expected] = {}
        self.births: dict[str, Wish] = {}
        self.idle_of: dict[str, float] = {}
        self.wishes: list[tuple[str, Wish]] = []
        self.number = 0
        for name in PROVIDERS:
            self.world.add_provider(name)

    def name(self, session: str) -> str:
        """The newest session in a slot."""
        return max((one for one in {*self.model, *self.births} if one.startswith(session)), default=f"{session}-0")

    # commands

    @rule(session=sessions, wanted=patterns, idle_after=st.sampled_from([IDLE_S, 0.0, -5.0]))
    def new(self, session: str, wanted: list[str], idle_after: float) -> None:
        self.number += 1
        name = f"{session}-{self.number:06}"
        ticket = self.world.new(*wanted, id=name, idle_after=idle_after)
        self.births[name] = Wish(ticket, wanted)
        self.idle_of[name] = idle_after
        self.learn()

    @rule(session=sessions, wanted=patterns)
    def configure(self, session: str, wanted: list[str]) -> None:
        name = self.name(session)
        ticket = self.world.configure(*wanted, id=name)
        if name not in self.model:
            assert ticket.error is not None
        else:
            self.wishes.append((name, Wish(ticket, wanted)))
        self.learn()

    @rule(session=sessions, steal=st.booleans())
    def attach(self, session: str, steal: bool) -> None:
        name = self.name(session)
        ticket = self.world.attach(name, steal=steal)
        known = self.model.get(name)
        may = known is not None and (steal or not known.attached)
        assert (ticket.error is None) == may
        if may:
            assert known is not None
            known.attached, known.idle_since = True, None
            known.attachments += 1

    @rule(session=sessions)
    def detach(self, session: str) -> None:
        name = self.name(session)
        ticket = self.world.detach(name)
        known = self.model.get(name)
        assert (ticket.error is None) == (known is not None and known.attached)
        self.note_detached(name)

    @rule(session=sessions, age=st.integers(0, 2))
    def cut(self, session: str, age: int) -> None:
        name = self.name(session)
        known = self.model.get(name)
        attachment = known.attachments - age if known is not None else 1
        self.world.do(self.world.core.receive_cut(name, attachment, None, self.world.now))
        if age == 0:
            self.note_detached(name)

    def note_detached(self, name: str) -> None:
        known = self.model.get(name)
        if known is not None and known.attached:
            known.attached, known.idle_since = False, self.world.now

    @rule(session=sessions)
    def close(self, session: str) -> None:
        name = self.name(session)
        ticket = self.world.close(name)
        assert (ticket.error is None) == (name in self.model)
        self.model.pop(name, None)
        self.learn()

    @rule(provider=st.sampled_from(PROVIDERS))
    def remove_provider(self, provider: str) -> None:
        running = provider in self.world.running
        ticket = self.world.remove_provider(provider)
        assert (ticket.error is None) == running
        if running:
            self.learn()
            for known in self.model.values():
                known.patterns = {one for one in known.patterns if not one.startswith(provider)}

    @rule(provider=st.sampled_from(PROVIDERS))
    def add_provider(self, provider: str) -> None:
        taken = provider in self.world.core.providers
        assert (self.world.add_provider(provider, settle=False).error is not None) == taken

    @rule(pattern=st.sampled_from(PATTERNS))
    def feed_fails(self, pattern: str) -> None:
        if pattern not in self.world.open:
            return
        self.world.do(self.world.core.receive_feed_failed(pattern, "gave up", self.world.now))
        self.learn()
        for known in self.model.values():
            known.patterns.discard(pattern)

    # what takes time

    @precondition(lambda self: self.world.starting)
    @rule(well=st.booleans())
    def provider_starts(self, well: bool) -> None:
        self.world.start_provider(None if well else Unavailable("not today"))

    @precondition(lambda self: self.world.stopping)
    @rule()
    def provider_stops(self) -> None:
        self.world.finish_stop()

    @precondition(lambda self: self.world.opening)
    @rule(data=st.data(), well=st.booleans())
    def feed_opens(self, data: st.DataObject, well: bool) -> None:
        pattern = data.draw(st.sampled_from(sorted(self.world.opening)))
        self.world.open_feed(pattern, None if well else Unavailable("not today"))
        self.learn()

    @precondition(lambda self: self.world.saving)
    @rule(well=st.booleans())
    def save_ends(self, well: bool) -> None:
        own = self.world.saving[0].ticket is not None  # what is stored beside must not fail here: it is not checked
        self.world.finish_save(None if well or not own else StorageError("disk full"))
        self.learn()

    @rule(seconds=st.sampled_from([0.0, 1.0, 6.0, 30.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)
        for name, known in list(self.model.items()):
            if known.idle_since is not None and known.idle_after > 0:
                assert (name in self.world.core.sessions) == (self.world.now < known.idle_since + known.idle_after)
                if name not in self.world.core.sessions:
                    del self.model[name]
        self.learn()

    def learn(self) -> None:
        """Take answers into the model."""
        for name, wish in list(self.births.items()):
            if wish.ticket.answered:
                del self.births[name]
                if wish.ticket.error is None:
                    idle_after = self.idle_of[name]
                    self.model[name] = Expected(idle_after, self.world.now, set(wish.patterns))
        for name, wish in self.wishes:
            if wish.ticket.answered and wish.ticket.error is None and name in self.model:
                self.model[name].patterns = set(wish.patterns)
        self.wishes = [(name, wish) for name, wish in self.wishes if not wish.ticket.answered]

    # what is always so

    @invariant()
    def sessions_are_those_of_the_model(self) -> None:
        core = self.world.core
        born = {name: one for name, one in core.sessions.items() if one.born}
        assert set(born) == set(self.model)
        for name, known in self.model.items():
            session = born[name]
            assert set(session.patterns) == known.patterns == self.world.bound[name]
            assert (session.attachment > 0) == known.attached == (name in self.world.clients)
            armed = not known.attached and known.idle_after > 0
            assert (session.expires_at is not None) == armed
            if armed:
                assert known.idle_since is not None
                assert session.expires_at == known.idle_since + known.idle_after
        assert core.attached == sum(known.attached for known in self.model.values())

    @invariant()
    def feeds_are_open_for_those_that_need_them(self) -> None:
        core, world = self.world.core, self.world
        for pattern in world.open:
            feed = core.feeds.get(pattern)
            assert feed is not None
            assert feed.state == "open"
            assert feed.sessions or feed.linger_until is not None, "nobody needs it and nobody closes it"
        for session in core.sessions.values():
            for pattern in session.patterns:
                feed = core.feeds.get(pattern)
                assert feed is not None
                assert session.id in feed.sessions
                assert feed.state == "open", "what is in force flows"

    @invariant()
    def nobody_is_forgotten(self) -> None:
        world = self.world
        if world.starting or world.stopping or world.opening or world.saving:
            return
        assert all(ticket.answered for ticket in world.tickets)
        for name, known in self.model.items():
            assert world.stored[name] == known.patterns, "what is stored is what is in force"
        assert set(world.stored) == set(self.model)


ManagerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestManager = ManagerMachine.TestCase
