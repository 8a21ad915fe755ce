"""Append-only sequences: what is in them, and what every engine promises of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Literal, NamedTuple, Protocol

from .ack import AckLevel

LogMode = Literal["bytes", "entries", "runs"]
"""``bytes``: positions count bytes from 0.  ``entries``: positions count entries, the first is 1.

``runs``: positions count entries from 1 too, but the engine does not know them: what is appended, stored and read is
a blob that says how many it holds.
"""


class Run(NamedTuple):
    """Bytes of a bytes-mode log: ``data`` starts at ``position``; ``tag`` (0-15) is the writer's."""

    position: int
    data: bytes
    tag: int = 0

    @property
    def end(self) -> int:
        """The position after the last byte."""
        return self.position + len(self.data)


class Hole(NamedTuple):
    """A gap in a bytes-mode log: the ``length`` bytes from ``position`` on were lost before they got here."""

    position: int
    length: int

    @property
    def end(self) -> int:
        """The position after the gap."""
        return self.position + self.length


class Entry(NamedTuple):
    """One entry of an entries-mode log."""

    position: int
    data: bytes
    tag: int = 0

    @property
    def end(self) -> int:
        """The position of the next entry."""
        return self.position + 1


class Packed(NamedTuple):
    """A blob of a runs-mode log, exactly as appended: the ``count`` entries from ``position`` on."""

    position: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    data: bytes

    @property
    def end(self) -> int:
        """The position after the last entry."""
        return self.position + self.count

    @property
    def tag(self) -> int:
        """Blobs have none: 0."""
        return 0


Piece = Run | Hole | Entry | Packed


class Producer(NamedTuple):
    """Who appends, in which life of his, and the how-manieth append of it this is, from 0."""

    id: str
    epoch: int
    sequence: int


class LogStat(NamedTuple):
    """A log's figures at one moment."""

    name: str
    mode: LogMode
    oldest: int
    """The first position that can be read."""
    tail: int
    """The position the next append gets."""
    closed: bool
    stored_bytes: int
    """Payload bytes kept, holes and trimmed parts not counted; a blob counts until all of it is trimmed."""
    hole_bytes: int
    """Sum of all holes ever recorded, trimmed ones too."""
    meta: bytes = b""
    """Whatever its owner keeps with it; nothing to the engine."""


