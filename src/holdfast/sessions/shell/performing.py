"""What the manager's core decided, done: sessions stored, bound and given their messages, answers given.

``feeding`` does it for providers and feeds, ``planning`` finds out what a change would replay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from ...errors import DisconnectedError, HoldfastError, SessionClosed, UsageError
from ...subjects import PatternTrie
from ..core.effects import (
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
from ..delivery.outlet import Outlet
from ..delivery.reading import Position
from ..model import Cursor, SessionInfo, SourceReplay
from ..patterns import provider_of
from .feeding import Feeder
from .guarding import outcome, quietly
from .planning import plan_replay, with_replay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...clock import Clock
    from ...limits import Limits
    from ..core.manager import Manager
    from ..core.state import Session
    from ..router import LiveFeed
    from ..store import SessionStore
    from .mailbox import Mailbox

_logger = structlog.get_logger("holdfast.sessions")


class Performer:
    """The hands of the actor; called by its one task only.

    Implements :class:`~holdfast.sessions.delivery.surroundings.Surroundings`.
    """

    def __init__(self, core: Manager, mailbox: Mailbox, store: SessionStore, *, clock: Clock, limits: Limits) -> None:
        self.limits = limits
        self.wall = clock.wall
        self.spawn = mailbox.spawn
        self.outlets: dict[str, Outlet] = {}
        self._core = core
        self._post = mailbox.post
        self._store = store
        self._feeder = feeder = Feeder(core, mailbox, clock.wall)
        self.providers = feeder.providers
        self._delivered = 0
        self._lost = 0
        self._acts: dict[type, Callable[[Any], None]] = {
            StartProvider: feeder.start_provider,
            StopProvider: feeder.stop_provider,
            OpenFeed: feeder.open_feed,
            CloseFeed: feeder.close_feed,
            Save: self._save,
            Forget: self._forget,
            Bind: self._bind,
            Unbind: self._unbind,
            BeginDelivery: self._begin,
            EndDelivery: self._end,
            Dispose: self._dispose,
            Plan: self._plan,
            Answer: self._answer,
            Note: self._note,
        }

    def perform(self, effect: Effect) -> None:
        """Do it, or begin to."""
        self._acts[type(effect)](effect)

    async def close(self) -> None:
        """Let go of every feed and provider."""
        for outlet in self.outlets.values():
            outlet.end(DisconnectedError("the node is going"))
        await self._feeder.close()

    # sessions

    def outlet(self, session: Session) -> Outlet:
        """The way out of ``session``."""
        outlet = self.outlets.get(session.id)
        if outlet is None:
            outlet = self.outlets[session.id] = Outlet(session.id, session.caller, self)
        return outlet

    def recover(self, session: Session, cursors: dict[str, Position]) -> None:
        """A session of before the node's restart."""
        outlet = self.outlet(session)
        bound = PatternTrie[None]()
        for pattern in session.patterns:
            bound.add(pattern, None)
        outlet.cursors = {subject: place for subject, place in cursors.items() if bound.match(subject)}
        left = [subject for subject in cursors if subject not in outlet.cursors]
        if left:  # of patterns that were taken away just before
            self.forget_cursors(session.id, left)
        missed = [pattern for pattern in session.patterns if not self._feeder.keeps(pattern)]
        if missed:
            some = ", ".join(missed[:3]) + (", ..." if len(missed) > 3 else "")
            outlet.recovered_why = f"the node restarted, and nobody keeps the messages of {some} meanwhile"

    def _save(self, effect: Save) -> None:
        self.spawn(self._saving(effect), f"session-save-{effect.session.id}")

    async def _saving(self, effect: Save) -> None:
        session, ticket = effect.session, effect.ticket
        error = await outcome(self._store_session(effect), f"session {session.id}")
        if ticket is not None:
            self._post(lambda now: self._core.receive_session_saved(session, ticket, error, now))
        elif error is not None:
            _logger.error("session.not_stored", session=session.id, error=str(error))

    async def _store_session(self, effect: Save) -> None:
        session = effect.session
        cursors: dict[str, Position] = {}
        for spec in effect.added:
            if spec.start == "now":
                for info in await self.providers[provider_of(spec.pattern)].subjects(spec.pattern):
                    if info.durable:
                        cursors[info.subject] = Position(info.tail, info.ended)
        if session.id not in self._core.sessions:
            raise SessionClosed(f"session {session.id} is closed")
        await self._store.save(session, effect.patterns, effect.version, cursors)
        if cursors:
            outlet = self.outlet(session)
            outlet.cursors = {**cursors, **outlet.cursors}

    def _forget(self, effect: Forget) -> None:
        outlet = self.outlets.get(effect.session.id)
        subjects = list(outlet.cursors) if outlet is not None else []
        self.spawn(self._forgetting(effect, subjects), f"session-forget-{effect.session.id}")

    async def _forgetting(self, effect: Forget, subjects: Sequence[str]) -> None:
        error = await outcome(self._store.forget(effect.session.id, subjects), f"session {effect.session.id}")
        if effect.ticket is not None:
            self._answer(Answer(effect.ticket, error=error))

    def _bind(self, effect: Bind) -> None:
        outlet = self.outlet(effect.session)
        for spec in effect.added:
            feed = self._feeder.feed(spec.pattern)
            hold = spec.snapshot and feed.provider is not None and not feed.provider.durable(spec.pattern)
            outlet.bind(spec, feed, hold=hold)
            if hold:
                self.spawn(self._snapshot(outlet, feed), f"snapshot-{spec.pattern}")
        for spec in effect.changed:
            outlet.change(spec)
        for pattern in effect.removed:
            outlet.unbind(pattern)

    async def _snapshot(self, outlet: Outlet, feed: LiveFeed) -> None:
        snapshot: Sequence[Any] = []
        try:
            if feed.provider is not None:
                snapshot = await feed.provider.snapshot(feed.pattern)
        except Exception as error:  # noqa: BLE001 - a provider may be anybody's; live messages go on
            _logger.warning("session.no_snapshot", pattern=feed.pattern, error=str(error))
        finally:
            outlet.give_snapshot(feed.pattern, snapshot)

    def _unbind(self, effect: Unbind) -> None:
        outlet = self.outlet(effect.session)
        for pattern in effect.patterns:
            outlet.lose(pattern, effect.reason)

    def _begin(self, effect: BeginDelivery) -> None:
        carrier, caller = effect.carrier
        self.outlet(effect.session).attach(carrier, effect.attachment, caller)

    def _end(self, effect: EndDelivery) -> None:
        self.outlet(effect.session).end(effect.error)

    def _dispose(self, effect: Dispose) -> None:
        outlet = self.outlets.pop(effect.session.id, None)
        if outlet is not None:
            self._delivered += outlet.given
            self._lost += outlet.buffered[2]
            outlet.dispose()

    async def acknowledge(self, session: Session, count: int) -> None:
        """See :meth:`SessionsApi.ack`; the session has this client."""
        outlet = self.outlets[session.id]
        if count > outlet.attached_given:
            raise UsageError(f"count: {count} is more than the {outlet.attached_given} that were given", field="count")
        outlet.acknowledge(count)
        await self._store_cursors(session.id, outlet)

    async def resume(self, session: Session, places: Mapping[str, tuple[int, bool]]) -> None:
        """See :meth:`Sessions.resume`."""
        wanted = {subject: Position(*place) for subject, place in places.items()}
        outlet = self.outlets[session.id]
        outlet.resume(wanted)
        await self._store_cursors(session.id, outlet)

    async def _store_cursors(self, session_id: str, outlet: Outlet) -> None:
        """Those that moved, with those that could not be stored when they did: who asks again is not told it was."""
        moved = dict(outlet.unstored)
        if moved:
            await self._store.move(session_id, moved)
            for subject, place in moved.items():
                if outlet.unstored.get(subject) == place:
                    del outlet.unstored[subject]

    # what outlets ask

    def cut(self, session_id: str, attachment: int) -> None:
        """See :class:`Surroundings`."""
        self._post(lambda now: self._core.receive_cut(session_id, attachment, None, now))

    def let_go(self, session_id: str, attachment: int, error: HoldfastError) -> None:
        """See :class:`Surroundings`."""
        self._post(lambda now: self._core.receive_cut(session_id, attachment, error, now))

    def forget_cursors(self, session_id: str, subjects: Sequence[str]) -> None:
        """See :class:`Surroundings`."""
        self.spawn(self._forgetting_cursors(session_id, subjects), f"session-cursors-{session_id}")

    async def _forgetting_cursors(self, session_id: str, subjects: Sequence[str]) -> None:
        await quietly(self._store.forget_cursors(session_id, subjects), "cursors", session_id)

    # answers

    def _answer(self, effect: Answer) -> None:
        future = effect.ticket
        if not isinstance(future, asyncio.Future) or future.done():
            return
        if effect.error is not None:
            future.set_exception(effect.error)
        else:
            future.set_result(effect.result)

    def _note(self, effect: Note) -> None:
        _logger.info(effect.event, **effect.fields)

    def _plan(self, effect: Plan) -> None:
        self.spawn(self._planning(effect), f"plan-{effect.session.id}")

    async def _planning(self, effect: Plan) -> None:
        replay: list[SourceReplay] = []

        async def find() -> None:
            replay.extend(await plan_replay(effect.added, effect.session.caller, self.providers))

        error = await outcome(find(), "plan")
        self._answer(Answer(effect.ticket, with_replay(effect.change, replay), error))

    # figures

    def info(self, session: Session, *, expires_at: float, cursors: bool) -> SessionInfo:
        """As a caller sees it."""
        outlet = self.outlet(session)
        messages, size, lost = outlet.buffered
        listed: list[Cursor] = outlet.list_cursors() if cursors else []
        return SessionInfo(
            id=session.id,
            owner=session.owner,
            attached=session.attachment > 0,
            client=session.client,
            version=session.version,
            patterns=list(session.patterns.values()),
            idle_after=session.idle_after,
            created_at=session.created_at,
            expires_at=expires_at,
            sources=outlet.sources if cursors else 0,
            cursors=listed,
            buffered_messages=messages,
            buffered_bytes=size,
            lost=lost,
            delivered=outlet.given,
            recovered=not outlet.recovered_why,
            recovered_why=outlet.recovered_why,
        )

    def counts(self) -> tuple[int, int]:
        """Messages delivered and lost, by sessions that are over, too."""
        outlets = self.outlets.values()
        return (
            self._delivered + sum(outlet.given for outlet in outlets),
            self._lost + sum(outlet.buffered[2] for outlet in outlets),
        )
