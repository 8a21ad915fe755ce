"""Which sessions there are, whose they are, and when they close by themselves.  Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import LimitExceeded, SessionNotFound
from .state import Session
from .timers import Timers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...limits import Limits
    from ..access import Caller

_TIMERS_SPARE = 1024
"""Timers of sessions that are over, beyond as many as there are sessions, before they are cleared away."""


class SessionBook:
    """All sessions of a node."""

    def __init__(self, limits: Limits) -> None:
        self.sessions: dict[str, Session] = {}
        self._limits = limits
        self._by_owner: dict[str, int] = {}
        self._idle: Timers[Session] = Timers(lambda session: session.expires_at)
        self.next_deadline = self._idle.next_deadline

    def __contains__(self, session: Session) -> bool:
        return session.id in self.sessions

    def find(self, caller: Caller, session_id: str) -> Session:
        """The session; SessionNotFound if there is none, and if it is not for ``caller``."""
        session = self.sessions.get(session_id)
        if session is not None and session.born:
            if caller.reaches_all or session.owner == caller.subject:
                return session
            caller.denied(session_id)
        raise SessionNotFound(name=session_id)

    def add(self, session: Session) -> None:
        """It is there from now on; it counts against its owner's room."""
        self.sessions[session.id] = session
        self._by_owner[session.owner] = self._by_owner.get(session.owner, 0) + 1

    def remove(self, session: Session) -> None:
        """It is over."""
        del self.sessions[session.id]
        left = self._by_owner[session.owner] - 1
        if left:
            self._by_owner[session.owner] = left
        else:
            del self._by_owner[session.owner]
        if len(self._idle) > 2 * len(self.sessions) + _TIMERS_SPARE:
            self._idle.discard(lambda one: one.id not in self.sessions)

    def check_room(self, owner: str) -> None:
        """LimitExceeded if ``owner``, or the node, can have no other one."""
        for name, limit, value in (
            ("sessions_per_identity_max", self._limits.sessions_per_identity_max, self._by_owner.get(owner, 0) + 1),
            ("sessions_max", self._limits.sessions_max, len(self.sessions) + 1),
        ):
            if value > limit:
                raise LimitExceeded(name=name, limit=limit, value=value)

    def arm(self, session: Session, now: float) -> None:
        """Start the idle timer, if the session has one."""
        if session.idle_after <= 0:
            return
        session.expires_at = now + session.idle_after
        if session.queued_at is None:
            session.queued_at = session.expires_at
            self._idle.add(session.expires_at, session)

    def due(self, now: float) -> Iterator[Session]:
        """Those that have been idle for too long; each is the caller's to close before the next."""
        for session, due in self._idle.due(now):
            session.queued_at = None
            if due and session in self:
                yield session
            elif session.expires_at is not None:
                session.queued_at = session.expires_at
                self._idle.add(session.expires_at, session)
