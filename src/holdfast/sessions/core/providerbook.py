"""Which providers there are: how they come, and what their going takes from sessions.  Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import AlreadyExists, HoldfastError, LimitExceeded, NotFound, PermissionDenied, UsageError
from ...ids import check_name
from ..model import Removal
from .effects import Answer, Effect, Note, StartProvider, StopProvider
from .state import ProviderEntry, Ticket

if TYPE_CHECKING:
    from ...limits import Limits
    from .configuring import Configurer
    from .feedbook import FeedBook


class ProviderBook:
    """All providers of a node: ``entries``, which it alone changes."""

    def __init__(
        self, entries: dict[str, ProviderEntry], feeds: FeedBook, configurer: Configurer, limits: Limits
    ) -> None:
        self._entries = entries
        self._feeds = feeds
        self._configurer = configurer
        self._limits = limits

    def receive_add_provider(self, ticket: Ticket, name: str, *, built_in: bool = False) -> list[Effect]:
        """Start it; a name that is taken is an error, and leaves nothing behind."""
        try:
            self._check_new(name)
        except HoldfastError as error:
            return [Answer(ticket, error=error)]
        self._entries[name] = ProviderEntry(name, built_in, ticket)
        return [StartProvider(name)]

    def _check_new(self, name: str) -> None:
        check_name(name)
        if "." in name:
            raise UsageError(f"name: {name!r} is the first word of subjects and holds no '.'", field="name")
        if name in self._entries:
            raise AlreadyExists(f"there is a provider {name!r} already", kind="provider", name=name)
        limit = self._limits.providers_max
        if len(self._entries) >= limit:
            raise LimitExceeded(name="providers_max", limit=limit, value=len(self._entries) + 1)

    def receive_provider_started(self, name: str, error: HoldfastError | None) -> list[Effect]:
        """It runs now, or did not start: then it is as if it had never been named."""
        entry = self._entries[name]
        ticket, entry.ticket = entry.ticket, None
        if error is not None:
            del self._entries[name]
            return [Note("provider.not_started", {"provider": name, "error": str(error)}), Answer(ticket, error=error)]
        entry.state = "running"
        effects: list[Effect] = [Note("provider.added", {"provider": name}), Answer(ticket)]
        for feed in self._feeds.of(name):  # of sessions that were there before it, after a restart
            if feed.state == "failed":
                effects += self._feeds.open(feed)
        return effects

    def receive_remove_provider(self, ticket: Ticket, name: str, reason: str, now: float) -> list[Effect]:
        """Unbind every session that used it, stop its streams, then stop it."""
        entry = self._entries.get(name)
        if entry is None or entry.state != "running":
            return [Answer(ticket, error=NotFound(kind="provider", name=name))]
        if entry.built_in:
            return [Answer(ticket, error=PermissionDenied(f"the provider {name} belongs to the node"))]
        entry.state, entry.ticket = "stopping", ticket
        feeds = self._feeds.of(name)
        entry.reason = _why(name, reason)
        effects, entry.unbound = self._configurer.unbind_all(name, feeds, entry.reason, now)
        return [*effects, StopProvider(name, [feed.pattern for feed in feeds])]

    def receive_forget_provider(self, ticket: Ticket, name: str, reason: str, now: float) -> list[Effect]:
        """A provider that did not start again with the node is given up: its sessions lose its patterns."""
        effects, unbound = self._configurer.unbind_all(name, self._feeds.of(name), _why(name, reason), now)
        return [*effects, Answer(ticket, Removal(name=name, sessions=unbound))]

    def receive_provider_stopped(self, name: str) -> list[Effect]:
        """It is gone, and its name is free."""
        entry = self._entries.pop(name)
        removal = Removal(name=name, sessions=entry.unbound)
        note = Note("provider.removed", {"provider": name, "sessions": entry.unbound, "reason": entry.reason})
        return [note, Answer(entry.ticket, removal)]


def _why(name: str, reason: str) -> str:
    """What the sessions that used a removed provider are told."""
    return f"the provider {name} was removed" + (f": {reason}" if reason else "")
