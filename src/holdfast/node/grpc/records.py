"""The node's records as the gRPC door uses them: one at a time there, many at once here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import HoldfastError
from .batching import Batcher

if TYPE_CHECKING:
    from ...limits import Limits
    from ...records.model import RecordMeta, Referrer
    from ...records.store import Pushed, RecordStore


class GrpcRecords:
    """Implements :class:`~holdfast.grpc.backend.Records`."""

    def __init__(self, store: RecordStore, limits: Limits) -> None:
        items_max, bytes_max = limits.record_batch_items_max, limits.record_batch_bytes_max
        self._store = store
        self._pushing: Batcher[bytes, Pushed] = Batcher(
            store.push_many, items_max=items_max, bytes_max=bytes_max, size_of=len
        )
        self._pulling: Batcher[str, bytes] = Batcher(self._pull, items_max=items_max, bytes_max=bytes_max, size_of=len)
        self._deleting: Batcher[str, None] = Batcher(
            store.delete_many, items_max=items_max, bytes_max=bytes_max, size_of=len
        )

    async def close(self) -> None:
        """Cancel what is under way."""
        for batcher in (self._pushing, self._pulling, self._deleting):
            await batcher.close()

    async def push(self, content: dict[str, Any]) -> str:
        """Store a record; its CID."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return (await self._pushing.ask(text)).cid

    async def pull(self, cid: str) -> dict[str, Any]:
        """A record's content, verified."""
        found: dict[str, Any] = json.loads(await self._pulling.ask(cid))
        return found

    async def _pull(self, cids: Sequence[str]) -> list[bytes | HoldfastError]:
        return [each async for part in self._store.pull_many(cids) for each in part]

    async def lookup(self, cid: str) -> RecordMeta:
        """What is known of a record."""
        return await self._store.stat(cid)

    async def delete(self, cid: str) -> None:
        """Delete a record; NotFound."""
        await self._deleting.ask(cid)

    async def push_referrer(
        self, cid: str, type: str, data: dict[str, Any], annotations: dict[str, str], created_at: str
    ) -> Referrer:
        """Attach an object."""
        return await self._store.referrers.put(cid, type, data, annotations, created_at)

    async def referrers(self, cid: str, type: str, referrer: str) -> list[Referrer]:
        """All that is attached."""
        found: list[Referrer] = []
        while page := await self._store.referrers.list(cid, type, referrer, found[-1].cid if found else ""):
            found += page
            if referrer:
                break
        return found

    async def delete_referrers(self, cid: str, type: str, referrer: str) -> list[str]:
        """Detach."""
        return await self._store.referrers.remove(cid, type, referrer)
