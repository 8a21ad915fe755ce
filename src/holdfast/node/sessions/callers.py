"""Who has sessions, in the node: a proven identity, and what of each provider it may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...channels.access import Gate
from ...errors import HoldfastError, NotFound, PermissionDenied
from ...security.identity import Identity
from ...security.policy import Action, allow, sees
from ...subjects import name_of
from ..channels import ChannelCaller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...channels.router import ChannelRouter
    from ...security.audit import AuditLog

_READS: dict[str, Action] = {"jobs": "jobs.list", "channels": "channels.list"}
"""What reading from a provider takes; from all others that are not here: having sessions at all."""
_USE: Action = "sessions.use"


class SessionCaller:
    """A proven identity, as :class:`~holdfast.sessions.access.Caller`.

    Jobs and channels are those that it reaches by their own commands.  Whoever is bound to one job or channel reaches
    nothing else: no bus, and no feed.
    """

    def __init__(self, identity: Identity, channels: ChannelRouter, audit: AuditLog, peer: str = "") -> None:
        self.identity = identity
        self.subject = identity.subject
        self.channel_caller = ChannelCaller(identity, audit, peer)
        self._channels = channels
        self._audit = audit
        self._peer = peer
        self._gate = Gate()
        self._free = identity.local or ("admin" in identity.scopes and not identity.bound)

    @property
    def reaches_all(self) -> bool:
        """The owner's and an admin's other people's sessions are."""
        return self._free

    def denied(self, session: str) -> None:
        """Into the audit log."""
        self._audit.denied(self.identity, _USE, session, "not its session", self._peer)

    def grant(self) -> dict[str, Any]:
        """What it was proven to be."""
        identity = self.identity
        return {
            "subject": identity.subject,
            "scopes": sorted(identity.scopes),
            "job": identity.job,
            "channel": identity.channel,
            "role": identity.role,
            "local": identity.local,
        }

    def check(self, provider: str) -> None:
        """PermissionDenied if it may read nothing of ``provider``."""
        allow(self.identity, _READS.get(provider, _USE))
        if provider not in _READS and self.identity.bound:
            raise PermissionDenied(f"{self.subject}'s token is for one job or channel only, and reads no {provider}")

    def check_send(self, provider: str) -> None:
        """PermissionDenied if it may send nothing to ``provider``; jobs and channels have rules of their own."""
        if provider not in _READS:
            allow(self.identity, "sessions.publish")

    def reads_all(self, provider: str) -> bool:
        """Whether it may read every subject of ``provider``."""
        if self._free:
            return True
        if self.identity.bound or (provider == "channels" and self.identity.role != "reader"):
            return False
        return self._allowed(provider)

    def _allowed(self, provider: str) -> bool:
        try:
            self.check(provider)
        except (PermissionDenied, NotFound):
            return False
        return True

    def reads(self, subject: str) -> bool:
        """Whether it may read ``subject``."""
        if self._free:
            return True
        provider, _, rest = subject.partition(".")
        if not self._allowed(provider):
            return False
        if provider == "jobs":
            return sees(self.identity, "job", rest.partition(".")[0])
        return provider != "channels" or self._reads_channel(rest)

    def _reads_channel(self, rest: str) -> bool:
        process, _, name = rest.partition(".")
        found = self._channels.get_channel(name_of(process), name_of(name))
        return found is not None and self._gate.allows(self.channel_caller, "read", found)


def restored(grant: Mapping[str, Any], channels: ChannelRouter, audit: AuditLog) -> SessionCaller:
    """The caller that :meth:`SessionCaller.grant` was asked of, before the node restarted."""
    identity = Identity(
        str(grant["subject"]),
        frozenset(grant.get("scopes", ())),
        job=grant.get("job", ""),
        channel=grant.get("channel", ""),
        role=grant.get("role", ""),
        local=bool(grant.get("local")),
    )
    return SessionCaller(identity, channels, audit)


def caller_of(sender: Any) -> SessionCaller:
    """The sender of a message, who came in by the node's door."""
    if not isinstance(sender, SessionCaller):
        raise HoldfastError("only the node's callers send to its own providers")
    return sender
