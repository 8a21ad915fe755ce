"""The way of a batch: checked, admitted, appended; and what follows when storing fails or entries repeat."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

import structlog

from ...errors import (
    ChannelNotFound,
    ClosedError,
    Conflict,
    Gone,
    HoldfastError,
    MessageTooLarge,
    NotFound,
    RateLimited,
    StorageError,
    UsageError,
    to_wire,
)
from ..model import AppendResult, Outcome
from ..packing import check_batch
from ..state.senders import Senders
from ..unpacking import heads_of, split_runs
from .admission import Admission, admit, conflict
from .rates import Buckets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ...clock import Clock
    from ...engine.base import Packed
    from ...limits import Limits
    from ..counts import Counts
    from ..model import Ack
    from ..packing import Batch
    from ..state.channel import Bounds, Channel
    from ..state.store import ChannelStore

_logger = structlog.get_logger("holdfast.channels")

_LOAD_BYTES = 1 << 20


class _Line:
    """Appends that wait for a channel's senders; asyncio's locks are fair."""

    __slots__ = ("standing", "turn")

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.standing = 0


class Appender:
    """Appends to all channels.  Between a decision and its append nothing waits."""

    def __init__(self, store: ChannelStore, counts: Counts, *, clock: Clock, limits: Limits) -> None:
        self._store = store
        self._counts = counts
        self._clock = clock
        self._limits = limits
        self.buckets = Buckets()
        self.on_questions: Callable[[Channel], None] = lambda _channel: None
        """Called when a channel's open questions have changed."""
        self.on_stored: Callable[[Channel], None] = lambda _channel: None
        """Called when entries were stored; if the append was cancelled before, perhaps a moment too early."""
        self._loaded: OrderedDict[Channel, None] = OrderedDict()
        self._loading: dict[str, asyncio.Future[None]] = {}
        self._lines: dict[Channel, _Line] = {}
        self._trimming: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Wait for what goes on behind appends."""
        if self._trimming:
            await asyncio.wait(self._trimming.values())

    async def append(self, channel: Channel, data: bytes, sender: str, ack: Ack) -> AppendResult:
        """See :meth:`ChannelsApi.append`; the caller has been let in."""
        batch, bounds = self.take_in(channel, data)
        await self.ready(channel)
        admission = admit(channel, bounds, sender, batch, self.timestamp(channel))
        last_sequence = channel.senders.last_sequence(sender) if channel.senders is not None else 0
        if admission.blob:
            if admission.record is not None:
                self.on_questions(channel)
            await self.store(channel, admission, ack)
            self.trim_if_over(channel, bounds)
        if ack == "disk" and any(index <= channel.weak_index for _, index in admission.repeats):
            await self._store.save(channel)  # on disk with all before it: what is repeated may have asked for less
        return await self._result(channel, sender, batch, admission, last_sequence)

    def take_in(self, channel: Channel, data: bytes) -> tuple[Batch, Bounds]:
        """A batch that is none too large and comes none too soon, and the limits in force for it."""
        if len(data) > self._limits.channel_batch_bytes_max:
            raise MessageTooLarge(
                name="channel_batch_bytes_max", limit=self._limits.channel_batch_bytes_max, value=len(data)
            )
        batch = check_batch(data)
        channel.check_open()
        bounds = channel.bounds(self._limits)
        try:
            self.buckets.charge(channel, bounds, batch.entries, self._clock.now())
        except RateLimited:
            self._counts.rate_limited += 1
            raise
        return batch, bounds

    async def ready(self, channel: Channel) -> None:
        """Back when decisions can be made about the channel: it is open and its senders are loaded."""
        channel.check_open()
        if channel.senders is None or channel in self._lines:
            await self._stand_in_line(channel)
        self._loaded.move_to_end(channel)

    async def _stand_in_line(self, channel: Channel) -> None:
        """Wait for the senders; whoever came first goes on first, also before those that find them loaded."""
        line = self._lines.setdefault(channel, _Line())
        line.standing += 1
        try:
            async with line.turn:
                channel.check_open()
                while channel.senders is None:  # others that waited for it may have failed by now
                    await self.load(channel)
                    channel.check_open()
        finally:
            line.standing -= 1
            if not line.standing:
                del self._lines[channel]

    def timestamp(self, channel: Channel) -> float:
        """Of the entries that are taken now."""
        channel.last_timestamp = max(channel.last_timestamp, self._clock.wall())
        return channel.last_timestamp

    async def store(self, channel: Channel, admission: Admission, ack: Ack) -> None:
        """Append what was admitted.

        If that fails nothing of it is stored, and the channel forgets what it took note of: it is loaded again.
        """
        index = channel.next_index - admission.entries
        if ack != "disk":
            channel.weak_index = channel.next_index - 1
        stored = self._store.append(channel, index, admission.blob, admission.entries, ack, admission.record)
        await self.settle(channel, channel.senders, admission, stored)

    async def settle(
        self, channel: Channel, senders: Senders | None, admission: Admission, stored: Awaitable[int]
    ) -> None:
        """Wait until what was admitted is ``stored``; ``senders`` are those that took note of it.  As :meth:`store`."""
        try:
            await stored
        except (HoldfastError, asyncio.CancelledError) as error:  # cancelled: how it ended is not known here
            if channel.senders is senders:
                channel.senders = None
            if isinstance(error, asyncio.CancelledError):
                self.on_stored(channel)
            if isinstance(error, Conflict):
                raise StorageError(f"channel {channel.id}: an entry before this one could not be stored") from error
            if isinstance(error, NotFound):
                raise ChannelNotFound(name=channel.id) from error
            raise
        self._counts.entries_appended += admission.entries
        self.on_stored(channel)

    # what is known of senders

    async def load(self, channel: Channel) -> None:
        """Read the channel's log for what its senders have appended; once, whoever waits for it."""
        loading = self._loading.get(channel.id)
        if loading is None:
            loading = self._loading[channel.id] = asyncio.ensure_future(self._load(channel))
            loading.add_done_callback(lambda _: self._loading.pop(channel.id, None))
        await asyncio.shield(loading)

    async def _load(self, channel: Channel) -> None:
        while True:
            stored = await self._store.stat(channel)
            senders = Senders()
            try:
                reached = await self._replay(channel, senders, stored.oldest, stored.next_index)
            except (UsageError, StorageError, Gone):
                found = await self._store.stat(channel)
                if (found.oldest, found.next_index) == (stored.oldest, stored.next_index):
                    raise
                continue  # appends under way failed, or the oldest went
            except NotFound as error:
                raise ChannelNotFound(name=channel.id) from error
            again = await self._store.stat(channel)
            if again.next_index == reached:
                break
        channel.oldest, channel.next_index = again.oldest, reached
        channel.record = channel.record.changed(questions=again.record.questions)
        channel.senders = senders
        self._note_loaded(channel)

    def _note_loaded(self, channel: Channel) -> None:
        """Keep so many channels' senders in memory; those nobody appended to for the longest time go first."""
        self._loaded[channel] = None
        while len(self._loaded) > self._limits.channel_ledgers_max:
            idle, _ = self._loaded.popitem(last=False)
            idle.senders = None

    def forget(self, channel: Channel) -> None:
        """The channel is gone."""
        self._loaded.pop(channel, None)
        self.buckets.forget(channel.id)

    async def _replay(self, channel: Channel, senders: Senders, index: int, until: int) -> int:
        """Take note of all entries from ``index`` to below ``until``, or a little more; where it ended."""
        if index >= until:
            return index
        async for pieces in self._store.follow(channel, index, _LOAD_BYTES):
            for piece in pieces:
                for run in split_runs(piece.data):
                    senders.replay(run)
                    channel.last_timestamp = max(channel.last_timestamp, run.timestamp)
                index = piece.end
            if index >= until:
                break
            await asyncio.sleep(0)
        return index

    # what was there before

    async def _result(
        self, channel: Channel, sender: str, batch: Batch, admission: Admission, last_sequence: int
    ) -> AppendResult:
        others: list[Outcome] = []
        for position, index in admission.repeats:
            try:
                await self.compare(channel, sender, batch, position, index)
            except HoldfastError as error:
                others.append(Outcome(position=position, error=self._refused(batch, error)))
            else:
                self._counts.entries_repeated += 1
                others.append(Outcome(position=position, index=index))
        others += [Outcome(position=at, error=self._refused(batch, error)) for at, error in admission.refused]
        if batch.entries == 1 and others:
            index = others[0].index
            return AppendResult(first_index=index, last_index=index, others=others, last_sequence=last_sequence)
        return AppendResult(
            first_index=admission.first_index,
            last_index=admission.last_index,
            others=sorted(others, key=lambda outcome: outcome.position),
            last_sequence=last_sequence,
        )

    def _refused(self, batch: Batch, error: HoldfastError) -> dict[str, object]:
        self._counts.entries_refused += 1
        if batch.entries == 1:
            raise error
        return to_wire(error)

    async def compare(self, channel: Channel, sender: str, batch: Batch, position: int, index: int) -> None:
        """SequenceConflict unless the draft at ``position`` is the entry at ``index``, which can be read by then."""
        piece = await self._piece_at(channel, index)
        for run in split_runs(piece.data):
            if run.first_index <= index < run.next_index:
                starts, place = heads_of(run).starts, index - run.first_index
                there = run.data[starts[place] : starts[place + 1]]
                if there != batch.draft(position):
                    raise conflict(sender, batch.sequences[position], index)

    async def _piece_at(self, channel: Channel, index: int) -> Packed:
        """The stored blob that holds ``index``, once it is as durable as its append asked for."""
        try:
            async for pieces in self._store.follow(channel, index, 1):
                return pieces[0]
        except NotFound as error:
            raise ChannelNotFound(name=channel.id) from error
        except UsageError as error:
            raise StorageError(f"channel {channel.id}: the entry that this one repeats was not stored") from error
        raise ClosedError(f"channel {channel.id}: the entry at {index} cannot be read any more")

    # what retain lets go

    def trim_if_over(self, channel: Channel, bounds: Bounds) -> None:
        over = channel.entries - bounds.entries_max
        if channel.record.retain and over > bounds.entries_max // 8 and channel.id not in self._trimming:
            task = asyncio.create_task(self._trim(channel, channel.next_index - bounds.entries_max))
            self._trimming[channel.id] = task
            task.add_done_callback(lambda _: self._trimming.pop(channel.id, None))

    async def _trim(self, channel: Channel, index: int) -> None:
        try:
            await self._store.trim(channel, index)
        except HoldfastError as error:
            _logger.warning("channel.not_trimmed", channel=channel.id, error=str(error))
            return
        channel.oldest = max(channel.oldest, index)
        if channel.senders is not None:
            channel.senders.forget_below(channel.oldest)
