"""A store that fails when it is told to, and counts what it is asked for."""

from __future__ import annotations

from collections import Counter
from typing import Literal, cast

from .base import ChannelData, HistoryUpdate, Outcome, Persistence, TransactionalPersistence

Operation = Literal["save_channel_meta", "update_history", "load_channel", "drop_channel", "set_retrieval_hint"]


class FaultyPersistence:
    """Passes everything on to ``inner`` but the operations named in ``failing``, which answer an error text.

    A snapshot and a history that ``inner`` takes in one step fail together, and count as one call of each.
    """

    def __init__(self, inner: Persistence) -> None:
        self.inner = inner
        self.failing: set[Operation] = set()
        self.calls: Counter[Operation] = Counter()

    def _fails(self, operation: Operation) -> str | None:
        self.calls[operation] += 1
        return f"{operation} fails as it was told to" if operation in self.failing else None

    async def save_channel_meta(self, channel: str, meta: bytes) -> Outcome:
        return self._fails("save_channel_meta") or await self.inner.save_channel_meta(channel, meta)

    async def update_history(self, channel: str, update: HistoryUpdate) -> Outcome:
        return self._fails("update_history") or await self.inner.update_history(channel, update)

    async def load_channel(self, channel: str) -> ChannelData | str:
        return self._fails("load_channel") or await self.inner.load_channel(channel)

    async def drop_channel(self, channel: str) -> Outcome:
        return self._fails("drop_channel") or await self.inner.drop_channel(channel)

    async def set_retrieval_hint(self, message_id: str, hint: bytes) -> Outcome:
        return self._fails("set_retrieval_hint") or await self.inner.set_retrieval_hint(message_id, hint)


class FaultyTransactions(FaultyPersistence):
    """The same around a store with transactions."""

    async def commit(self, channel: str, meta: bytes | None, update: HistoryUpdate | None) -> Outcome:
        errors = [self._fails("save_channel_meta") if meta is not None else None]
        errors.append(self._fails("update_history") if update is not None else None)
        inner = cast("TransactionalPersistence", self.inner)
        return next((error for error in errors if error), None) or await inner.commit(channel, meta, update)


def faulty(inner: Persistence) -> FaultyPersistence:
    """``inner``, made to fail on request."""
    return FaultyTransactions(inner) if isinstance(inner, TransactionalPersistence) else FaultyPersistence(inner)
