"""What a node stores of its groups, beside their protocol's state and their channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from ...engine.stored import Stored
from ...errors import AlreadyExists, Conflict
from ...sync.groups import GroupSpec

if TYPE_CHECKING:
    from ...engine.base import KeyValue

_RECORDS = "groups/"
_KEYS = "group-keys/"
"""Apart from the records, which are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """One group, as stored under ``groups/<name>``."""

    spec: GroupSpec
    left: bool = False
    created_at: float = 0.0
    sent_index: int = 0
    """Entries of the channel up to here were sent, if they were to be; some after it may have been."""

    def changed(self, **fields: Any) -> GroupRecord:
        """The same record with some fields replaced."""
        return replace(self, **fields)


class GroupStore:
    """The records of all groups.  Everything is durable on return."""

    def __init__(self, kv: KeyValue) -> None:
        self._kv = kv
        self._encoder = msgspec.json.Encoder()
        self._stored = Stored(GroupRecord, "a group's record")

    async def create(self, record: GroupRecord) -> None:
        """Store a new record; AlreadyExists if there is one of its name."""
        try:
            await self._kv.put_if(_RECORDS + record.spec.name, self._encoder.encode(record), 0)
        except Conflict:
            raise AlreadyExists(kind="group", name=record.spec.name) from None

    async def save(self, record: GroupRecord) -> None:
        """Store a record as it is now."""
        await self._kv.put(_RECORDS + record.spec.name, self._encoder.encode(record))

    async def forget(self, name: str) -> None:
        """Remove a record, and the group's key."""
        await self._kv.delete(_KEYS + name)
        await self._kv.delete(_RECORDS + name)

    async def save_key(self, name: str, key: bytes) -> None:
        """Store a group's key; an empty one: it has none."""
        if key:
            await self._kv.put(_KEYS + name, key)
        else:
            await self._kv.delete(_KEYS + name)

    async def load_key(self, name: str) -> bytes:
        """A group's key; empty if it has none."""
        item = await self._kv.get(_KEYS + name)
        return b"" if item is None else item.value

    async def load_all(self) -> list[GroupRecord]:
        """Every stored record, by name.  CorruptionError for one that cannot be read."""
        return [self._stored.read(item.value, item.key) for item in await self._kv.list(_RECORDS)]
