"""The manager's core: what each command changes, and what is to be done about it.

Sans-I/O: ``receive_*`` takes a command, changes the state at once and gives the effects that the shell (``actor``)
carries out in order.  What takes time comes back as another command.  Nothing here waits, so nothing is half done.

Where it comes from: the data service whose manager this follows had three of its handlers unfinished (the end of a
provider, configuring, closing), and armed the idle timer of a new session only if the timeout was *not* positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import (
    AlreadyExists,
    ClientAlreadyAttached,
    ClientNotAttached,
    Conflict,
    HoldfastError,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    SessionClosed,
    SessionNotFound,
    SessionTaken,
    UsageError,
)
from ..ids import check_name
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
    Plan,
    Save,
    StartProvider,
    StopProvider,
    Ticket,
    Unbind,
)
from .feedbook import RETRY_S, FeedBook
from .model import Change, PatternSpec, Removal
from .patterns import check_specs, compare, provider_of
from .state import Attached, Feed, Pending, ProviderEntry, Session, Wish
from .timers import Timers

if TYPE_CHECKING:
    from ..limits import Limits
    from .access import Caller

_TIMERS_SPARE = 1024
"""Timers of sessions that are over, beyond as many as there are sessions, before they are cleared away."""


class Manager:
    """All sessions, feeds and providers of a node, as they are decided."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.sessions: dict[str, Session] = {}
        self.feeds = FeedBook(limits.session_linger_s, self._running)
        self.providers: dict[str, ProviderEntry] = {}
        self.attached = 0
        self.reaped = 0
        self._by_owner: dict[str, int] = {}
        self._idle: Timers[Session] = Timers(lambda session: session.expires_at)

    # questions

    def find(self, caller: Caller, session_id: str) -> Session:
        """The session; SessionNotFound if there is none, and if it is not for ``caller``."""
        session = self.sessions.get(session_id)
        if session is not None and session.born:
            if caller.reaches_all or session.owner == caller.subject:
                return session
            caller.denied(session_id)
        raise SessionNotFound(name=session_id)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` is to be called next."""
        deadlines = [one for one in (self._idle.next_deadline(), self.feeds.next_deadline()) if one is not None]
        return min(deadlines, default=None)

    # providers

    def receive_add_provider(self, ticket: Ticket, name: str, *, built_in: bool = False) -> list[Effect]:
        """Start it; a name that is taken is an error, and leaves nothing behind."""
        try:
            check_name(name)
            if "." in name:
                raise UsageError(f"name: {name!r} is the first word of subjects and holds no '.'", field="name")
            if name in self.providers:
                raise AlreadyExists(f"there is a provider {name!r} already", kind="provider", name=name)
            limit = self._limits.providers_max
            if len(self.providers) >= limit:
                raise LimitExceeded(name="providers_max", limit=limit, value=len(self.providers) + 1)
        except HoldfastError as error:
            return [Answer(ticket, error=error)]
        self.providers[name] = ProviderEntry(name, built_in, ticket)
        return [StartProvider(name)]

    def receive_provider_started(self, name: str, error: HoldfastError | None) -> list[Effect]:
        """It runs now, or did not start: then it is as if it had never been named."""
        entry = self.providers[name]
        ticket, entry.ticket = entry.ticket, None
        if error is not None:
            del self.providers[name]
            return [Note("provider.not_started", {"provider": name, "error": str(error)}), Answer(ticket, error=error)]
        entry.state = "running"
        effects: list[Effect] = [Note("provider.added", {"provider": name}), Answer(ticket)]
        for feed in self.feeds.of(name):  # of sessions that were there before it, after a restart
            if feed.state == "failed":
                effects += self.feeds.open(feed)
        return effects

    def receive_remove_provider(self, ticket: Ticket, name: str, reason: str, now: float) -> list[Effect]:
        """Unbind every session that used it, stop its streams, then stop it."""
        entry = self.providers.get(name)
        if entry is None or entry.state != "running":
            return [Answer(ticket, error=NotFound(kind="provider", name=name))]
        if entry.built_in:
            return [Answer(ticket, error=PermissionDenied(f"the provider {name} belongs to the node"))]
        entry.state, entry.ticket = "stopping", ticket
        feeds = self.feeds.of(name)
        effects, entry.unbound, entry.reason = self._unbind_all(name, feeds, reason, now)
        return [*effects, StopProvider(name, [feed.pattern for feed in feeds])]

    def receive_forget_provider(self, ticket: Ticket, name: str, reason: str, now: float) -> list[Effect]:
        """A provider that did not start again with the node is given up: its sessions lose its patterns."""
        effects, unbound, _ = self._unbind_all(name, self.feeds.of(name), reason, now)
        return [*effects, Answer(ticket, Removal(name=name, sessions=unbound))]

    def _unbind_all(self, name: str, feeds: Sequence[Feed], reason: str, now: float) -> tuple[list[Effect], int, str]:
        """Take everything of a provider from every session; how many had something, and what they are told."""
        why = f"the provider {name} was removed" + (f": {reason}" if reason else "")
        bound: dict[str, Session] = {}
        for feed in feeds:
            bound |= feed.sessions
        effects: list[Effect] = []
        for session in bound.values():
            effects += self._fail_pending(session, name, NotFound(why, kind="provider", name=name), now)
        for session in bound.values():
            effects += self._unbind(session, [p for p in session.patterns if provider_of(p) == name], why)
        for feed in feeds:
            self.feeds.forget(feed.pattern)
        return effects, sum(1 for session in bound.values() if session.id in self.sessions), why

    def receive_provider_stopped(self, name: str) -> list[Effect]:
        """It is gone, and its name is free."""
        entry = self.providers.pop(name)
        removal = Removal(name=name, sessions=entry.unbound)
        note = Note("provider.removed", {"provider": name, "sessions": entry.unbound, "reason": entry.reason})
        return [note, Answer(entry.ticket, removal)]

    def _running(self, provider: str) -> bool:
        entry = self.providers.get(provider)
        return entry is not None and entry.state == "running"

    # feeds

    def receive_feed_opened(self, pattern: str, error: HoldfastError | None, now: float) -> list[Effect]:
        """A pattern is being followed now, or could not be."""
        feed = self.feeds.get(pattern)
        if feed is None or feed.state != "opening":  # its provider went meanwhile, and closed it
            return []
        if error is not None:
            return self._feed_not_opened(feed, error, now)
        feed.state = "open"
        effects: list[Effect] = []
        if not feed.sessions:
            self.feeds.linger(feed, now)
        for session in list(feed.sessions.values()):
            pending = session.pending
            if pending is None:
                continue
            pending.waiting.discard(pattern)
            if not pending.waiting and not pending.saving:
                effects.append(self._save_pending(session, pending))
        return effects

    def _feed_not_opened(self, feed: Feed, error: HoldfastError, now: float) -> list[Effect]:
        feed.state = "failed"
        effects: list[Effect] = []
        for session in list(feed.sessions.values()):
            if session.pending is not None and feed.pattern in session.pending.diff.added:
                effects += self._abandon(session, naming(feed.pattern, error), now)
        if feed.state == "failed" and feed.sessions:  # those that had it before the node restarted keep it
            self.feeds.linger(feed, now, RETRY_S)
            effects.append(Note("session.feed_not_opened", {"pattern": feed.pattern, "error": str(error)}))
        return effects

    def receive_feed_failed(self, pattern: str, reason: str, now: float) -> list[Effect]:
        """A feed is over by itself: its sessions lose the pattern, and are told."""
        feed = self.feeds.forget(pattern)
        if feed is None:
            return []
        note = Note("session.feed_failed", {"pattern": pattern, "reason": reason})
        effects: list[Effect] = [CloseFeed(pattern), note]
        for session in list(feed.sessions.values()):
            if session.pending is not None and pattern in session.pending.patterns:
                error = NotFound(f"{pattern}: {reason}", kind="subject", name=pattern)
                effects += self._abandon(session, error, now)
            effects += self._unbind(session, [pattern] if pattern in session.patterns else [], reason)
        return effects

    # the life of sessions

    def receive_new_session(
        self,
        ticket: Ticket,
        session_id: str,
        caller: Caller,
        idle_after: float,
        specs: Sequence[PatternSpec],
        now: float,
        wall: float,
    ) -> list[Effect]:
        """Make one; nobody sees it before its patterns are in force and it is stored."""
        try:
            self._check_room(caller.subject)
        except HoldfastError as error:
            return [Answer(ticket, error=error)]
        session = Session(session_id, caller, idle_after, wall)
        self.sessions[session_id] = session
        self._by_owner[session.owner] = self._by_owner.get(session.owner, 0) + 1
        return self._configure(session, Wish(ticket, specs), now)

    def receive_recovered(self, session: Session, now: float) -> list[Effect]:
        """A session of before the node's restart, as it was stored: nobody is attached."""
        self.sessions[session.id] = session
        self._by_owner[session.owner] = self._by_owner.get(session.owner, 0) + 1
        session.born = True
        self._arm(session, now)
        effects: list[Effect] = [Bind(session, list(session.patterns.values()), [], [])]
        for pattern in session.patterns:
            effects += self.feeds.hold(session, pattern, now)[1]
        return effects

    def _check_room(self, owner: str) -> None:
        for name, limit, value in (
            ("sessions_per_identity_max", self._limits.sessions_per_identity_max, self._by_owner.get(owner, 0) + 1),
            ("sessions_max", self._limits.sessions_max, len(self.sessions) + 1),
        ):
            if value > limit:
                raise LimitExceeded(name=name, limit=limit, value=value)

    def receive_close(
        self, ticket: Ticket | None, caller: Caller, session_id: str, reason: str, now: float
    ) -> list[Effect]:
        """End it: its client is told, its feeds are let go, what is stored is removed."""
        try:
            session = self.find(caller, session_id)
        except SessionNotFound as error:
            return [Answer(ticket, error=error)]
        return self._close(session, reason or f"closed by {caller.subject}", ticket, now)

    def _close(self, session: Session, reason: str, ticket: Ticket | None, now: float) -> list[Effect]:
        error = SessionClosed(f"session {session.id} is closed: {reason}")
        effects: list[Effect] = []
        session.expires_at = None
        self._remove(session)
        if session.pending is not None:
            effects.append(Answer(session.pending.ticket, error=error))
            effects += self.feeds.release(session, session.pending.diff.added, now)
            session.pending = None
        effects += [Answer(wish.ticket, error=error) for wish in session.wishes]
        session.wishes.clear()
        effects += self.feeds.release(session, list(session.patterns), now)
        if session.attachment:
            self.attached -= 1
            session.attachment = 0
            effects.append(EndDelivery(session, error))
        effects += [Forget(session, ticket), Dispose(session)]
        note = Note("session.closed", {"session": session.id, "owner": session.owner, "reason": reason})
        return [*effects, note]

    def _remove(self, session: Session) -> None:
        del self.sessions[session.id]
        left = self._by_owner[session.owner] - 1
        if left:
            self._by_owner[session.owner] = left
        else:
            del self._by_owner[session.owner]
        if len(self._idle) > 2 * len(self.sessions) + _TIMERS_SPARE:
            self._idle.discard(lambda one: one.id not in self.sessions)

    # clients of sessions

    def receive_attach(
        self, ticket: Ticket, caller: Caller, session_id: str, client: str, carrier: Any, *, steal: bool
    ) -> list[Effect]:
        """Give it to a client; the timer is disarmed.  ``steal``: from another one, who is told who took it."""
        effects: list[Effect] = []
        try:
            session = self.find(caller, session_id)
            if session.attachment:
                if not steal:
                    raise ClientAlreadyAttached(
                        f"session {session_id} has a client: {session.client}; steal it, or wait", holder=session.client
                    )
                taken = SessionTaken(f"session {session_id} was taken over by {client}", holder=client)
                effects.append(EndDelivery(session, taken))
                self.attached -= 1
        except HoldfastError as error:
            return [Answer(ticket, error=error)]
        session.attachments += 1
        session.attachment = session.attachments
        session.client = client
        session.expires_at = None
        self.attached += 1
        attached = Attached(session, session.attachment, session.version)
        return [*effects, BeginDelivery(session, session.attachment, carrier), Answer(ticket, attached)]

    def receive_detach(
        self, ticket: Ticket | None, caller: Caller, session_id: str, attachment: int, now: float
    ) -> list[Effect]:
        """Let the client go; the timer is armed.  ``attachment``: this one only, 0: any."""
        try:
            session = self.find(caller, session_id)
            self.check_attached(session, attachment)
        except HoldfastError as error:
            return [Answer(ticket, error=error)]
        return [*self._detach(session, None, now), Answer(ticket, session)]

    def receive_cut(self, session_id: str, attachment: int, error: HoldfastError | None, now: float) -> list[Effect]:
        """The client of this attachment is gone, or is to be let go with ``error``."""
        session = self.sessions.get(session_id)
        if session is None or not attachment or session.attachment != attachment:
            return []
        return self._detach(session, error, now)

    def _detach(self, session: Session, error: HoldfastError | None, now: float) -> list[Effect]:
        session.attachment = 0
        session.client = ""
        self.attached -= 1
        self._arm(session, now)
        return [EndDelivery(session, error)]

    def check_attached(self, session: Session, attachment: int) -> None:
        """ClientNotAttached if nobody is, or, with ``attachment``, somebody else is."""
        if not session.attachment:
            raise ClientNotAttached(f"session {session.id} has no client")
        if attachment and attachment != session.attachment:
            raise ClientNotAttached(f"session {session.id} has another client by now")

    def _arm(self, session: Session, now: float) -> None:
        """Start the idle timer, if the session has one."""
        if session.idle_after <= 0:
            return
        session.expires_at = now + session.idle_after
        if session.queued_at is None:
            session.queued_at = session.expires_at
            self._idle.add(session.expires_at, session)

    # patterns of sessions

    def receive_configure(
        self,
        ticket: Ticket,
        caller: Caller,
        session_id: str,
        specs: Sequence[PatternSpec],
        now: float,
        *,
        dry_run: bool = False,
        expected_version: int = 0,
    ) -> list[Effect]:
        """Make ``specs`` its whole set: what is new is started, then all is swapped, then what is not in it stopped."""
        try:
            session = self.find(caller, session_id)
        except SessionNotFound as error:
            return [Answer(ticket, error=error)]
        wish = Wish(ticket, specs, expected_version, dry_run)
        if session.pending is not None:
            session.wishes.append(wish)
            return []
        return self._configure(session, wish, now)

    def _configure(self, session: Session, wish: Wish, now: float) -> list[Effect]:
        try:
            patterns = check_specs(wish.specs, self._limits)
            self._check_wish(session, wish, list(patterns))
        except HoldfastError as error:
            if not session.born:
                self._remove(session)
            return [Answer(wish.ticket, error=error)]
        diff = compare(session.patterns, patterns)
        if wish.dry_run:
            added = [patterns[pattern] for pattern in diff.added]
            return [Plan(session, _change(session.version, diff), added, wish.ticket)]
        pending = session.pending = Pending(wish.ticket, patterns, diff)
        effects: list[Effect] = []
        for pattern in diff.added:
            feed, opening = self.feeds.hold(session, pattern, now)
            effects += opening
            if feed.state != "open":
                pending.waiting.add(pattern)
        if not pending.waiting:
            effects.append(self._save_pending(session, pending))
        return effects

    def _check_wish(self, session: Session, wish: Wish, patterns: list[str]) -> None:
        if wish.expected_version and wish.expected_version != session.version:
            raise Conflict(
                f"session {session.id} is at version {session.version}, not {wish.expected_version}",
                expected=wish.expected_version,
                actual=session.version,
            )
        for pattern in patterns:
            name = provider_of(pattern)
            if not self._running(name) and pattern not in session.patterns:
                raise NotFound(f"{pattern}: there is no provider {name!r}", kind="provider", name=name)
            session.caller.check(name)

    def _save_pending(self, session: Session, pending: Pending) -> Effect:
        pending.saving = True
        specs = list(pending.patterns.values())
        added = [pending.patterns[pattern] for pattern in pending.diff.added]
        return Save(session, specs, session.version + 1, added, pending.ticket)

    def receive_session_saved(
        self, session: Session, ticket: Ticket, error: HoldfastError | None, now: float
    ) -> list[Effect]:
        """The new set is stored: swap.  Or it could not be: all is as it was."""
        pending = session.pending
        if pending is None or pending.ticket is not ticket:  # it was abandoned meanwhile
            return []
        if error is not None:
            return self._abandon(session, error, now)
        session.pending = None
        diff = pending.diff
        session.patterns = pending.patterns
        session.version += 1
        effects: list[Effect] = []
        changed = [pending.patterns[pattern] for pattern in diff.changed]
        added = [pending.patterns[pattern] for pattern in diff.added]
        effects.append(Bind(session, added, changed, diff.removed))
        effects += self.feeds.release(session, diff.removed, now)
        if not session.born:
            session.born = True
            self._arm(session, now)
            effects.append(Answer(pending.ticket, session))
        else:
            effects.append(Answer(pending.ticket, _change(session.version, diff)))
        return effects + self._next_wish(session, now)

    def _abandon(self, session: Session, error: HoldfastError, now: float) -> list[Effect]:
        """A set of patterns did not come about: as if it had never been asked for."""
        pending, session.pending = session.pending, None
        assert pending is not None
        effects = self.feeds.release(session, pending.diff.added, None)
        effects.append(Answer(pending.ticket, error=error))
        if not session.born:
            self._remove(session)
            return [*effects, Forget(session, None)] if pending.saving else effects
        if pending.saving:
            effects.append(Save(session, list(session.patterns.values()), session.version))
        return effects + self._next_wish(session, now)

    def _next_wish(self, session: Session, now: float) -> list[Effect]:
        effects: list[Effect] = []
        while session.wishes and session.pending is None:
            effects += self._configure(session, session.wishes.pop(0), now)
        return effects

    def _fail_pending(self, session: Session, provider: str, error: HoldfastError, now: float) -> list[Effect]:
        """Abandon what the session is being configured to, if it needs ``provider``."""
        pending = session.pending
        if pending is None or not any(provider_of(pattern) == provider for pattern in pending.patterns):
            return []
        return self._abandon(session, error, now)

    def _unbind(self, session: Session, patterns: list[str], reason: str) -> list[Effect]:
        """Take ``patterns`` from the session; it is told."""
        if session.id not in self.sessions or not patterns:
            return []
        session.patterns = {name: spec for name, spec in session.patterns.items() if name not in patterns}
        session.version += 1
        effects: list[Effect] = [Unbind(session, patterns, reason)]
        pending = session.pending
        if pending is not None:  # what it is being configured to is compared anew
            pending.diff = compare(session.patterns, pending.patterns)
        if pending is None or not pending.saving:  # else what is being stored has not got them either
            effects.append(Save(session, list(session.patterns.values()), session.version))
        return effects

    # time

    def handle_timer(self, now: float) -> list[Effect]:
        """Close what has been idle for too long, and feeds that nobody came back to."""
        effects: list[Effect] = []
        for session, due in self._idle.due(now):
            session.queued_at = None
            if due and session.id in self.sessions:
                self.reaped += 1
                effects += self._close(session, f"idle for {session.idle_after:g} s", None, now)
            elif session.expires_at is not None:
                session.queued_at = session.expires_at
                self._idle.add(session.expires_at, session)
        return effects + self.feeds.handle_timer(now)


def _change(version: int, diff: Any) -> Change:
    return Change(version=version, added=diff.added, changed=diff.changed, removed=diff.removed, kept=diff.kept)


def naming(pattern: str, error: HoldfastError) -> HoldfastError:
    """``error``, saying which pattern it is about; of its class and with its fields."""
    named = type(error)(f"{pattern}: {error.message}", **error.details())
    named.__cause__ = error
    return named
