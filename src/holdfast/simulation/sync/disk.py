"""What a simulated peer has stored: snapshot and history, with writes that may fail."""

from __future__ import annotations

from random import Random

from ...sync.peer import SyncPeer
from ...sync.persistence.base import ChannelData, StoredMessage, Write


class SyncDisk:
    """One peer's storage of one channel.  ``write_errors``: share of the writes that fail, from now on."""

    def __init__(self, random: Random, write_errors: float) -> None:
        self._random = random
        self.write_errors = write_errors
        self._meta = b""
        self._history: dict[str, StoredMessage] = {}
        self.writes = 0
        self.failed = 0
        self.behind = False
        """The last write failed: what is stored is older than what the peer knows."""

    def perform(self, peer: SyncPeer) -> None:
        """Store what ``peer`` wants stored, or let it fail, and tell it."""
        for write in peer.writes():
            self.writes += 1
            meta_error, history_error = self._error(), self._error()
            if write.meta is None:
                meta_error = None  # nothing was written, so nothing failed
            elif meta_error is None:
                self._meta = write.meta
            if write.history is None:
                history_error = None
            if history_error is None:
                self._update(write)
            self.behind = bool(meta_error or history_error)
            self.failed += self.behind
            peer.saved(write.channel, write.number, meta_error=meta_error, history_error=history_error)

    def load(self) -> ChannelData:
        """All that is stored."""
        return ChannelData(self._meta, tuple(self._history.values()))

    def __len__(self) -> int:
        return len(self._history)

    def _error(self) -> str | None:
        return "disk on fire" if self.write_errors and self._random.random() < self.write_errors else None

    def _update(self, write: Write) -> None:
        if write.history is None:
            return
        for message_id in write.history.evict:
            self._history.pop(message_id, None)
        for message in write.history.append:
            self._history.pop(message.message_id, None)
            self._history[message.message_id] = message
