"""The manager's core: what each command changes, and what is to be done about it.

Sans-I/O: ``receive_*`` takes a command, changes the state at once and gives the effects that the ``shell``
carries out in order.  What takes time comes back as another command.  Nothing here waits, so nothing is half done.

Here are the life and the clients of sessions; ``configuring`` has their patterns, ``providerbook`` the providers.

Where it comes from: the data service whose manager this follows had three of its handlers unfinished (the end of a
provider, configuring, closing), and armed the idle timer of a new session only if the timeout was *not* positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import (
    ClientAlreadyAttached,
    ClientNotAttached,
    HoldfastError,
    SessionClosed,
    SessionNotFound,
    SessionTaken,
)
from .configuring import Configurer
from .effects import Answer, BeginDelivery, Bind, Dispose, Effect, EndDelivery, Forget, Note
from .feedbook import FeedBook
from .providerbook import ProviderBook
from .sessionbook import SessionBook
from .state import Attached, ProviderEntry, Session, Ticket, Wish

if TYPE_CHECKING:
    from ...limits import Limits
    from ..access import Caller
    from ..model import PatternSpec


class Manager:
    """All sessions, feeds and providers of a node, as they are decided."""

    def __init__(self, limits: Limits) -> None:
        self.providers: dict[str, ProviderEntry] = {}
        self.feeds = FeedBook(limits.session_linger_s, self._running)
        self.attached = 0
        self.reaped = 0
        self._book = SessionBook(limits)
        self.sessions = self._book.sessions
        self.find = self._book.find
        self._configurer = configurer = Configurer(self._book, self.feeds, self._running, limits)
        self.receive_configure = configurer.receive_configure
        self.receive_session_saved = configurer.receive_session_saved
        self.receive_feed_opened = configurer.receive_feed_opened
        self.receive_feed_failed = configurer.receive_feed_failed
        providers = ProviderBook(self.providers, self.feeds, configurer, limits)
        self.receive_add_provider = providers.receive_add_provider
        self.receive_provider_started = providers.receive_provider_started
        self.receive_remove_provider = providers.receive_remove_provider
        self.receive_forget_provider = providers.receive_forget_provider
        self.receive_provider_stopped = providers.receive_provider_stopped

    def _running(self, provider: str) -> bool:
        entry = self.providers.get(provider)
        return entry is not None and entry.state == "running"

    # time

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` is to be called next."""
        deadlines = [one for one in (self._book.next_deadline(), self.feeds.next_deadline()) if one is not None]
        return min(deadlines, default=None)

    def handle_timer(self, now: float) -> list[Effect]:
        """Close what has been idle for too long, and feeds that nobody came back to."""
        effects: list[Effect] = []
        for session in self._book.due(now):
            self.reaped += 1
            effects += self._close(session, f"idle for {session.idle_after:g} s", None, now)
        return effects + self.feeds.handle_timer(now)

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
            self._book.check_room(caller.subject)
        except HoldfastError as error:
            return [Answer(ticket, error=error)]
        session = Session(session_id, caller, idle_after, wall)
        self._book.add(session)
        return self._configurer.configure(session, Wish(ticket, specs), now)

    def receive_recovered(self, session: Session, now: float) -> list[Effect]:
        """A session of before the node's restart, as it was stored: nobody is attached."""
        self._book.add(session)
        session.born = True
        self._book.arm(session, now)
        effects: list[Effect] = [Bind(session, list(session.patterns.values()), [], [])]
        for pattern in session.patterns:
            effects += self.feeds.hold(session, pattern, now)[1]
        return effects

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
        self._book.remove(session)
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
        self._book.arm(session, now)
        return [EndDelivery(session, error)]

    def check_attached(self, session: Session, attachment: int) -> None:
        """ClientNotAttached if nobody is, or, with ``attachment``, somebody else is."""
        if not session.attachment:
            raise ClientNotAttached(f"session {session.id} has no client")
        if attachment and attachment != session.attachment:
            raise ClientNotAttached(f"session {session.id} has another client by now")
