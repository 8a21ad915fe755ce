"""Bearer tokens at the HTTP door: the node's authority says who, its policy says what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from ..errors import HoldfastError, NotFound, PermissionDenied, Unauthenticated
from ..security.policy import Action, allow

if TYPE_CHECKING:
    from ..durable.store import Action as HttpAction
    from ..security.authority import Authority
    from ..security.identity import Identity

_ACTIONS: dict[str, dict[str, Action]] = {
    "streams": {
        "read": "streams.read",
        "create": "streams.write",
        "append": "streams.write",
        "delete": "streams.write",
    },
    "jobs": {"read": "jobs.read"},
    "channels": {
        "read": "channels.read",
        "append": "channels.write",
        "create": "channels.create",
        "delete": "channels.manage",
    },
    "node": {"read": "node.read"},
}
"""What an HTTP action on a kind of resource is to the policy; what is not here is for nobody."""


class TokenGate:
    """Implements :class:`~holdfast.http.gate.Gate`."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def authenticate(self, headers: Mapping[str, str], peer: str) -> Identity:
        """Whose token ``Authorization: Bearer`` carries; Unauthenticated without a good one."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("a bearer token is needed: Authorization: Bearer …")
        return self._authority.authenticate(token.strip(), peer)

    def check_in_force(self, identity: object) -> None:
        """Unauthenticated once the token has expired or was revoked."""
        self._authority.check_in_force(cast("Identity", identity))

    def authorize(self, identity: object, action: HttpAction, resource: str) -> None:
        """As the policy says; a refusal is noted in the audit log."""
        caller = cast("Identity", identity)
        kind, _, name = resource.partition("/")
        wanted = _ACTIONS.get(kind, {}).get(action)
        try:
            if wanted is None:
                raise PermissionDenied(f"{kind}: nobody may {action} that over HTTP")
            first_only = kind == "jobs" or wanted == "channels.create"
            allow(caller, wanted, name.partition("/")[0] if first_only else name, resource)
        except (NotFound, PermissionDenied) as error:
            self._audit(caller, f"http.{action}", resource, error)
            raise

    def _audit(self, caller: Identity, action: str, resource: str, error: HoldfastError) -> None:
        self._authority.audit.denied(caller, action, resource, str(error))
