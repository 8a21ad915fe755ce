"""Who calls, once it is proven: the node's owner, or whoever shows one of its tokens."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Scope = Literal[
    "node:read",
    "jobs:read",
    "jobs:write",
    "jobs:start",
    "channels:read",
    "channels:write",
    "channels:create",
    "groups:read",
    "groups:write",
    "streams:read",
    "streams:write",
    "sessions:read",
    "sessions:write",
    "records:read",
    "records:write",
    "admin",
]
"""What a token lets its bearer do; none includes another, but ``admin`` includes all."""
SCOPES: tuple[Scope, ...] = get_args(Scope)

Role = Literal["", "submitter", "executor", "reader"]
"""Which side of a channel the bearer is on; a ``reader`` writes nowhere."""
ROLES: tuple[Role, ...] = get_args(Role)


class Identity(NamedTuple):
    """A proven caller.  Bound to a job or a channel, nothing else exists for it."""

    subject: str
    """Who it is, as channels and logs name it."""
    scopes: frozenset[str] = frozenset()
    job: str = ""
    """Id of the only job it reaches; empty: any."""
    channel: str = ""
    """``<process>/<name>`` of the only channel it reaches; empty: any."""
    role: Role = ""
    token_id: str = ""
    """The token's id, which is no secret; empty for the owner."""
    local: bool = False
    """The node's owner, on the unix socket: may all."""
    expires_at: float = 0.0
    """Seconds since the epoch; 0.0: never."""
    login: str = ""
    """The browser's login it came with, if it did not show the token itself; no secret."""

    @property
    def name(self) -> str:
        """As the caller is told who it is."""
        return self.subject

    @property
    def bound(self) -> bool:
        """Whether it reaches one job or channel only."""
        return bool(self.job or self.channel)


def owner(uid: int) -> Identity:
    """The node's owner."""
    return Identity(f"local:{uid}", local=True)
