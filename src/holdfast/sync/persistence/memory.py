"""State kept in memory: for tests, simulations, and what need not survive the process."""

from __future__ import annotations

from .base import ChannelData, HistoryUpdate, Outcome, StoredMessage


class MemoryPersistence:
    """Keeps channels until it is forgotten itself; several participants must not share one."""

    def __init__(self) -> None:
        self.meta: dict[str, bytes] = {}
        """The snapshot of each channel."""
        self.history: dict[str, dict[str, StoredMessage]] = {}
        """The messages of each channel by id, oldest first."""

    async def save_channel_meta(self, channel: str, meta: bytes) -> Outcome:
        self.meta[channel] = meta
        return None

    async def update_history(self, channel: str, update: HistoryUpdate) -> Outcome:
        kept = self.history.setdefault(channel, {})
        for message_id in update.evict:
            kept.pop(message_id, None)
        for message in update.append:
            kept.pop(message.message_id, None)
            kept[message.message_id] = message
        return None

    async def load_channel(self, channel: str) -> ChannelData | str:
        return ChannelData(self.meta.get(channel, b""), tuple(self.history.get(channel, {}).values()))

    async def drop_channel(self, channel: str) -> Outcome:
        self.meta.pop(channel, None)
        self.history.pop(channel, None)
        return None

    async def set_retrieval_hint(self, message_id: str, hint: bytes) -> Outcome:
        for kept in self.history.values():
            if message_id in kept:
                kept[message_id] = kept[message_id]._replace(hint=hint)
        return None
