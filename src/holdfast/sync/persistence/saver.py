"""Performs what a peer wants stored, and tells it how that went."""

from __future__ import annotations

from ..peer import SyncPeer
from .base import Persistence


class Saver:
    """Ties a :class:`~holdfast.sync.peer.SyncPeer` to a :class:`~holdfast.sync.persistence.base.Persistence`.

    Call :meth:`flush` after each operation of the peer.  Calls of one Saver wait for each other, so a slow store makes
    changes gather and never makes writes overtake each other.
    """

    def __init__(self, peer: SyncPeer, persistence: Persistence) -> None:
        raise NotImplementedError

    async def ensure(self, channel: str, now: float) -> bool:
        """Load the channel and give it to the peer; whether it was new to the peer.  Idempotent.

        Raises StorageError if it cannot be loaded, CorruptionError if it cannot be read; then there is no such channel.
        """
        raise NotImplementedError

    async def remove(self, channel: str) -> None:
        """Drop the channel from storage, once, and then from the peer.

        StorageError if it cannot be dropped: then the peer still has it.
        """
        raise NotImplementedError

    async def reset(self) -> None:
        """:meth:`remove` for all channels; StorageError at the first that fails."""
        raise NotImplementedError

    async def flush(self) -> bool:
        """Store what the peer wants stored; whether all of it is.  Never raises for a failing store."""
        raise NotImplementedError
