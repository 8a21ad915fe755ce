"""One subscriber: a cursor in a channel, and a stream that carries runs to it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from ..errors import ClosedError, HoldfastError, NotFound, StorageError, SubscriberTooSlow, UsageError
from ..rpc.failures import encode_failure
from ..streams import Writer
from .feed import FOLLOW_BYTES
from .unpacking import cut_runs, without_sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..streams import OutputSender
    from .feed import Feed
    from .model import SlowPolicy

_logger = structlog.get_logger("holdfast.channels")

_RING_BYTES = 1 << 20
"""Room of a paged subscriber's stream; what does not fit waits in the log, where it costs nothing."""


class Carrier(Protocol):
    """What a subscription needs of its connection."""

    def attach_sender(self, sender: OutputSender, on_moved: Callable[[], None] | None = None) -> None:
        """Send for ``sender``; call ``on_moved`` when something of it was acknowledged, and when it is over."""
        ...

    def sender_ready(self, stream_id: int) -> None:
        """The sender of this stream was written to, or ended."""
        ...

    def flush(self) -> None:
        """Send at once what its senders have ready."""
        ...


class Wishes(NamedTuple):
    """What a subscriber asked for."""

    policy: SlowPolicy
    entries_max: int
    """Entries on the way at most."""
    bytes_max: int
    """The same in bytes."""
    until: int | None
    """The index to end before; None: when the channel ends."""
    without: str
    """The sender whose entries are left out; empty: none's."""


