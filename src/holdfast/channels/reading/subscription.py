"""One subscriber: a cursor in a channel, and a stream that carries runs to it.  Who reads the channel is its host."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from ...errors import SubscriberTooSlow
from ...rpc.failures import encode_failure
from ...streams import Writer
from ..unpacking import cut_runs, without_sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...errors import HoldfastError
    from ...streams import OutputSender
    from ..counts import Counts
    from ..model import SlowPolicy

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


class Host(Protocol):
    """Who gives a subscription what it carries: a :class:`~holdfast.channels.reading.feed.Feed`."""

    counts: Counts

    def retire(self, subscription: Subscription) -> None:
        """It is given nothing more."""
        ...

    def leave(self, subscription: Subscription) -> None:
        """Its reader is gone, or has all of it."""
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
    """Gives each entry once and in order, of what its host offers, which never waits, or gives, which does."""

    def __init__(self, stream_id: int, carrier: Carrier, wishes: Wishes, next_index: int) -> None:
        self.next_index = next_index
        """The index after all that was given to the stream, or left out."""
        self.task: asyncio.Task[None] | None = None
        """What reads the log for it, if it is not live."""
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
        self._host: Host | None = None

    def start(self, host: Host) -> None:
        """Begin; what the stream carries waits until its reader has opened it."""
        self._host = host
        self._carrier.attach_sender(self._writer, self._on_moved)

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
    def complete(self) -> bool:
        """Whether it was given all that it asked for."""
        until = self._wishes.until
        return until is not None and self.next_index >= until

    # what it is given

    def offer(self, data: bytes, first: int, end: int) -> bool:
        """``data`` holds the entries from ``first`` to below ``end``: take them, or be let go.

        False: it has no room for them, and would rather have them later.
        """
        if end <= self.next_index:
            return True
        data, end = self._wanted(data, first, end)
        on_way = self._entries_on_way
        crowded = on_way > 0 and on_way + end - self.next_index > self._wishes.entries_max
        if self._writer.cancelled:
            self.leave()
        elif len(data) <= self._writer.room and not crowded:
            self._write(data)
            self._given(end)
        elif self.impatient and on_way and len(data) <= self._capacity:
            self._end_too_slow(end)
        else:
            return False
        return True

    def hurry(self) -> None:
        """What was offered leaves before anything else is done: it is the only one that waits."""
        self._carrier.flush()

    async def give(self, data: bytes, first: int, end: int) -> None:
        """``data`` holds the entries from ``first`` to below ``end``: take them as fast as the reader does."""
        data, end = self._wanted(data, first, end)
        while self._entries_on_way >= self._wishes.entries_max:
            await self._movement()
        left = memoryview(data)
        while left:
            left = left[self._write(left) :]
            if left:
                await self._movement()
        self._given(end)

    def check_lag(self, next_index: int) -> None:
        """It is not live any more: let go if that takes too long.  ``next_index``: as of the channel."""
        if self.lag_entries(next_index) > self._wishes.entries_max and self.lag_bytes:
            if self.task is not None:
                self.task.cancel()
            self._end_too_slow(next_index)

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
        if self.complete:
            self.end(None)

    def _end_too_slow(self, end: int) -> None:
        if self._host is not None:
            self._host.counts.subscribers_too_slow += 1
        last = self.next_index - 1
        error = SubscriberTooSlow(
            f"{self.lag_entries(end)} entries are not read yet, more than the buffer has room for; "
            f"subscribe again after {last}",
            last_position=last,
            behind_bytes=self.lag_bytes,
        )
        self.end(error)

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

    def end(self, error: HoldfastError | None) -> None:
        """Nothing more is given: the reader sees the end, or ``error``, after the last entry."""
        if self._host is not None:
            self._host.retire(self)
        if error is None:
            self._writer.close()
        else:
            self._writer.close_with_error(encode_failure(error))
        self._carrier.sender_ready(self._stream_id)

    def leave(self) -> None:
        """The reader is gone, or has all of it.  Idempotent."""
        host, self._host = self._host, None
        if host is not None:
            host.leave(self)
