"""Who may come in over HTTP.  Deny by default: being on the same machine proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..durable.store import Action


class Gate(Protocol):
    """The security the door is given."""

    def authenticate(self, headers: Mapping[str, str], peer: str) -> Any:
        """Who sends these headers from ``peer``; Unauthenticated if that is not proven.  Does not block."""
        ...

    def check_in_force(self, identity: Any) -> None:
        """Unauthenticated if it is not proven any more: its token has expired or was revoked.  Does not block."""
        ...

    def authorize(self, identity: Any, action: Action, resource: str) -> None:
        """PermissionDenied, or NotFound if the identity may not even know of ``resource``.  Does not block.

        Resources are ``streams/<path>``, ``jobs/<id>/output``, ``channels/<process>/<name>`` and ``node/metrics``.
        """
        ...


class OpenGate:
    """Lets everybody do everything: for development and tests, asked for by name only."""

    def authenticate(self, headers: Mapping[str, str], peer: str) -> Any:
        """Anybody."""
        return None

    def check_in_force(self, identity: Any) -> None:
        """For ever."""

    def authorize(self, identity: Any, action: Action, resource: str) -> None:
        """Anything."""


def peer_of(request: Request) -> str:
    """Where a request comes from, for the audit log."""
    return f"{request.client.host}:{request.client.port}" if request.client is not None else ""
