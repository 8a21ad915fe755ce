"""Performs what a peer wants stored, and tells it how that went."""

from __future__ import annotations

import asyncio

from ..errors import StorageError
from .peer import SyncPeer
from .persistence.base import Outcome, Persistence, TransactionalPersistence, Write


class Saver:
    """Ties a :class:`~holdfast.sync.peer.SyncPeer` to a :class:`~holdfast.sync.persistence.base.Persistence`.

    Call :meth:`flush` after each operation of the peer.  Calls of one Saver wait for each other, so a slow store makes
    changes gather and never makes writes overtake each other.
    """

    def __init__(self, peer: SyncPeer, persistence: Persistence) -> None:
        self.peer = peer
        self.persistence = persistence
        self._turn = asyncio.Lock()

    async def ensure(self, channel: str, now: float) -> bool:
        """Load the channel and give it to the peer; whether it was new to the peer.  Idempotent.

        Raises StorageError if it cannot be loaded, CorruptionError if it cannot be read; then there is no such channel.
        """
        async with self._turn:
            if channel in self.peer.channels:
                return False
            stored = await self.persistence.load_channel(channel)
            if isinstance(stored, str):
                raise StorageError(f"channel {channel!r} cannot be loaded: {stored}")
            made = self.peer.ensure(channel, now, stored)
        await self.flush()
        return made

    async def remove(self, channel: str) -> None:
        """Drop the channel from storage, once, and then from the peer.

        StorageError if it cannot be dropped: then the peer still has it.
        """
        async with self._turn:
            error = await self.persistence.drop_channel(channel)
            if error is not None:
                raise StorageError(f"channel {channel!r} cannot be dropped: {error}")
            if channel in self.peer.channels:
                self.peer.remove(channel)

    async def reset(self) -> None:
        """:meth:`remove` for all channels; StorageError at the first that fails."""
        for channel in self.peer.channels:
            await self.remove(channel)

    async def flush(self) -> bool:
        """Store what the peer wants stored; whether all of it is.  Never raises for a failing store.

        Cancelling it does not stop what is under way, and counts as failed: it is stored again with the next.
        """
        async with self._turn:
            complete = True
            for write in self.peer.writes():
                meta_error: Outcome = "not stored: cut off"
                history_error: Outcome = meta_error
                hints_error: Outcome = meta_error
                try:
                    meta_error, history_error = await self._perform(write)
                    hints_error = await self._hint(write)
                finally:
                    self.peer.saved(
                        write.channel,
                        write.number,
                        meta_error=meta_error,
                        history_error=history_error,
                        hints_error=hints_error,
                    )
                complete = complete and not (meta_error or history_error or hints_error)
            return complete

    async def _perform(self, write: Write) -> tuple[Outcome, Outcome]:
        """The history first: a message that is in it and still in a buffer is recognised by the next load."""
        channel, meta, update = write.channel, write.meta, write.history
        store = self.persistence
        if isinstance(store, TransactionalPersistence) and (meta is not None or update is not None):
            error = await store.commit(channel, meta, update)
            return error, error
        history_error = await store.update_history(channel, update) if update is not None else None
        meta_error = await store.save_channel_meta(channel, meta) if meta is not None else None
        return meta_error, history_error

    async def _hint(self, write: Write) -> Outcome:
        error: Outcome = None
        for message_id, hint in write.hints:
            error = await self.persistence.set_retrieval_hint(message_id, hint) or error
        return error
