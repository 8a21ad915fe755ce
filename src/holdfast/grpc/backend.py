"""What the gRPC door needs of a store of records and of the node's security."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from ..records.model import RecordMeta, Referrer

Action = Literal["read", "write"]


class Records(Protocol):
    """A store of records, one item at a time; called for many items at once, it commits them together.

    Each raises NotFound(kind="record") where there has to be a record and is none, UsageError for what is no CID, and
    LimitExceeded, StorageError, CorruptionError.  All are durable on return and safe to repeat.
    """

    async def push(self, content: dict[str, Any]) -> str:
        """Store a record; its CID."""
        ...

    async def pull(self, cid: str) -> dict[str, Any]:
        """A record's content, verified."""
        ...

    async def lookup(self, cid: str) -> RecordMeta:
        """What is known of a record."""
        ...

    async def delete(self, cid: str) -> None:
        """Delete a record."""
        ...

    async def push_referrer(
        self, cid: str, type: str, data: dict[str, Any], annotations: dict[str, str], created_at: str
    ) -> Referrer:
        """Attach an object."""
        ...

    async def referrers(self, cid: str, type: str, referrer: str) -> list[Referrer]:
        """All that is attached; only of ``type``, only ``referrer``, unless these are empty."""
        ...

    async def delete_referrers(self, cid: str, type: str, referrer: str) -> list[str]:
        """Detach; the CIDs of what was detached."""
        ...


class Gate(Protocol):
    """The security the door is given.  Nothing here blocks."""

    def authenticate(self, headers: Mapping[str, str], peer: str) -> Any:
        """Who sends this metadata from ``peer``; Unauthenticated if that is not proven."""
        ...

    def holder_of(self, identity: Any) -> str:
        """Whose share of what is bounded for each token a call takes; empty: nobody's in particular."""
        ...

    def check_in_force(self, identity: Any) -> None:
        """Unauthenticated if it is not proven any more."""
        ...

    def authorize(self, identity: Any, action: Action, resource: str, peer: str = "") -> None:
        """PermissionDenied if the identity, who calls from ``peer``, may not; the resource is ``records``."""
        ...
