"""What a store of group state must do, and what it is given.

A :class:`~holdfast.sync.peer.SyncPeer` does no I/O.  At the end of an operation it has at most one :class:`Write` for
the channel concerned; a shell performs it with a :class:`Persistence` and tells the peer how it went
(:class:`~holdfast.sync.saver.Saver` does both).  Source: the persistence redesign of nim-sds (#72).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

Outcome = str | None
"""None: done.  A text: what went wrong; nothing was changed."""


class StoredMessage(NamedTuple):
    """One message of the history as it is stored."""

    message_id: str
    data: bytes
    """On the wire of the channel's dialect, without filter and repair requests."""
    hint: bytes = b""
    """Its retrieval hint."""


class HistoryUpdate(NamedTuple):
    """What changed in the history since it was last stored; never both lists empty."""

    append: tuple[StoredMessage, ...] = ()
    """Oldest first.  A message that is stored already moves to the end."""
    evict: tuple[str, ...] = ()
    """Ids, oldest first.  One that is not stored is no error."""


class ChannelData(NamedTuple):
    """All that is stored of a channel."""

    meta: bytes = b""
    """The last snapshot, encoded; empty: there is none."""
    history: tuple[StoredMessage, ...] = ()
    """Oldest first."""


class Write(NamedTuple):
    """What one operation wants stored of one channel."""

    channel: str
    number: int
    """Names the write when its outcome is told."""
    meta: bytes | None
    """The whole snapshot; see :func:`~holdfast.sync.persistence.snapshot.decode_meta`."""
    history: HistoryUpdate | None
    hints: tuple[tuple[str, bytes], ...] = ()
    """Message ids and their retrieval hints."""


class Persistence(Protocol):
    """Five operations.  Each answers success or an error text, and changes all it was asked to or nothing.

    None of them raises.  A caller issues them for one channel one after the other, never two at once.
    """

    async def save_channel_meta(self, channel: str, meta: bytes) -> Outcome:
        """Replace the channel's snapshot."""
        ...

    async def update_history(self, channel: str, update: HistoryUpdate) -> Outcome:
        """Append to the channel's history and evict from it."""
        ...

    async def load_channel(self, channel: str) -> ChannelData | str:
        """All that is stored of the channel, an empty ChannelData if nothing is; or an error text.

        Never a part of it: what is torn or cannot be read is an error.
        """
        ...

    async def drop_channel(self, channel: str) -> Outcome:
        """Remove all that is stored of the channel, in one step.  Removing nothing is success."""
        ...

    async def set_retrieval_hint(self, message_id: str, hint: bytes) -> Outcome:
        """Keep a hint with a stored message; one that is not stored is no error."""
        ...


@runtime_checkable
class TransactionalPersistence(Persistence, Protocol):
    """A store that can take the snapshot and the history of one operation in one step."""

    async def commit(self, channel: str, meta: bytes | None, update: HistoryUpdate | None) -> Outcome:
        """:meth:`save_channel_meta` and :meth:`update_history` together, or neither."""
        ...
