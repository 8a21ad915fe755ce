"""The channel router: every channel of a node, who may do what with it, and what becomes of it.

State has one owner: this.  What must survive is in the engine before a caller hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import nsmallest
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, Protocol

import structlog

from ..errors import ChannelExists, HoldfastError, LimitExceeded, NotFound, UsageError
from ..ids import check_name
from .access import NODE_SENDER, Gate, check_subject
from .appending import Appender, check_open
from .channel import Channel
from .counts import Counts
from .directory import ChannelDirectory
from .feed import Feed
from .model import ChannelInfo, ChannelLimits, ChannelStats, SenderInfo, SubscribeStart
from .packing import END
from .reading import ChannelReader, first_index
from .record import NO_LIMITS, ChannelRecord
from .store import ChannelStore
from .subscription import Subscription, Wishes
from .upkeep import Upkeep
from .whole import WholeBatches

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Any

    from ..clock import Clock
    from ..engine.base import Engine
    from ..limits import Limits
    from .access import Action, Caller
    from .model import Ack, AppendResult, Order, SlowPolicy
    from .subscription import Carrier
    from .whole import Placed, Terms

_logger = structlog.get_logger("holdfast.channels")


ChannelChange = Literal["created", "changed", "moved", "closed", "removed"]
OnChange = Callable[[Channel, ChannelChange], None]


def _nobody(channel: Channel, change: ChannelChange) -> None:
    """Nobody listens."""


class Guest(Protocol):
    """A reader that follows a channel's log by itself, as those over HTTP do."""

    def lag_entries(self, next_index: int) -> int:
        """How many of the entries below ``next_index`` it has not given on yet."""
        ...


