"""Tokens and logins at the HTTP door: the node's authority says who, its policy says what."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ...errors import HoldfastError, NotFound, PermissionDenied, Unauthenticated
from ...http.gate import Admission, Proof, Visitor
from ...security.policy import Action, allow

if TYPE_CHECKING:
    from ...durable.store import Action as HttpAction
    from ...security.authority import Authority
    from ...security.identity import Identity

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
    "sessions": {"read": "sessions.use", "create": "sessions.use"},
    "node": {"read": "node.read"},
}
"""What an HTTP action on a kind of resource is to the policy; what is not here is for nobody."""


class TokenGate:
    """Implements :class:`~holdfast.http.gate.Gate` and :class:`~holdfast.http.gate.Entrance`."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self.cookie_name = f"holdfast-{authority.node_id}"
        """Its own for each node: cookies of one host go to all its ports."""

    def authenticate(self, proof: Proof) -> Identity:
        """Whose token, or else whose login, it is; Unauthenticated without a good one.

        PermissionDenied for a cookie that a page of somebody else made the browser send.
        """
        if proof.bearer:
            return self._authority.authenticate(proof.bearer, proof.peer)
        cookie = proof.cookies.get(self.cookie_name)
        if cookie is None:
            error = Unauthenticated("a bearer token is needed: Authorization: Bearer …")
            self._authority.audit.denied(None, "authenticate", "", str(error), proof.peer)
            raise error
        identity = self._identify(cookie, proof.peer)
        if not proof.own_page:
            denial = PermissionDenied("Origin: a login is for pages of this node only")
            self._audit(identity, "http.login", "", denial, proof.peer)
            raise denial
        return identity

    def _identify(self, cookie: str, peer: str) -> Identity:
        try:
            return self._authority.logins.identify(cookie)
        except Unauthenticated as error:
            self._authority.audit.denied(None, "authenticate", "", str(error), peer)
            raise

    def check_in_force(self, identity: object) -> None:
        """Unauthenticated once the token has expired or was revoked, or the login has ended."""
        self._authority.check_in_force(cast("Identity", identity))

    def holder_of(self, identity: object) -> str:
        """The token, and all logins made for it together."""
        return cast("Identity", identity).token_id

    def refused(self, reason: str, peer: str) -> None:
        """Noted in the audit log."""
        self._authority.audit.denied(None, "http", "", reason, peer)

    def authorize(self, identity: object, action: HttpAction, resource: str, peer: str = "") -> None:
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
            self._audit(caller, f"http.{action}", resource, error, peer)
            raise

    def _audit(self, caller: Identity, action: str, resource: str, error: HoldfastError, peer: str) -> None:
        self._authority.audit.denied(caller, action, resource, str(error), peer)

    # logging in

    def look(self, code: str) -> Visitor:
        """See :meth:`Entrance.look`."""
        identity = self._authority.logins.look(code)
        return Visitor(identity.subject, identity.expires_at)

    async def enter(self, code: str, peer: str) -> Admission:
        """See :meth:`Entrance.enter`."""
        entered = await self._authority.logins.enter(code, peer)
        return Admission(entered.cookie, entered.max_age_s, entered.identity.subject, entered.page)

    async def leave(self, identity: object, peer: str) -> None:
        """See :meth:`Entrance.leave`."""
        caller = cast("Identity", identity)
        await self._authority.logins.leave(caller, peer)

    def link(self, identity: object, page: str) -> tuple[str, float]:
        """See :meth:`Entrance.link`; a login cannot make another, or it would never end."""
        caller = cast("Identity", identity)
        if caller.login:
            raise PermissionDenied("a login cannot make a link; show the token itself")
        return self._authority.logins.link(caller, caller, page)
