"""The four primitives together: where a node's state lives."""

from __future__ import annotations

from typing import Protocol

from .blobs import BlobStore
from .bus import Bus
from .keyvalue import KeyValue
from .log import Log


class Engine(Protocol):
    """Where a node's state lives."""

    @property
    def log(self) -> Log: ...

    @property
    def kv(self) -> KeyValue: ...

    @property
    def blobs(self) -> BlobStore: ...

    @property
    def bus(self) -> Bus: ...

    async def start(self) -> None:
        """Open it.  BusyError(holder) if another node has it, StorageError if it cannot be used."""
        ...

    async def stop(self) -> None:
        """Make all durable and let go; idempotent.  Waiting appends finish first."""
        ...

    async def probe(self) -> None:
        """Prove that it can be written right now; StorageError if not."""
        ...
