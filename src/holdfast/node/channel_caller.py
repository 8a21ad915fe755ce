"""A proven caller, as channels want to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import NotFound, PermissionDenied
from ..security.policy import allow

if TYPE_CHECKING:
    from ..channels.access import Action, Reach
    from ..security.identity import Identity
    from ..security.policy import Action as PolicyAction

_ACTIONS: dict[Action, PolicyAction] = {
    "create": "channels.create",
    "read": "channels.read",
    "append": "channels.write",
    "manage": "channels.manage",
}


class ChannelCaller:
    """Implements :class:`~holdfast.channels.access.Caller` over an identity and the policy.

    Denials of commands have been noted before; these answers are for what a command cannot know, as lists.
    """

    __slots__ = ("_identity", "subject")

    def __init__(self, identity: Identity) -> None:
        self.subject = identity.subject
        self._identity = identity

    def reach(self, action: Action, process: str, name: str) -> Reach:
        """How far its right goes: a submitter or executor bound to nothing has the channels that name it."""
        identity = self._identity
        try:
            allow(identity, _ACTIONS[action], process if action == "create" else f"{process}/{name}")
        except (PermissionDenied, NotFound):
            return "none"
        by_role = identity.role in ("submitter", "executor") and not (identity.bound or action == "create")
        return "own" if by_role else "any"
