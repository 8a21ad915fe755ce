"""Small values under string keys, and what every engine promises of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from .ack import AckLevel


class Item(NamedTuple):
    """One key's value.  ``revision`` grows with every change anywhere in the store; 0 means: no such key."""

    key: str
    value: bytes
    revision: int


class Change(NamedTuple):
    """One step of a watch: ``item`` was put, or deleted (then its value is empty)."""

    item: Item
    deleted: bool = False


class Synced(NamedTuple):
    """The snapshot of a watch is complete at ``revision``; what follows is live."""

    revision: int


class KeyValue(Protocol):
    """Small values under string keys, with compare-and-set."""

    async def get(self, key: str) -> Item | None:
        """The key's item, or None."""
        ...

    async def put(self, key: str, value: bytes, *, ack: AckLevel = "disk") -> int:
        """Store ``value``; gives its revision.  Durable as ``ack`` says on return."""
        ...

    async def put_if(self, key: str, value: bytes, revision: int, *, ack: AckLevel = "disk") -> int:
        """Store ``value`` if the key is at ``revision`` (0: not there).  Conflict(expected, actual) if not."""
        ...

    async def delete(self, key: str, *, revision: int | None = None, ack: AckLevel = "disk") -> bool:
        """Remove the key; whether there was one.  Conflict if ``revision`` is given and another is there."""
        ...

    async def list(self, prefix: str = "") -> Sequence[Item]:
        """All items whose key starts with ``prefix``, by key."""
        ...

    def watch(self, prefix: str = "") -> AsyncIterator[Change | Synced]:
        """The items of now, then Synced, then every change: no gap, no repeat.

        Raises SlowConsumer(last revision given) when it falls further behind than the changes kept in memory, and
        ClosedError when the engine stops.  May be dropped at any time; a step that is cancelled loses nothing.
        """
        ...
