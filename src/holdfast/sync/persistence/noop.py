"""State that is kept nowhere: the default."""

from __future__ import annotations

from .base import ChannelData, HistoryUpdate, Outcome


class NoPersistence:
    """Takes everything, keeps nothing, never fails."""

    async def save_channel_meta(self, channel: str, meta: bytes) -> Outcome:
        return None

    async def update_history(self, channel: str, update: HistoryUpdate) -> Outcome:
        return None

    async def load_channel(self, channel: str) -> ChannelData | str:
        return ChannelData()

    async def drop_channel(self, channel: str) -> Outcome:
        return None

    async def set_retrieval_hint(self, message_id: str, hint: bytes) -> Outcome:
        return None
