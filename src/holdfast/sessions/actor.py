"""The sessions of a node: each call is a command for the one task (``shell.mailbox``) that does what the core decided.

No locks: whatever changes sessions, feeds or providers is a command; what takes time (opening a feed, storing a
session) runs beside it and comes back as another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import structlog

from ..errors import HoldfastError, NotFound, UsageError
from ..subjects import check_pattern, check_subject
from .core.effects import Answer, BeginDelivery, Effect
from .core.manager import Manager
from .core.state import Attached, ProviderEntry, Session
from .model import ProviderInfo, Removal, SessionInfo, SessionStats, SubjectInfo
from .patterns import provider_of
from .providers import registry
from .providers.base import Context
from .shell.guarding import forgotten
from .shell.mailbox import Mailbox
from .shell.performing import Performer
from .showing import shown_options
from .store import SessionStore

if TYPE_CHECKING:
    from ..clock import Clock
    from ..engine.base import Engine
    from ..limits import Limits
    from .access import Caller
    from .delivery.outflow import Carrier
    from .model import Change, Message, PatternSpec
    from .providers.base import Provider

_logger = structlog.get_logger("holdfast.sessions")

_START_S = 2.0
"""How long a node that comes back waits for its providers; they go on starting meanwhile."""
_RETRY_S = 5.0
"""A provider that did not start again with the node is tried again this often."""


class Sessions:
    """All sessions and providers of one node.  Each method says in :class:`SessionsApi` what it does."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        limits: Limits,
        restore: Callable[[Mapping[str, Any]], Caller],
        new_id: Callable[[], str],
        state_dir: str = "",
    ) -> None:
        """``restore`` makes a caller again of what its ``grant`` gave; ``new_id`` gives the ids of sessions."""
        self.core = Manager(limits)
        self._store = SessionStore(engine)
        self._clock = clock
        self._limits = limits
        self._restore = restore
        self._new_id = new_id
        self._context = Context(clock, limits, state_dir)
        self._mailbox = Mailbox(self.core, clock=clock, limits=limits)
        self.post = self._mailbox.post
        self.spawn = self._mailbox.spawn
        self._performer = Performer(self.core, self._mailbox, self._store, clock=clock, limits=limits)
        self._added: dict[str, tuple[str, dict[str, str]]] = {}
        """Kind and options of the providers that somebody added."""
        self._failed: dict[str, str] = {}
        """Those of them that did not start again with the node, and why."""

    # life

    async def open(self, built_in: Mapping[str, Provider]) -> None:
        """Start the node's own providers, those that were added, and load every session."""
        self._mailbox.open(self._performer.perform)
        for name, provider in built_in.items():
            await self._add(name, provider, built_in=True)
        loaded = await self._store.load_all()
        for name, stored in loaded.providers.items():
            self._added[name] = (stored.kind, stored.options)
        if loaded.providers:
            await self._bring_back(list(loaded.providers))
        for session_id, found in loaded.sessions.items():
            session = Session(session_id, self._restore(found.grant), found.idle_after, found.created_at)
            session.version = found.version
            session.patterns = {spec.pattern: spec for spec in found.patterns}
            self._performer.recover(session, loaded.cursors.get(session_id, {}))
            self.post(partial(self.core.receive_recovered, session))
        await self._mailbox.ask(lambda answer, _now: [Answer(answer)])  # all of them are there
        if loaded.sessions:
            _logger.info("sessions.recovered", sessions=len(loaded.sessions))

    async def close(self) -> None:
        """Stop all providers, and let what is being stored finish.  Sessions stay as they are stored."""
        if self._mailbox.closed:
            return
        await self._mailbox.close()
        await self._performer.close()
        await self._store.settle()

    # providers

    async def add_provider(self, name: str, kind: str, options: Mapping[str, str]) -> ProviderInfo:
        """See :meth:`SessionsApi.add_provider`."""
        provider = registry.make(kind, name, options, self._context)
        await self._add(name, provider)
        self._added[name] = (kind, dict(options))
        self._failed.pop(name, None)
        try:
            await self._store.put_provider(name, kind, options)
        except HoldfastError:
            await self.remove_provider(name, "it could not be stored")
            raise
        return next(info for info in self.providers() if info.name == name)

    async def _add(self, name: str, provider: Provider, *, built_in: bool = False) -> None:
        def command(answer: asyncio.Future[Any], _now: float) -> list[Effect]:
            effects = self.core.receive_add_provider(answer, name, built_in=built_in)
            if not any(isinstance(effect, Answer) for effect in effects):
                self._performer.providers[name] = provider
            return effects

        await self._mailbox.ask(command)

    async def _add_again(self, name: str) -> bool:
        """Start a provider of before the restart; whether it runs."""
        kind, options = self._added[name]
        try:
            await self._add(name, registry.make(kind, name, options, self._context))
        except HoldfastError as error:
            self._failed[name] = str(error)
            return False
        self._failed.pop(name, None)
        return True

    async def _bring_back(self, names: Sequence[str]) -> None:
        """Start the providers of before the restart; one whose feed does not answer keeps no node from being ready."""
        tried = asyncio.Event()
        self.spawn(self._start_and_retry(names, tried), "providers-back")
        try:
            async with asyncio.timeout(_START_S):
                await tried.wait()
        except TimeoutError:
            _logger.warning("providers.slow", after_s=_START_S)

    async def _start_and_retry(self, names: Sequence[str], tried: asyncio.Event) -> None:
        await asyncio.gather(*map(self._add_again, names))
        tried.set()
        for name, error in self._failed.items():
            _logger.error("provider.not_started_again", provider=name, kind=self._added[name][0], error=error)
        while self._failed:
            await asyncio.sleep(_RETRY_S)
            for name in list(self._failed):
                if name in self._failed and await self._add_again(name):
                    _logger.info("provider.back", provider=name)

    async def remove_provider(self, name: str, reason: str = "") -> Removal:
        """See :meth:`SessionsApi.remove_provider`."""
        remove = self.core.receive_forget_provider if name in self._failed else self.core.receive_remove_provider
        removal: Removal = await self._mailbox.ask(lambda answer, now: remove(answer, name, reason, now))
        added = self._added.pop(name, None)
        if self._failed.pop(name, None) is not None and added is not None:
            await self._forget_failed(name, *added)
        if added is not None:
            await self._store.forget_provider(name)
        return removal

    async def _forget_failed(self, name: str, kind: str, options: Mapping[str, str]) -> None:
        try:
            provider = registry.make(kind, name, options, self._context)
        except HoldfastError:  # its kind is not installed any more
            return
        await forgotten(provider, name)

    def providers(self) -> list[ProviderInfo]:
        """See :meth:`SessionsApi.providers`."""
        found = []
        for name in sorted({*self.core.providers, *self._failed}):
            kind, options = self._added.get(name, (name, {}))
            entry = self.core.providers.get(name)
            feeds = self.core.feeds.of(name)
            bound = {session_id for feed in feeds for session_id in feed.sessions}
            found.append(
                ProviderInfo(
                    name=name,
                    kind=kind,
                    options=shown_options(options),
                    built_in=entry is not None and entry.built_in,
                    feeds=len(feeds),
                    sessions=len(bound),
                    state=self._state_of(name, entry),
                    error=self._failed.get(name, ""),
                )
            )
        return found

    def _state_of(self, name: str, entry: ProviderEntry | None) -> Literal["starting", "running", "failed"]:
        if name in self._failed or entry is None:
            return "failed"
        return "starting" if entry.state == "starting" else "running"

    def provider(self, name: str) -> Provider:
        """A running provider.  NotFound(kind="provider")."""
        entry = self.core.providers.get(name)
        if entry is None or entry.state != "running":
            raise NotFound(f"there is no provider {name!r}", kind="provider", name=name)
        return self._performer.providers[name]

    # sessions

    async def new(self, caller: Caller, patterns: Sequence[PatternSpec], idle_after: float) -> SessionInfo:
        """See :meth:`SessionsApi.new`."""
        if idle_after != idle_after or idle_after in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN
            raise UsageError(f"idle_after: {idle_after} is no number of seconds", field="idle_after")
        session_id, wall = self._new_id(), self._clock.wall()
        session = await self._mailbox.ask(
            lambda answer, now: self.core.receive_new_session(
                answer, session_id, caller, idle_after, patterns, now, wall
            )
        )
        return self._info(session)

    async def attach(self, caller: Caller, session_id: str, carrier: Carrier, *, client: str, steal: bool) -> Attached:
        """See :meth:`SessionsApi.attach`."""
        name, made = client or caller.subject, 0

        def command(answer: asyncio.Future[Any], _now: float) -> list[Effect]:
            nonlocal made
            effects = self.core.receive_attach(answer, caller, session_id, name, (carrier, caller), steal=steal)
            made = next((effect.attachment for effect in effects if isinstance(effect, BeginDelivery)), 0)
            return effects

        try:
            attached: Attached = await self._mailbox.ask(command)
        except asyncio.CancelledError:  # whoever asked has gone, and will never say that it leaves
            self.post(lambda now: self.core.receive_cut(session_id, made, None, now))
            raise
        return attached

    def recovery(self, session: Session) -> str:
        """What a restart of the node has lost for the session, told once; empty: nothing."""
        outlet = self._performer.outlet(session)
        why, outlet.recovered_why = outlet.recovered_why, ""
        return why

    async def detach(self, caller: Caller, session_id: str, attachment: int = 0) -> SessionInfo:
        """See :meth:`SessionsApi.detach`."""
        session = await self._mailbox.ask(
            lambda answer, now: self.core.receive_detach(answer, caller, session_id, attachment, now)
        )
        return self._info(session)

    async def configure(
        self,
        caller: Caller,
        session_id: str,
        patterns: Sequence[PatternSpec],
        *,
        dry_run: bool = False,
        expected_version: int = 0,
    ) -> Change:
        """See :meth:`SessionsApi.configure`."""
        change: Change = await self._mailbox.ask(
            lambda answer, now: self.core.receive_configure(
                answer, caller, session_id, patterns, now, dry_run=dry_run, expected_version=expected_version
            )
        )
        return change

    async def ack(self, caller: Caller, session_id: str, attachment: int, count: int) -> None:
        """See :meth:`SessionsApi.ack`."""
        session = self.core.find(caller, session_id)
        if count < 0:
            raise UsageError(f"count: {count} is negative", field="count")
        self.core.check_attached(session, attachment)
        await self._performer.acknowledge(session, count)

    async def resume(self, caller: Caller, session_id: str, places: Mapping[str, tuple[int, bool]]) -> None:
        """Take what a client that comes back says it had as acknowledged; durable on return.

        ``places``: of durable sources, where each goes on and whether its end was given, as its messages said.  What
        is behind a cursor, beyond the source or not the session's counts for nothing.  SessionNotFound.
        """
        await self._performer.resume(self.core.find(caller, session_id), places)

    async def end(self, caller: Caller, session_id: str, reason: str = "") -> None:
        """See :meth:`SessionsApi.close`."""
        await self._mailbox.ask(lambda answer, now: self.core.receive_close(answer, caller, session_id, reason, now))

    def info(self, caller: Caller, session_id: str) -> SessionInfo:
        """See :meth:`SessionsApi.info`."""
        return self._info(self.core.find(caller, session_id), cursors=True)

    def list(self, caller: Caller, after: str) -> list[SessionInfo]:
        """See :meth:`SessionsApi.list`."""
        found = sorted(
            session.id
            for session in self.core.sessions.values()
            if session.born and session.id > after and (caller.reaches_all or session.owner == caller.subject)
        )
        return [self._info(self.core.sessions[session_id]) for session_id in found[: self._limits.channels_page_max]]

    def _info(self, session: Session, *, cursors: bool = False) -> SessionInfo:
        expires = session.expires_at
        return self._performer.info(
            session,
            expires_at=0.0 if expires is None else self._clock.wall() + expires - self._clock.now(),
            cursors=cursors,
        )

    # messages, and what there is

    async def publish(self, caller: Caller, message: Message) -> int:
        """See :meth:`SessionsApi.publish`."""
        name = provider_of(check_subject(message.subject))
        provider = self.provider(name)
        caller.check_send(name)
        return await provider.send(message, caller)

    async def subjects(self, caller: Caller, pattern: str) -> Sequence[SubjectInfo]:
        """See :meth:`SessionsApi.subjects`."""
        name = provider_of(check_pattern(pattern))
        provider = self.provider(name)
        caller.check(name)
        found = await provider.subjects(pattern)
        return [info for info in found if caller.reads_all(name) or caller.reads(info.subject)]

    def stats(self) -> SessionStats:
        """See :meth:`SessionsApi.stats`."""
        delivered, lost = self._performer.counts()
        return SessionStats(
            sessions=len(self.core.sessions),
            attached=self.core.attached,
            providers=len(self.core.providers),
            feeds=len(self.core.feeds),
            delivered=delivered,
            lost=lost,
            reaped=self.core.reaped,
        )