class ChannelRouter:
    """All channels of one node.  Each method says in :class:`ChannelsApi` what it does."""

    def __init__(self, engine: Engine, *, clock: Clock, limits: Limits) -> None:
        self._store = ChannelStore(engine)
        self._clock = clock
        self._limits = limits
        self._directory = ChannelDirectory(limits)
        self._counts = Counts()
        self._appender = Appender(self._store, self._counts, clock=clock, limits=limits)
        self._reader = ChannelReader(self._store, limits)
        self._feeds: dict[Channel, Feed] = {}
        self._guests: dict[Channel, set[Guest]] = {}
        self._creating: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._whole = WholeBatches(self._store, self._appender, self.spawn, self._closed)
        self._upkeep = Upkeep(self._directory, self._store, self._appender, self._remove, clock=clock, limits=limits)
        self._appender.on_questions = self._upkeep.note
        self.on_change: OnChange = _nobody
        """Told of every channel that was created, changed, got entries, was closed or removed."""
        self._appender.on_stored = lambda channel: self.on_change(channel, "moved")
        self.gate = Gate()

    # life

    async def open(self) -> None:
        """Load every channel, cold."""
        for channel in await self._store.load_all():
            self._directory.add(channel)
            if channel.closed:
                await self._store.close(channel)  # a crash may have come between the record and the log
            self._upkeep.note(channel)
        self.spawn(self._upkeep.run(), "channels-upkeep")

    async def close(self) -> None:
        """Let go of every subscriber, who learns it from its connection, and let what is under way finish."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._creating.values(), return_exceptions=True)
        await self._appender.close()

    async def upkeep(self) -> None:
        """Do at once what time has brought; it happens by itself, too."""
        await self._upkeep.step()

    def __len__(self) -> int:
        return len(self._directory)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run ``work`` as a task that :meth:`close` cancels and awaits."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def all(self) -> list[Channel]:
        """Every channel there is; who may know of it is the caller's to ask."""
        return list(self._directory)

    def get_channel(self, process: str, name: str) -> Channel | None:
        """The channel ``name`` of ``process``; who may know of it is the caller's to ask."""
        return self._directory.get(process, name)

    def find(self, caller: Caller, channel: str, action: Action, operation: str) -> Channel:
        """The channel, if ``caller`` may do ``action`` to it; ChannelNotFound if not, and if there is none."""
        found = self._directory.find(channel)
        self.gate.check(caller, action, found, operation)
        return found

    # channels

    async def create(
        self,
        caller: Caller,
        process: str,
        name: str,
        *,
        submitter: str = "",
        executor: str = "",
        retain: bool = False,
        limits: ChannelLimits = NO_LIMITS,
        missing_ok: bool = False,
    ) -> ChannelInfo:
        """See :meth:`ChannelsApi.create`."""
        check_process(process)
        check_name(name)
        self.gate.check_create(caller, process, name)
        while (other := self._creating.get((process, name))) is not None:
            await asyncio.wait([other])
        found = self._directory.get(process, name)
        if found is not None:
            if not missing_ok:
                raise ChannelExists(name=found.id)
            return await self._info(found)
        record = ChannelRecord(
            submitter=_subject(submitter or caller.subject, "submitter"),
            executor=_subject(executor, "executor") if executor else "",
            retain=retain,
            limits=check_own_limits(limits, self._limits),
            created_at=self._clock.wall(),
        )
        self._directory.check_room(process, [of for of, _ in self._creating])
        channel = Channel(process, name, record)
        creating = self._creating[process, name] = asyncio.ensure_future(self._create(channel))
        creating.add_done_callback(lambda _: self._creating.pop((process, name), None))
        await asyncio.shield(creating)
        return await self._info(channel)

    async def _create(self, channel: Channel) -> None:
        await self._store.create(channel)
        self._directory.add(channel)
        self.on_change(channel, "created")
        _logger.info("channel.created", channel=channel.id, submitter=channel.submitter, executor=channel.executor)

    async def get(self, caller: Caller, channel: str) -> ChannelInfo:
        """See :meth:`ChannelsApi.get`."""
        return await self._info(self.find(caller, channel, "read", "get"))

    async def senders(self, caller: Caller, channel: str) -> list[SenderInfo]:
        """See :meth:`ChannelsApi.senders`."""
        found = self.find(caller, channel, "read", "senders")
        while found.senders is None:
            await self._appender.load(found)
        return [
            SenderInfo(
                sender=sender,
                last_sequence=book.last_sequence,
                last_index=book.last_index,
                ended="" if not book.ended else "end" if book.ended == END else "error",
            )
            for sender, book in found.senders
            if book.last_index
        ]

    async def _info(self, channel: Channel) -> ChannelInfo:
        stored = await self._store.stat(channel)
        feed = self._feeds.get(channel)
        subscriptions = feed.subscriptions if feed else ()
        lags = [(one.lag_entries(stored.next_index), one.lag_bytes) for one in subscriptions]
        lags += [(guest.lag_entries(stored.next_index), 0) for guest in self._guests.get(channel, ())]
        if channel.senders is None:  # nothing is kept up to date for appends
            channel.oldest, channel.next_index = stored.oldest, stored.next_index
        return channel.info(
            self._limits, stored_bytes=stored.stored_bytes, subscribers=len(lags), lag=max(lags, default=(0, 0))
        )

    # entries

    async def append(
        self, caller: Caller, channel: str, batch: bytes, ack: Ack = "disk", sender: str = ""
    ) -> AppendResult:
        """See :meth:`ChannelsApi.append`."""
        found = self.find(caller, channel, "append", "append")
        return await self._appender.append(found, batch, self.gate.check_sender(caller, found, sender), ack)

    async def place(self, caller: Caller, channel: str, batch: bytes, terms: Terms) -> Placed:
        """Append all of ``batch`` or nothing, with what ``terms`` ask for in the same step.

        See :meth:`WholeBatches.place`.
        """
        found = self.find(caller, channel, "append", "append")
        if terms.close:
            self.gate.check(caller, "manage", found, "close")
        return await self._whole.place(found, batch, self.gate.check_sender(caller, found, ""), terms)

    async def read(
        self,
        caller: Caller,
        channel: str,
        *,
        after: int | None = None,
        limit: int = 0,
        since: float | None = None,
        last: int = 0,
        order: Order = "index",
    ) -> bytes:
        """See :meth:`ChannelsApi.read`."""
        found = self.find(caller, channel, "read", "read")
        return await self._reader.page(found, after, limit, since, last, order)

    async def subscribe(
        self,
        caller: Caller,
        channel: str,
        carrier: Carrier,
        stream: int,
        *,
        after: int | None = None,
        policy: SlowPolicy = "paged",
        buffer_entries: int = 0,
        buffer_bytes: int = 0,
        mine: bool = True,
        follow: bool = True,
        limit: int = 0,
    ) -> SubscribeStart:
        """See :meth:`ChannelsApi.subscribe`."""
        for name, value in (("limit", limit), ("buffer_entries", buffer_entries), ("buffer_bytes", buffer_bytes)):
            if value < 0:
                raise UsageError(f"{name}: {value} is negative", field=name)
        found = self.find(caller, channel, "read", "subscribe")
        stored = await self._store.stat(found)
        start = first_index(found.id, after, stored.oldest, stored.next_index)
        ends = ([] if follow else [stored.next_index]) + ([start + limit] if limit else [])
        feed = self._feed_of(found, stored.next_index)
        wishes = Wishes(
            policy,
            _within(buffer_entries, self._limits.subscriber_entries_max),
            _within(buffer_bytes, self._limits.subscriber_buffer_bytes),
            min(ends, default=None),
            "" if mine else caller.subject,
        )
        Subscription(stream, carrier, wishes, start).start(feed)
        return SubscribeStart(
            first_index=start, last_index=stored.next_index - 1, oldest_index=stored.oldest, closed=found.closed
        )

    def _feed_of(self, channel: Channel, next_index: int) -> Feed:
        feed = self._feeds.get(channel)
        if feed is None or feed.over:
            feed = self._feeds[channel] = Feed(channel, next_index, self._store, self._counts, self.spawn, self._idle)
        self._check_subscribers(channel, len(feed.subscriptions))
        return feed

    def _check_subscribers(self, channel: Channel, subscriptions: int) -> None:
        limit = self._limits.subscribers_per_channel_max
        readers = subscriptions + len(self._guests.get(channel, ()))
        if readers >= limit:
            raise LimitExceeded(name="subscribers_per_channel_max", limit=limit, value=readers + 1)

    def join(self, channel: Channel, guest: Guest) -> None:
        """Count ``guest``, who reads the log itself, as a subscriber until :meth:`leave`.  LimitExceeded."""
        feed = self._feeds.get(channel)
        self._check_subscribers(channel, len(feed.subscriptions) if feed is not None else 0)
        self._guests.setdefault(channel, set()).add(guest)

    def leave(self, channel: Channel, guest: Guest) -> None:
        """The guest reads no more; idempotent."""
        guests = self._guests.get(channel, set())
        guests.discard(guest)
        if not guests:
            self._guests.pop(channel, None)

    def _idle(self, feed: Feed) -> None:
        if self._feeds.get(feed.channel) is feed:
            del self._feeds[feed.channel]

    # roles

    async def set_executor(self, caller: Caller, channel: str, executor: str) -> ChannelInfo:
        """See :meth:`ChannelsApi.set_executor`."""
        found = self.find(caller, channel, "manage", "set_executor")
        await self._set_executor(found, executor)
        return await self._info(found)

    async def set_process_executor(self, caller: Caller, process: str, executor: str) -> list[ChannelInfo]:
        """See :meth:`ChannelsApi.set_process_executor`."""
        channels = self._managed(caller, process, "set_process_executor")
        await asyncio.gather(*(self._set_executor(channel, executor) for channel in channels))
        return [await self._info(channel) for channel in channels]

    async def _set_executor(self, channel: Channel, executor: str) -> None:
        check_open(channel)
        await self._change(channel, executor=_subject(executor, "executor") if executor else "")
        self.on_change(channel, "changed")

    async def _change(self, channel: Channel, **fields: Any) -> None:
        """Store fields of the record; they are as they were if that fails."""
        before = {name: getattr(channel.record, name) for name in fields}
        channel.record = channel.record.changed(**fields)
        try:
            await self._store.save(channel)
        except HoldfastError:
            channel.record = channel.record.changed(**before)
            raise

    def _managed(self, caller: Caller, process: str, operation: str) -> list[Channel]:
        """The channels of a process that ``caller`` may manage; NotFound if there are none."""
        channels = self._directory.of(process)
        managed = [channel for channel in channels if self.gate.allows(caller, "manage", channel)]
        if channels and not managed:
            self.gate.deny(caller, process, "", operation)
        if not managed:
            raise NotFound(kind="process", name=process)
        return managed

    # ends

    async def end(self, caller: Caller, channel: str) -> ChannelInfo:
        """See :meth:`ChannelsApi.close`."""
        found = self.find(caller, channel, "manage", "close")
        await self._end(found)
        return await self._info(found)

    async def end_process(self, caller: Caller, process: str) -> list[ChannelInfo]:
        """See :meth:`ChannelsApi.close_process`."""
        channels = self._managed(caller, process, "close_process")
        await asyncio.gather(*map(self._end, channels))
        return [await self._info(channel) for channel in channels]

    async def _end(self, channel: Channel) -> None:
        if not channel.closed:
            await self._change(channel, closed_at=self._clock.wall(), questions=())
            _log_closed(channel)
        await self._store.close(channel)
        self.on_change(channel, "closed")

    def _closed(self, channel: Channel) -> None:
        """It was closed by an append."""
        _log_closed(channel)
        self.on_change(channel, "closed")

    async def remove(self, caller: Caller, channel: str, reason: str = "") -> None:
        """See :meth:`ChannelsApi.remove`."""
        await self._remove(self.find(caller, channel, "manage", "remove"), reason)

    async def cleanup_process(self, caller: Caller, process: str, reason: str = "") -> int:
        """See :meth:`ChannelsApi.cleanup_process`."""
        try:
            channels = self._managed(caller, process, "cleanup_process")
        except NotFound:
            return 0
        await asyncio.gather(*(self._remove(channel, reason) for channel in channels))
        self._appender.buckets.forget(process)
        return len(channels)

    async def _remove(self, channel: Channel, reason: str) -> None:
        channel.removed = True
        feed = self._feeds.get(channel)
        if feed is not None:
            feed.removed_because = reason
        try:
            await self._store.delete(channel)
        except HoldfastError:
            channel.removed = False
            raise
        self._directory.remove(channel)
        self._appender.forget(channel)
        self.on_change(channel, "removed")
        _logger.info("channel.removed", channel=channel.id, entries=channel.entries, reason=reason)

    # figures

    def stats(self) -> ChannelStats:
        """See :meth:`ChannelsApi.stats`."""
        closed = sum(channel.closed for channel in self._directory)
        counts = self._counts
        return ChannelStats(
            channels=len(self._directory),
            processes=self._directory.processes,
            open=len(self._directory) - closed,
            closed=closed,
            subscribers=sum(map(len, self._guests.values())) + sum(1 for _ in self.lags()),
            entries_appended=counts.entries_appended,
            entries_refused=counts.entries_refused,
            entries_repeated=counts.entries_repeated,
            rate_limited=counts.rate_limited,
            denied=self.gate.denied,
            subscribers_too_slow=counts.subscribers_too_slow,
        )

    def lags(self) -> Iterator[tuple[str, int, int]]:
        """Each subscriber over RPC: its channel, and how many entries and bytes it is behind."""
        for channel, feed in self._feeds.items():
            for one in feed.subscriptions:
                yield channel.id, one.lag_entries(feed.next_index), one.lag_bytes

    async def list(self, caller: Caller, process: str = "", after: str = "") -> list[ChannelInfo]:
        """See :meth:`ChannelsApi.list`."""
        channels = self._directory.of(process) if process else self._directory
        found = ((one.id, one) for one in channels if one.id > after and self.gate.allows(caller, "read", one))
        page = nsmallest(self._limits.channels_page_max, found, key=itemgetter(0))
        return [await self._info(one) for _, one in page]


def _log_closed(channel: Channel) -> None:
    _logger.info("channel.closed", channel=channel.id, entries=channel.entries)


def check_process(process: str) -> str:
    """``process`` itself if it can be the id of a process; UsageError if not."""
    return check_name(process, "process")


def check_own_limits(own: ChannelLimits, limits: Limits) -> ChannelLimits:
    """``own`` itself; UsageError for one that is negative, or too large to be kept."""
    for name, value, most in (
        ("entries_max", own.entries_max, 1 << 40),
        ("payload_bytes_max", own.payload_bytes_max, limits.channel_batch_bytes_max),
        ("rate_per_s", own.rate_per_s, 1e9),
        ("burst", own.burst, 1_000_000_000),
    ):
        if not 0 <= value <= most:
            raise UsageError(f"{name}: {value} is not within 0 and {most:g}", field=name)
    return NO_LIMITS if own == NO_LIMITS else own


def _subject(text: str, field: str) -> str:
    if text == NODE_SENDER:
        raise UsageError(f"{field}: {NODE_SENDER!r} is the node itself", field=field)
    return check_subject(text, field)


def _within(wanted: int, limit: int) -> int:
    return min(wanted or limit, limit)
