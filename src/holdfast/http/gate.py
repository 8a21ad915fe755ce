"""Who may come in over HTTP.  Deny by default: being on the same machine proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import structlog

from .guard import is_own_page

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..durable.store import Action

_logger = structlog.get_logger("holdfast.http")


class Proof(NamedTuple):
    """What a request shows of who sends it."""

    bearer: str = ""
    """The token in ``Authorization: Bearer``."""
    cookies: Mapping[str, str] = {}
    own_page: bool = False
    """It comes from a page of this node, or from nobody's: a cookie may speak for it."""
    peer: str = ""


class Gate(Protocol):
    """The security the door is given."""

    def authenticate(self, proof: Proof) -> Any:
        """Who shows this; Unauthenticated or PermissionDenied if that is not proven.  Does not block."""
        ...

    def check_in_force(self, identity: Any) -> None:
        """Unauthenticated if it is not proven any more: its token has expired or was revoked.  Does not block."""
        ...

    def authorize(self, identity: Any, action: Action, resource: str, peer: str = "") -> None:
        """PermissionDenied, or NotFound if the identity may not even know of ``resource``.  Does not block.

        Resources are ``streams/<path>``, ``jobs/<id>/output``, ``channels/<process>/<name>`` and ``node/metrics``.
        ``peer`` is where the request comes from, for the audit log.
        """
        ...

    def holder_of(self, identity: Any) -> str:
        """Who shares the number of live readers that one may have: a token's id; empty: there is no such number."""
        ...

    def refused(self, reason: str, peer: str) -> None:
        """Note that a request was turned away before anybody was asked who sends it.  Does not block."""
        ...


class Visitor(NamedTuple):
    """Whom a login link would let in."""

    subject: str
    expires_at: float
    """When its token is worthless; seconds since the epoch."""


class Admission(NamedTuple):
    """What a browser gets for its code."""

    cookie: str
    max_age_s: int
    subject: str
    page: str
    """Where it goes on to; empty: nowhere in particular."""


class Entrance(Protocol):
    """How browsers log in."""

    cookie_name: str

    def look(self, code: str) -> Visitor:
        """Whom ``code`` would let in; Unauthenticated if it is good no more.  It stays good.  Does not block."""
        ...

    async def enter(self, code: str, peer: str) -> Admission:
        """Exchange ``code`` for a cookie; it is worthless then.  Unauthenticated, LimitExceeded, StorageError."""
        ...

    async def leave(self, identity: Any, peer: str) -> None:
        """End the login that ``identity`` came with."""
        ...

    def link(self, identity: Any, page: str) -> tuple[str, float]:
        """A code for the bearer itself, and until when it is good.  UsageError, LimitExceeded.  Does not block."""
        ...


class OpenGate:
    """Lets everybody do everything: for development and tests, asked for by name only."""

    def authenticate(self, proof: Proof) -> Any:
        """Anybody."""
        return None

    def check_in_force(self, identity: Any) -> None:
        """For ever."""

    def authorize(self, identity: Any, action: Action, resource: str, peer: str = "") -> None:
        """Anything."""

    def holder_of(self, identity: Any) -> str:
        """Nobody in particular."""
        return ""

    def refused(self, reason: str, peer: str) -> None:
        """There is no audit log to note it in."""
        _logger.warning("http.refused", reason=reason, peer=peer)


def peer_of(request: Request) -> str:
    """Where a request comes from, for the audit log."""
    return f"{request.client.host}:{request.client.port}" if request.client is not None else ""


def proof_of(request: Request) -> Proof:
    """What ``request`` shows of who sends it."""
    headers = request.headers
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return Proof(
        bearer=token.strip() if scheme.lower() == "bearer" else "",
        cookies=request.cookies if "authorization" not in headers else {},  # one proof; the stronger one counts
        own_page=is_own_page(
            request.method,
            headers.get("origin"),
            headers.get("sec-fetch-site"),
            request.scope["scheme"],
            headers.get("host", ""),
        ),
        peer=peer_of(request),
    )
