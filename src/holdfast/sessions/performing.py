"""What the manager's core decided, done: feeds opened and closed, sessions stored, messages given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from ..errors import ClosedError, DisconnectedError, HoldfastError, InternalError, SessionClosed, UsageError
from ..subjects import PatternTrie
from .effects import (
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
from .feed import LiveFeed
from .model import Change, Cursor, SessionInfo, SourceReplay
from .outlet import Outlet
from .patterns import provider_of
from .reading import Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..clock import Clock
    from ..limits import Limits
    from .actor import Sessions
    from .model import PatternSpec, SubjectInfo
    from .providers.base import Provider
    from .state import Session
    from .store import SessionStore

_logger = structlog.get_logger("holdfast.sessions")

Work = Callable[[], Coroutine[Any, Any, None]]


class Performer:
    """The hands of the actor; called by its one task only.  Implements :class:`~.surroundings.Surroundings`."""

    def __init__(self, actor: Sessions, store: SessionStore, *, clock: Clock, limits: Limits) -> None:
        self.limits = limits
        self.wall = clock.wall
        self.providers: dict[str, Provider] = {}
        self.outlets: dict[str, Outlet] = {}
        self._actor = actor
        self._store = store
        self._now = clock.now
        self._feeds: dict[str, LiveFeed] = {}
        self._feed_work: dict[str, asyncio.Task[None]] = {}
        """The newest work on each pattern that is not done: opening and closing one never overtake each other."""
        self._delivered = 0
        self._lost = 0

    def perform(self, effect: Effect) -> None:
        """Do it, or begin to."""
        self._ACTS[type(effect)](self, effect)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """See :meth:`Sessions.spawn`."""
        return self._actor.spawn(work, name)

    async def close(self) -> None:
        """Let go of every feed and provider."""
        for outlet in self.outlets.values():
            outlet.end(DisconnectedError("the node is going"))
        for feed in self._feeds.values():
            if feed.stream is not None:
                await _quietly(feed.stream.close(), "feed", feed.pattern)
        for name, provider in self.providers.items():
            await _quietly(provider.stop(), "provider", name)

    # providers

    def _start_provider(self, effect: StartProvider) -> None:
        self.spawn(self._starting(effect.name, self.providers[effect.name]), f"provider-{effect.name}")

    async def _starting(self, name: str, provider: Provider) -> None:
        error = await _outcome(provider.start(), f"provider {name}")
        if error is not None:
            self.providers.pop(name, None)
        self._actor.post(lambda _now: self._actor.core.receive_provider_started(name, error))

    def _stop_provider(self, effect: StopProvider) -> None:
        for pattern in effect.feeds:
            opening = self._feed_work.get(pattern)
            if opening is not None and self.feed(pattern).stream is None:
                opening.cancel()
        closing = [self._close_feed(pattern) for pattern in effect.feeds]
        self.spawn(self._stopping(effect.name, closing), f"provider-{effect.name}")

    async def _stopping(self, name: str, closing: Sequence[asyncio.Task[None] | None]) -> None:
        await asyncio.gather(*(task for task in closing if task is not None), return_exceptions=True)
        await _quietly(self.providers.pop(name).stop(), "provider", name)
        self._actor.post(lambda _now: self._actor.core.receive_provider_stopped(name))

    # feeds

    def feed(self, pattern: str) -> LiveFeed:
        """The feed of ``pattern``, open or not."""
        feed = self._feeds.get(pattern)
        if feed is None:
            feed = self._feeds[pattern] = LiveFeed(pattern, self.wall, self._feed_failed)
        return feed

    def _feed_failed(self, feed: LiveFeed, reason: str) -> None:
        if self._feeds.get(feed.pattern) is feed:
            self._actor.post(lambda now: self._actor.core.receive_feed_failed(feed.pattern, reason, now))

    def _open_feed(self, effect: OpenFeed) -> None:
        self._work(effect.pattern, partial(self._opening, self.feed(effect.pattern)))

    async def _opening(self, feed: LiveFeed) -> None:
        pattern = feed.pattern
        provider = self.providers.get(provider_of(pattern))
        error: HoldfastError | None = None
        if provider is None:
            error = ClosedError(f"{pattern}: its provider is gone")
        else:
            feed.provider = provider
            try:
                feed.stream = await provider.open(pattern, feed)
            except HoldfastError as caught:
                error = caught
            except Exception as caught:  # noqa: BLE001 - a provider may be anybody's
                error = _foreign(caught, pattern)
        if error is not None:
            feed.provider = None
        self._actor.post(lambda now: self._actor.core.receive_feed_opened(pattern, error, now))

    def _close_feed_effect(self, effect: CloseFeed) -> None:
        self._close_feed(effect.pattern)

    def _close_feed(self, pattern: str) -> asyncio.Task[None] | None:
        feed = self._feeds.pop(pattern, None)
        return None if feed is None else self._work(pattern, partial(self._closing, feed))

    async def _closing(self, feed: LiveFeed) -> None:
        feed.provider = None
        if feed.stream is not None:
            await _quietly(feed.stream.close(), "feed", feed.pattern)

    def _work(self, pattern: str, work: Work) -> asyncio.Task[None]:
        task = self.spawn(_after(self._feed_work.get(pattern), work), f"feed-{pattern}")
        self._feed_work[pattern] = task

        def done(_: object) -> None:
            if self._feed_work.get(pattern) is task:
                del self._feed_work[pattern]

        task.add_done_callback(done)
        return task

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
        missed = [pattern for pattern in session.patterns if not self._keeps(pattern)]
        if missed:
            some = ", ".join(missed[:3]) + (", ..." if len(missed) > 3 else "")
            outlet.recovered_why = f"the node restarted, and nobody keeps the messages of {some} meanwhile"

    def _keeps(self, pattern: str) -> bool:
        provider = self.providers.get(provider_of(pattern))
        return provider is not None and provider.durable(pattern)

    def _save(self, effect: Save) -> None:
        self.spawn(self._saving(effect), f"session-save-{effect.session.id}")

    async def _saving(self, effect: Save) -> None:
        session, ticket = effect.session, effect.ticket
        error = await _outcome(self._store_session(effect), f"session {session.id}")
        if ticket is not None:
            self._actor.post(lambda now: self._actor.core.receive_session_saved(session, ticket, error, now))
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
        if session.id not in self._actor.core.sessions:
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
        error = await _outcome(self._store.forget(effect.session.id, subjects), f"session {effect.session.id}")
        if effect.ticket is not None:
            self._answer(Answer(effect.ticket, error=error))

    def _bind(self, effect: Bind) -> None:
        outlet = self.outlet(effect.session)
        for spec in effect.added:
            feed = self.feed(spec.pattern)
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
        moved = outlet.acknowledge(count)
        if moved:
            await self._store.move(session.id, moved)

    async def resume(self, session: Session, places: Mapping[str, tuple[int, bool]]) -> None:
        """See :meth:`Sessions.resume`."""
        wanted = {subject: Position(*place) for subject, place in places.items()}
        moved = self.outlets[session.id].resume(wanted)
        if moved:
            await self._store.move(session.id, moved)

    # what outlets ask

    def cut(self, session_id: str, attachment: int) -> None:
        """See :class:`~.surroundings.Surroundings`."""
        self._actor.post(lambda now: self._actor.core.receive_cut(session_id, attachment, None, now))

    def let_go(self, session_id: str, attachment: int, error: HoldfastError) -> None:
        """See :class:`~.surroundings.Surroundings`."""
        self._actor.post(lambda now: self._actor.core.receive_cut(session_id, attachment, error, now))

    def forget_cursors(self, session_id: str, subjects: Sequence[str]) -> None:
        """See :class:`~.surroundings.Surroundings`."""
        self.spawn(self._forgetting_cursors(session_id, subjects), f"session-cursors-{session_id}")

    async def _forgetting_cursors(self, session_id: str, subjects: Sequence[str]) -> None:
        await _quietly(self._store.forget_cursors(session_id, subjects), "cursors", session_id)

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
        caller = effect.session.caller
        error = await _outcome(self._plan_all(effect.added, replay, caller), "plan")
        total = sum(one.replay_bytes for one in replay)
        change = effect.change
        plan = Change(
            version=change.version,
            added=change.added,
            changed=change.changed,
            removed=change.removed,
            kept=change.kept,
            replay=replay,
            replay_bytes=total,
        )
        self._answer(Answer(effect.ticket, plan, error))

    async def _plan_all(self, added: Sequence[PatternSpec], replay: list[SourceReplay], caller: Any) -> None:
        for spec in added:
            name = provider_of(spec.pattern)
            found = await self.providers[name].subjects(spec.pattern)
            readable = [info for info in found if caller.reads_all(name) or caller.reads(info.subject)]
            replay += [_replay(spec, info) for info in readable if info.durable]

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

    _ACTS: dict[type, Callable[[Performer, Any], None]] = {  # noqa: RUF012 - written here only
        StartProvider: _start_provider,
        StopProvider: _stop_provider,
        OpenFeed: _open_feed,
        CloseFeed: _close_feed_effect,
        Save: _save,
        Forget: _forget,
        Bind: _bind,
        Unbind: _unbind,
        BeginDelivery: _begin,
        EndDelivery: _end,
        Dispose: _dispose,
        Plan: _plan,
        Answer: _answer,
        Note: _note,
    }


def _replay(spec: PatternSpec, info: SubjectInfo) -> SourceReplay:
    """What the session would be given of one source to begin with."""
    position = info.tail if spec.start == "now" else info.oldest
    size = 0 if spec.start == "now" else info.stored_bytes
    return SourceReplay(
        pattern=spec.pattern, subject=info.subject, position=position, tail=info.tail, replay_bytes=size
    )


async def _after(before: asyncio.Task[None] | None, work: Work) -> None:
    """``work`` is not begun before: a coroutine that is never awaited is a warning."""
    if before is not None:
        await asyncio.wait([before])
    await work()


async def _outcome(work: Coroutine[Any, Any, None], what: str) -> HoldfastError | None:
    """Why ``work`` failed; None: it did not."""
    try:
        await work
    except HoldfastError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a provider may be anybody's
        return _foreign(error, what)
    return None


def _foreign(error: Exception, what: str) -> HoldfastError:
    _logger.warning("sessions.provider_failed", what=what, exc_info=error)
    return InternalError(f"{what}: {type(error).__name__}: {error}")


async def _quietly(work: Coroutine[Any, Any, None], kind: str, name: str) -> None:
    error = await _outcome(work, f"{kind} {name}")
    if error is not None:
        _logger.warning("sessions.not_closed", kind=kind, name=name, error=str(error))
