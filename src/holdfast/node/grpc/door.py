"""The gRPC door of a node: its records, and who may use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import structlog

from ...errors import PermissionDenied, Unauthenticated
from ...grpc.door import GrpcDoor
from ...security.policy import allow
from .records import GrpcRecords

if TYPE_CHECKING:
    from ...grpc.backend import Action, Gate
    from ...grpc.settings import GrpcSettings
    from ...limits import Limits
    from ...records.store import RecordStore
    from ...security.authority import Authority
    from ...security.identity import Identity
    from ...security.policy import Action as PolicyAction

_logger = structlog.get_logger("holdfast.node")

_ACTIONS: dict[Action, PolicyAction] = {"read": "records.read", "write": "records.write"}


class GrpcSide:
    """One gRPC address and what it serves."""

    def __init__(self, settings: GrpcSettings, store: RecordStore, authority: Authority, *, limits: Limits) -> None:
        self._settings = settings
        self._records = GrpcRecords(store, limits)
        gate: Gate = _OpenGate() if settings.open else _TokenGate(authority)
        self._door = GrpcDoor(settings, self._records, gate, limits=limits)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._door.url

    async def open(self) -> None:
        """Listen.  BusyError if the address is taken."""
        await self._door.open()
        _logger.info("node.listening", url=self.url)
        if self._settings.open:
            _logger.warning("grpc.open", url=self.url, meaning="nobody needs a token")

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing new and let calls end."""
        await self._door.drain(timeout_s)

    async def close(self) -> None:
        """Stop listening."""
        await self._door.close()
        await self._records.close()


class _TokenGate:
    """The node's authority says who, its policy says what; a refusal is noted in the audit log."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def authenticate(self, headers: Mapping[str, str], peer: str) -> Identity:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            error = Unauthenticated("a bearer token is needed in the metadata: authorization: Bearer …")
            self._authority.audit.denied(None, "authenticate", "records", str(error), peer)
            raise error
        return self._authority.authenticate(token.strip(), peer)

    def holder_of(self, identity: Any) -> str:
        return cast("Identity", identity).token_id

    def check_in_force(self, identity: Any) -> None:
        self._authority.check_in_force(identity)

    def authorize(self, identity: Any, action: Action, resource: str, peer: str = "") -> None:
        caller = cast("Identity", identity)
        try:
            allow(caller, _ACTIONS[action], resource)
        except PermissionDenied as error:
            self._authority.audit.denied(caller, f"grpc.{action}", resource, str(error), peer)
            raise


class _OpenGate:
    """Lets everybody do everything: for development and for clients without tokens, asked for by name only."""

    def authenticate(self, headers: Mapping[str, str], peer: str) -> None:
        return None

    def holder_of(self, identity: Any) -> str:
        return ""

    def check_in_force(self, identity: Any) -> None:
        return None

    def authorize(self, identity: Any, action: Action, resource: str, peer: str = "") -> None:
        return None