class Log(Protocol):
    """Append-only sequences with dense, stable positions."""

    async def create(self, name: str, *, mode: LogMode = "bytes", meta: bytes = b"") -> LogStat:
        """Make an empty log, durable on return.  AlreadyExists if there is one of that name."""
        ...

    async def fork(self, name: str, source: str, position: int, *, meta: bytes = b"") -> LogStat:
        """Make a log whose content is that of ``source`` up to ``position``, and which then goes on by itself.

        It has the same mode, positions, holes and tags; it is open, has a ``meta`` of its own and knows no producers.
        The two share storage where that can be done: what happens to ``source`` from now on, trims and deletion too,
        does nothing to the fork.  Appends to ``source`` that wait to be stored come first.  Durable on return.

        Raises NotFound; AlreadyExists; Gone(oldest) below the oldest position; UsageError beyond the tail, and inside
        a blob of a runs-mode log.
        """
        ...

    def append(
        self,
        name: str,
        data: bytes | Sequence[bytes],
        *,
        count: int | None = None,
        tag: int = 0,
        expected_tail: int | None = None,
        ack: AckLevel = "disk",
        meta: bytes | None = None,
        producer: Producer | None = None,
        close: bool = False,
    ) -> Awaitable[int]:
        """Append bytes (bytes mode: one run) or entries (entries mode: a batch, all or nothing); gives the new tail.

        In runs mode ``data`` is one blob that holds ``count`` entries; it has no tag and may be empty.  The other
        modes take no ``count``.  No bytes, no entries or a ``count`` of 0 append nothing.

        The append takes its place in the log when this is *called*, so calls need not be awaited one by one;
        the awaitable is done when ``ack`` is reached.  Cancelling the wait does not undo the append.  Appending
        nothing stores nothing and gives the tail.

        ``meta`` replaces the log's, ``close`` closes it, both with the append or not at all, also if there is nothing
        to append.  Readers see them when they see the append.

        ``producer`` makes it safe to try again: a log takes the appends of a producer and epoch once each, in the
        order of their sequences from 0.  It remembers the last one, changed with the append or not at all.  This is
        decided when append is called:

        * a sequence it took before: nothing is appended; Duplicate(sequence, position), not before what was appended
          then has reached ``ack``, and StorageError if it could not be stored after all;
        * one that is not the next: SequenceGap(expected, received);
        * an epoch below that of the last append: Fenced(epoch);
        * a new producer or a higher epoch that does not begin with 0: UsageError.

        Duplicate and Fenced come before ClosedError, and that before all others.

        Every error comes through the awaitable, none from the call: NotFound, ClosedError after :meth:`close`,
        Conflict(expected, actual) if ``expected_tail`` is not the tail, UsageError for data of the wrong kind,
        LimitExceeded if it, or all that waits to be stored, is too much, and StorageError if it could not be stored:
        then nothing of it was, appends queued behind it on this log fail too, and the log goes on from its last
        stored position.
        """
        ...

    async def annotate(self, name: str, meta: bytes) -> None:
        """Replace the log's meta, durable on return; in line with its appends, and on closed logs too."""
        ...

    async def producer(self, name: str, producer_id: str) -> Producer | None:
        """The last append of this producer that has its place in the log; it may not be stored yet.  NotFound."""
        ...

    def skip(self, name: str, length: int, *, expected_tail: int | None = None) -> Awaitable[int]:
        """Record a hole of ``length`` bytes at the tail of a bytes-mode log; as :meth:`append` otherwise."""
        ...

    async def read(self, name: str, position: int, *, max_bytes: int = 1 << 20) -> list[Piece]:
        """What is at ``position`` and after, at most ``max_bytes`` of payload but at least one piece; [] at the tail.

        Sees every append that was acknowledged to the caller before.  Runs are cut to begin at ``position``; the blobs
        of a runs-mode log come whole, so the first one may begin below.
        Raises NotFound; Gone(oldest) below the oldest position; UsageError beyond the tail.
        """
        ...

    async def read_when_stored(
        self, name: str, position: int, *, max_bytes: int = 1 << 20, within_s: float | None = None
    ) -> list[Piece]:
        """:meth:`read`; if what has its place at ``position`` cannot be read yet, as soon as it can.

        That is when it has reached the ack level of its append.  [] at the tail, at once; and if it takes longer than
        ``within_s`` (None: it may take as long as it takes), or is not stored after all.

        Raises as :meth:`read`, also while it waits; ClosedError when the engine stops.  Cancel-safe.
        """
        ...

    def follow(self, name: str, position: int, *, max_bytes: int = 1 << 20) -> AsyncIterator[list[Piece]]:
        """:meth:`read`, again and again, waiting at the tail; ends when all of a closed log was given.

        Every piece comes once and in order.  Raises Gone when trimmed past, NotFound when the log is deleted,
        ClosedError when the engine stops.  What it gives has reached the ack level of its append.  The iterator is a
        position and nothing else: it may be dropped at any time, and a step that is cancelled loses nothing.
        """
        ...

    async def trim(self, name: str, position: int) -> None:
        """Forget all below ``position``, durably; readers there get Gone.  Trimming to below the oldest does nothing.

        Raises NotFound; UsageError beyond the tail.  The room comes back soon after, without anybody waiting.
        """
        ...

    async def close(self, name: str) -> None:
        """No more appends; followers end after the last piece.  Idempotent, durable on return."""
        ...

    async def delete(self, name: str) -> None:
        """Remove the log; its followers get NotFound.  NotFound if there is none."""
        ...

    async def stat(self, name: str) -> LogStat:
        """The figures of one log.  NotFound if there is none."""
        ...

    async def list(self, prefix: str = "") -> Sequence[LogStat]:
        """The figures of all logs whose name starts with ``prefix``, by name."""
        ...