class Subscription:
    """Gives each entry once and in order.  Takes no task and never waits while live; behind, it reads the log."""

    def __init__(self, stream_id: int, carrier: Carrier, wishes: Wishes, next_index: int) -> None:
        self.next_index = next_index
        """The index after all that was given to the stream, or left out."""
        self.task: asyncio.Task[None] | None = None
        """Its replay, if it is not live."""
        self._stream_id = stream_id
        self._carrier = carrier
        self._wishes = wishes
        self._capacity = wishes.bytes_max if wishes.policy == "disconnect" else min(wishes.bytes_max, _RING_BYTES)
        self._writer = Writer(stream_id, ring_bytes=self._capacity)
        self._written_bytes = 0
        self._on_way: deque[tuple[int, int]] = deque()
        """Stream offset and index after each piece that is on its way."""
        self._seen_index = next_index
        self._moved: asyncio.Future[None] | None = None
        self._feed: Feed | None = None

    def start(self, feed: Feed, next_index: int) -> None:
        """Begin; what the stream carries waits until its reader has opened it.

        ``next_index``: the one after all that was appended.
        """
        self._feed = feed
        self._carrier.attach_sender(self._writer, self._on_moved)
        feed.add(self, next_index)
        if self._complete:
            self._end(None)

    # how it stands

    @property
    def impatient(self) -> bool:
        """Whether it wants to be let go when it falls behind."""
        return self._wishes.policy == "disconnect"

    def lag_entries(self, next_index: int) -> int:
        """How many of the entries below ``next_index`` its reader does not have yet."""
        return next_index - self._seen_index

    @property
    def lag_bytes(self) -> int:
        """What is on its way to its reader."""
        return self._written_bytes - self._writer.acknowledged

    @property
    def _entries_on_way(self) -> int:
        return self.next_index - self._seen_index

    @property
    def _complete(self) -> bool:
        until = self._wishes.until
        return until is not None and self.next_index >= until

    # live: called by the feed

    def offer(self, feed: Feed, data: bytes, first: int, end: int) -> None:
        """``data`` holds the entries from ``first`` to below ``end``: take them, go and replay, or be let go."""
        if end <= self.next_index:
            return
        data, end = self._wanted(data, first, end)
        on_way = self._entries_on_way
        crowded = on_way > 0 and on_way + end - self.next_index > self._wishes.entries_max
        if self._writer.cancelled:
            self.leave()
        elif len(data) <= self._writer.room and not crowded:
            self._write(data)
            self._given(end)
        elif self.impatient and on_way and len(data) <= self._capacity:
            self._end(self._too_slow(feed, end))
        else:
            feed.replay(self)

    def hurry(self) -> None:
        """What was offered leaves before anything else is done: it is the only one that waits."""
        self._carrier.flush()

    def check_lag(self, feed: Feed) -> None:
        """It replays, and was live before: let go if that takes too long."""
        next_index = feed.channel.next_index
        if self.lag_entries(next_index) > self._wishes.entries_max and self.lag_bytes:
            if self.task is not None:
                self.task.cancel()
            self._end(self._too_slow(feed, next_index))

    def _wanted(self, data: bytes, first: int, end: int) -> tuple[bytes, int]:
        """What of ``data`` is still to be given, and the index after it."""
        until = self._wishes.until
        if until is not None and until < end:
            data, end = cut_runs(data, self.next_index, until), until
        elif first < self.next_index:
            data = cut_runs(data, self.next_index, end)
        return (without_sender(data, self._wishes.without) if self._wishes.without else data), end

    def _write(self, data: bytes | memoryview) -> int:
        taken = self._writer.write(data)
        self._written_bytes += taken
        self._carrier.sender_ready(self._stream_id)
        return taken

    def _given(self, next_index: int) -> None:
        self.next_index = next_index
        if self._written_bytes > self._writer.acknowledged:
            self._on_way.append((self._written_bytes, next_index))
        else:
            self._seen_index = next_index
        if self._complete:
            self._end(None)

    def _too_slow(self, feed: Feed, end: int) -> SubscriberTooSlow:
        feed.counts.subscribers_too_slow += 1
        last = self.next_index - 1
        return SubscriberTooSlow(
            f"{self.lag_entries(end)} entries are not read yet, more than the buffer has room for; "
            f"subscribe again after {last}",
            last_position=last,
            behind_bytes=self.lag_bytes,
        )

    # behind: its own task

    async def replay(self, feed: Feed) -> None:
        """Read the log until the feed is caught up with, or until the end."""
        try:
            live = await self._catch_up(feed)
        except ClosedError:
            return  # the reader has left, or the node is going
        except NotFound:
            self._end(feed.removal())
        except UsageError:
            self._end(StorageError("what was to follow could not be stored; subscribe again"))
        except HoldfastError as error:  # Gone, or the engine's trouble
            self._end(error)
        else:
            if not live:
                self._end(None)

    async def _catch_up(self, feed: Feed) -> bool:
        """Whether it is live now; if not, all has been given."""
        if feed.failure is not None:
            raise feed.failure
        if self._complete:
            return False
        follower = feed.store.follow(feed.channel, self.next_index, FOLLOW_BYTES)
        async for pieces in follower:
            data = pieces[0].data if len(pieces) == 1 else b"".join([piece.data for piece in pieces])
            data, end = self._wanted(data, pieces[0].position, pieces[-1].end)
            while self._entries_on_way >= self._wishes.entries_max:
                await self._movement()
            await self._write_all(data)
            self._given(end)
            if self._complete:
                return False
            if await feed.try_join(self, follower):
                return True
            await asyncio.sleep(0)  # what is in memory is read without a wait, and others must have their turn
        return False

    async def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._write(left) :]
            if left:
                await self._movement()

    async def _movement(self) -> None:
        """Wait until the reader has read something."""
        self._moved = asyncio.get_running_loop().create_future()
        try:
            await self._moved
        finally:
            self._moved = None

    # the stream

    def _on_moved(self) -> None:
        acknowledged = self._writer.acknowledged
        on_way = self._on_way
        while on_way and on_way[0][0] <= acknowledged:
            self._seen_index = on_way.popleft()[1]
        if self._moved is not None and not self._moved.done():
            self._moved.set_result(None)
        if self._writer.stream_id is None or self._writer.done:
            self.leave()

    def _end(self, error: HoldfastError | None) -> None:
        """Nothing more is given: the reader sees the end, or ``error``, after the last entry."""
        if self._feed is not None:
            self._feed.retire(self)
        if error is None:
            self._writer.close()
        else:
            self._writer.close_with_error(encode_failure(error))
        self._carrier.sender_ready(self._stream_id)

    def leave(self) -> None:
        """The reader is gone, or has all of it.  Idempotent."""
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.leave(self)
