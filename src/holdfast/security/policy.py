"""Who may do what: one table, one question, and no for whatever is in neither.

What an identity may not know of is answered as if it did not exist.  The owner may all.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from ..errors import ChannelNotFound, NotFound, PermissionDenied
from .identity import Identity, Scope

Kind = Literal["node", "list", "all", "job", "process", "channel", "stream"]
"""What an action's resource is.  ``node``: nothing that is anybody's; ``list``: the answer holds only what the
caller :func:`sees`; ``all``: every job and channel, so nothing for an identity bound to one."""


class Rule(NamedTuple):
    """What an action takes."""

    scope: Scope
    kind: Kind
    writes: bool = True


Action = Literal[
    "node.read",
    "node.stop",
    "tokens.manage",
    "jobs.list",
    "jobs.read",
    "jobs.write",
    "jobs.start",
    "channels.list",
    "channels.read",
    "channels.write",
    "channels.create",
    "channels.manage",
    "channels.manage_process",
    "groups.read",
    "groups.write",
    "streams.list",
    "streams.read",
    "streams.write",
    "sessions.use",
    "sessions.publish",
    "sessions.providers",
    "records.read",
    "records.write",
]

RULES: dict[Action, Rule] = {
    "node.read": Rule("node:read", "node", writes=False),
    "tokens.manage": Rule("admin", "all"),
    "jobs.list": Rule("jobs:read", "list", writes=False),
    "jobs.read": Rule("jobs:read", "job", writes=False),
    "jobs.write": Rule("jobs:write", "job"),
    "jobs.start": Rule("jobs:start", "all"),
    "channels.list": Rule("channels:read", "list", writes=False),
    "channels.read": Rule("channels:read", "channel", writes=False),
    "channels.write": Rule("channels:write", "channel"),
    "channels.create": Rule("channels:create", "process"),
    "channels.manage": Rule("channels:create", "channel"),
    "channels.manage_process": Rule("channels:create", "process"),
    "groups.read": Rule("groups:read", "all", writes=False),
    "groups.write": Rule("groups:write", "all"),
    "streams.list": Rule("streams:read", "list", writes=False),
    "streams.read": Rule("streams:read", "stream", writes=False),
    "streams.write": Rule("streams:write", "stream"),
    "sessions.use": Rule("sessions:read", "list", writes=False),
    "sessions.publish": Rule("sessions:write", "all"),
    "sessions.providers": Rule("admin", "all"),
    "records.read": Rule("records:read", "all", writes=False),
    "records.write": Rule("records:write", "all"),
}

OWNERS_ONLY: frozenset[Action] = frozenset({"node.stop"})
"""What no token lets anybody do, whatever its scopes."""

assert set(RULES) | OWNERS_ONLY == set(get_args(Action)), "every action has its rule"
assert not set(RULES) & OWNERS_ONLY


def allow(identity: Identity, action: Action, resource: str = "", shown: str = "") -> None:
    """Return if ``identity`` may do ``action`` to ``resource``: a job's id, a process, ``<process>/<name>``, a path.

    ``shown``: the resource as the caller named it, for the error.  Raises PermissionDenied for a lack of scope or a
    reader that would write, NotFound, as for one that is not there, for a resource of somebody else.
    """
    if identity.local:
        return
    rule = RULES.get(action)
    if rule is None:
        raise PermissionDenied(f"{action}: nobody but the owner may")
    if rule.scope not in identity.scopes and "admin" not in identity.scopes:
        raise PermissionDenied(f"{action}: {identity.subject}'s token lacks the scope {rule.scope}")
    if rule.writes and identity.role == "reader":
        raise PermissionDenied(f"{action}: {identity.subject}'s token is a reader's and writes nothing")
    if identity.bound:
        _check_bound(identity, action, rule.kind, resource, shown or resource)


def allow_to_speak(identity: Identity, name: str) -> None:
    """Return if what ``identity`` says may bear the sender ``name``; empty: its own.  PermissionDenied if not."""
    if name and name != identity.subject and not identity.local and "admin" not in identity.scopes:
        raise PermissionDenied(f"{identity.subject} may not speak as {name}")


def sees(identity: Identity, kind: Kind, resource: str) -> bool:
    """Whether a list made for ``identity`` may hold ``resource``; scopes are :func:`allow`'s to check."""
    return identity.local or not identity.bound or _is_own(identity, kind, resource)


def _check_bound(identity: Identity, action: Action, kind: Kind, resource: str, shown: str) -> None:
    if kind == "all":
        only = f"channel {identity.channel}" if identity.channel else f"job {identity.job}"
        raise PermissionDenied(f"{action}: {identity.subject}'s token is for {only} only")
    if kind not in ("node", "list") and not _is_own(identity, kind, resource):
        raise ChannelNotFound(name=shown) if kind == "channel" else NotFound(kind=kind, name=shown)


def _is_own(identity: Identity, kind: Kind, resource: str) -> bool:
    if identity.channel:
        return kind == "channel" and resource == identity.channel
    if kind == "channel":
        process, slash, name = resource.partition("/")
        return process == identity.job and bool(slash and name)
    return kind in ("job", "process") and resource == identity.job
