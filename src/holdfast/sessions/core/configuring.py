"""What the sets of patterns of sessions become: asked for, followed, stored, in force; or as if never asked for.  Pure.

A set comes about in steps, one set of a session at a time: its new feeds open, it is stored, then it is swapped in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import Conflict, HoldfastError, NotFound, SessionNotFound
from ..model import Change
from ..patterns import check_specs, compare, provider_of
from .effects import Answer, Bind, CloseFeed, Effect, Forget, Note, Plan, Save, Unbind
from .feedbook import RETRY_S
from .state import Feed, Pending, Session, Ticket, Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...limits import Limits
    from ..access import Caller
    from ..model import PatternSpec
    from ..patterns import Diff
    from .feedbook import FeedBook
    from .sessionbook import SessionBook


class Configurer:
    """Gives sessions their patterns, and takes them away.  ``running(name)``: whether that provider can open feeds."""

    def __init__(self, book: SessionBook, feeds: FeedBook, running: Callable[[str], bool], limits: Limits) -> None:
        self._book = book
        self._feeds = feeds
        self._running = running
        self._limits = limits

    # by a wish

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
            session = self._book.find(caller, session_id)
        except SessionNotFound as error:
            return [Answer(ticket, error=error)]
        wish = Wish(ticket, specs, expected_version, dry_run)
        if session.pending is not None:
            session.wishes.append(wish)
            return []
        return self.configure(session, wish, now)

    def configure(self, session: Session, wish: Wish, now: float) -> list[Effect]:
        """Begin with ``wish``; no other one of the session is on its way."""
        try:
            patterns = check_specs(wish.specs, self._limits)
            self._check_wish(session, wish, list(patterns))
        except HoldfastError as error:
            if not session.born:
                self._book.remove(session)
            return [Answer(wish.ticket, error=error)]
        diff = compare(session.patterns, patterns)
        if wish.dry_run:
            added = [patterns[pattern] for pattern in diff.added]
            return [Plan(session, _change(session.version, diff), added, wish.ticket)]
        pending = session.pending = Pending(wish.ticket, patterns, diff)
        effects: list[Effect] = []
        for pattern in diff.added:
            feed, opening = self._feeds.hold(session, pattern, now)
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
        effects += self._feeds.release(session, diff.removed, now)
        if not session.born:
            session.born = True
            self._book.arm(session, now)
            effects.append(Answer(pending.ticket, session))
        else:
            effects.append(Answer(pending.ticket, _change(session.version, diff)))
        return effects + self._next_wish(session, now)

    def _abandon(self, session: Session, error: HoldfastError, now: float) -> list[Effect]:
        """A set of patterns did not come about: as if it had never been asked for."""
        pending, session.pending = session.pending, None
        assert pending is not None
        effects = self._feeds.release(session, pending.diff.added, None)
        effects.append(Answer(pending.ticket, error=error))
        if not session.born:
            self._book.remove(session)
            return [*effects, Forget(session, None)] if pending.saving else effects
        if pending.saving:
            effects.append(Save(session, list(session.patterns.values()), session.version))
        return effects + self._next_wish(session, now)

    def _next_wish(self, session: Session, now: float) -> list[Effect]:
        effects: list[Effect] = []
        while session.wishes and session.pending is None:
            effects += self.configure(session, session.wishes.pop(0), now)
        return effects

    # as its feeds go

    def receive_feed_opened(self, pattern: str, error: HoldfastError | None, now: float) -> list[Effect]:
        """A pattern is being followed now, or could not be."""
        feed = self._feeds.get(pattern)
        if feed is None or feed.state != "opening":  # its provider went meanwhile, and closed it
            return []
        if error is not None:
            return self._feed_not_opened(feed, error, now)
        feed.state = "open"
        effects: list[Effect] = []
        if not feed.sessions:
            self._feeds.linger(feed, now)
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
                effects += self._abandon(session, _naming(feed.pattern, error), now)
        if feed.state == "failed" and feed.sessions:  # those that had it before the node restarted keep it
            self._feeds.linger(feed, now, RETRY_S)
            effects.append(Note("session.feed_not_opened", {"pattern": feed.pattern, "error": str(error)}))
        return effects

    def receive_feed_failed(self, pattern: str, reason: str, now: float) -> list[Effect]:
        """A feed is over by itself: its sessions lose the pattern, and are told."""
        feed = self._feeds.forget(pattern)
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

    # against a wish

    def unbind_all(self, name: str, feeds: Sequence[Feed], why: str, now: float) -> tuple[list[Effect], int]:
        """Take everything of a provider from every session, which is told ``why``; how many had something."""
        bound: dict[str, Session] = {}
        for feed in feeds:
            bound |= feed.sessions
        effects: list[Effect] = []
        for session in bound.values():
            effects += self._fail_pending(session, name, NotFound(why, kind="provider", name=name), now)
        for session in bound.values():
            effects += self._unbind(session, [p for p in session.patterns if provider_of(p) == name], why)
        for feed in feeds:
            self._feeds.forget(feed.pattern)
        return effects, sum(1 for session in bound.values() if session in self._book)

    def _fail_pending(self, session: Session, provider: str, error: HoldfastError, now: float) -> list[Effect]:
        """Abandon what the session is being configured to, if it needs ``provider``."""
        pending = session.pending
        if pending is None or not any(provider_of(pattern) == provider for pattern in pending.patterns):
            return []
        return self._abandon(session, error, now)

    def _unbind(self, session: Session, patterns: list[str], reason: str) -> list[Effect]:
        """Take ``patterns`` from the session; it is told."""
        if session not in self._book or not patterns:
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


def _change(version: int, diff: Diff) -> Change:
    return Change(version=version, added=diff.added, changed=diff.changed, removed=diff.removed, kept=diff.kept)


def _naming(pattern: str, error: HoldfastError) -> HoldfastError:
    """``error``, saying which pattern it is about; of its class and with its fields."""
    named = type(error)(f"{pattern}: {error.message}", **error.details())
    named.__cause__ = error
    return named
