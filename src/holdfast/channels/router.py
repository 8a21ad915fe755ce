"""The channel router: every channel of a node, who may do what with it, and what becomes of it.

State has one owner: this.  What must survive is in the engine before a caller hears of it.
"""

from __future__ import annotations

import asyncio
from heapq import nsmallest
from operator import itemgetter
from typing import TYPE_CHECKING

from ..errors import NotFound
from ..ids import check_name
from .access import Gate
from .appending.appender import Appender
from .appending.whole import WholeBatches
from .counts import Counts
from .life import ChannelLife, check_own_limits, check_role
from .model import ChannelInfo, ChannelLimits, ChannelStats, SenderInfo
from .packing import END
from .reading.audience import Audience
from .reading.pages import ChannelReader
from .state.directory import ChannelDirectory
from .state.record import NO_LIMITS, ChannelRecord
from .state.store import ChannelStore
from .upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Any

    from ..clock import Clock
    from ..engine.base import Engine
    from ..limits import Limits
    from .access import Action, Caller
    from .appending.whole import Placed, Terms
    from .life import ChannelChange, OnChange
    from .model import Ack, AppendResult, Order, SlowPolicy, SubscribeStart
    from .reading.audience import Guest
    from .reading.subscription import Carrier
    from .state.channel import Channel


def _nobody(channel: Channel, change: ChannelChange) -> None:
    """Nobody listens."""


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
        self._audience = Audience(self._store, self._counts, self.spawn, limits)
        self._tasks: set[asyncio.Task[None]] = set()
        self._life = ChannelLife(self._directory, self._store, self._appender, self._audience, self._tell, clock=clock)
        self._whole = WholeBatches(self._store, self._appender, self.spawn, self._life.closed)
        remove = self._life.remove
        self._upkeep = Upkeep(self._directory, self._store, self._appender, remove, clock=clock, limits=limits)
        self._appender.on_questions = self._upkeep.note
        self._appender.on_stored = self._stored
        self.on_change: OnChange = _nobody
        """Told of every channel that was created, changed, got entries, was closed or removed."""
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
        await asyncio.gather(*self._tasks, self._life.close(), return_exceptions=True)
        await self._appender.close()

    async def upkeep(self) -> None:
        """Do at once what time has brought; it happens by itself, too."""
        await self._upkeep.step()

    def __len__(self) -> int:
        return len(self._directory)

    def _tell(self, channel: Channel, change: ChannelChange) -> None:
        self.on_change(channel, change)

    def _stored(self, channel: Channel) -> None:
        self._audience.grown(channel)
        self.on_change(channel, "moved")

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
        check_name(process, "process")
        check_name(name)
        self.gate.check_create(caller, process, name)
        record = ChannelRecord(
            submitter=check_role(submitter or caller.subject, "submitter"),
            executor=check_role(executor, "executor") if executor else "",
            retain=retain,
            limits=check_own_limits(limits, self._limits),
            created_at=self._clock.wall(),
        )
        return await self._info(await self._life.create(process, name, record, missing_ok=missing_ok))

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
        lags = self._audience.lags_of(channel, stored.next_index)
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
        found = self.find(caller, channel, "read", "subscribe")
        return await self._audience.subscribe(
            found, carrier, stream,
            after=after, policy=policy, buffer_entries=buffer_entries, buffer_bytes=buffer_bytes,
            without="" if mine else caller.subject, follow=follow, limit=limit,
        )  # fmt: skip

    def join(self, channel: Channel, guest: Guest) -> None:
        """See :meth:`Audience.join`."""
        self._audience.join(channel, guest)

    def leave(self, channel: Channel, guest: Guest) -> None:
        """See :meth:`Audience.leave`."""
        self._audience.leave(channel, guest)

    # roles

    async def set_executor(self, caller: Caller, channel: str, executor: str) -> ChannelInfo:
        """See :meth:`ChannelsApi.set_executor`."""
        found = self.find(caller, channel, "manage", "set_executor")
        await self._life.set_executor(found, executor)
        return await self._info(found)

    async def set_process_executor(self, caller: Caller, process: str, executor: str) -> list[ChannelInfo]:
        """See :meth:`ChannelsApi.set_process_executor`."""
        channels = self._managed(caller, process, "set_process_executor")
        await asyncio.gather(*(self._life.set_executor(channel, executor) for channel in channels))
        return [await self._info(channel) for channel in channels]

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
        await self._life.end(found)
        return await self._info(found)

    async def end_process(self, caller: Caller, process: str) -> list[ChannelInfo]:
        """See :meth:`ChannelsApi.close_process`."""
        channels = self._managed(caller, process, "close_process")
        await asyncio.gather(*map(self._life.end, channels))
        return [await self._info(channel) for channel in channels]

    async def remove(self, caller: Caller, channel: str, reason: str = "") -> None:
        """See :meth:`ChannelsApi.remove`."""
        await self._life.remove(self.find(caller, channel, "manage", "remove"), reason)

    async def cleanup_process(self, caller: Caller, process: str, reason: str = "") -> int:
        """See :meth:`ChannelsApi.cleanup_process`."""
        try:
            channels = self._managed(caller, process, "cleanup_process")
        except NotFound:
            return 0
        await asyncio.gather(*(self._life.remove(channel, reason) for channel in channels))
        self._appender.buckets.forget(process)
        return len(channels)

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
            subscribers=len(self._audience),
            entries_appended=counts.entries_appended,
            entries_refused=counts.entries_refused,
            entries_repeated=counts.entries_repeated,
            rate_limited=counts.rate_limited,
            denied=self.gate.denied,
            subscribers_too_slow=counts.subscribers_too_slow,
        )

    def lags(self) -> Iterator[tuple[str, int, int]]:
        """See :meth:`Audience.lags`."""
        return self._audience.lags()

    async def list(self, caller: Caller, process: str = "", after: str = "") -> list[ChannelInfo]:
        """See :meth:`ChannelsApi.list`."""
        channels = self._directory.of(process) if process else self._directory
        found = ((one.id, one) for one in channels if one.id > after and self.gate.allows(caller, "read", one))
        page = nsmallest(self._limits.channels_page_max, found, key=itemgetter(0))
        return [await self._info(one) for _, one in page]
