"""Channels in a node: callers as the router knows them, and the channels of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..channels.access import Action, Owner, Reach
from ..channels.model import channel_id
from ..errors import NotFound, PermissionDenied
from ..security.policy import Action as PolicyAction
from ..security.policy import allow

if TYPE_CHECKING:
    from ..channels.router import ChannelRouter
    from ..security.audit import AuditLog
    from ..security.identity import Identity

_POLICY: dict[Action, PolicyAction] = {
    "create": "channels.create",
    "read": "channels.read",
    "append": "channels.write",
    "manage": "channels.manage",
}


class ChannelCaller:
    """A proven identity, as :class:`~holdfast.channels.access.Caller`.

    What its token does not allow it does not reach.  A token bound to a job or a channel was made for just that, one
    that creates channels is a scheduler's, and a reader's reads: they reach whatever the token allows.  Everyone else
    reaches the channels it is submitter or executor of.
    """

    def __init__(self, identity: Identity, audit: AuditLog, peer: str = "") -> None:
        self._identity = identity
        self._audit = audit
        self._peer = peer
        self.subject = identity.subject

    def reach(self, action: Action, process: str, name: str) -> Reach:
        """How far its right to ``action`` goes for the channel ``name`` of ``process``."""
        identity = self._identity
        if identity.local or ("admin" in identity.scopes and not identity.bound):
            return "any"
        try:
            allow(identity, _POLICY[action], process if action == "create" else channel_id(process, name))
        except (NotFound, PermissionDenied):
            return "none"
        if identity.bound or action in ("create", "manage") or identity.role == "reader":
            return "any"
        return "own"

    def denied(self, operation: str, channel: str) -> None:
        """Into the audit log."""
        self._audit.denied(self._identity, f"channels.{operation}", channel, "not its channel", self._peer)


class JobChannels:
    """Makes, closes and removes the channels of jobs: a :class:`~holdfast.jobs.observer.JobObserver`."""

    def __init__(self, router: ChannelRouter) -> None:
        self._router = router
        self._node = Owner("node")

    async def starting(self, job_id: str, channels: Sequence[str], starter: str) -> None:
        """Make them: the job's starter is the submitter, the job itself the executor."""
        for name in channels:
            await self._router.create(
                self._node, job_id, name, submitter=starter or "node", executor=f"job:{job_id}", missing_ok=True
            )

    async def ended(self, job_id: str) -> None:
        """Close them; they can be read until their retention ends."""
        try:
            await self._router.end_process(self._node, job_id)
        except NotFound:
            pass  # somebody removed them

    async def removed(self, job_id: str) -> None:
        """Remove them with the job."""
        await self._router.cleanup_process(self._node, job_id, "its job was removed")
