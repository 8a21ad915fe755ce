"""Channels as durable streams: ``<process>/<name>``, JSON, a message for each entry; positions count entries."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ...channels.access import Owner
from ...channels.appending.whole import Terms
from ...channels.state.record import NO_LIMITS, log_name
from ...channels.unpacking import entries_of, parts_of, split_runs
from ...durable.admission import Admitted, Duplicated, admit, check_addition
from ...durable.messages import split_messages
from ...durable.meta import StreamMeta
from ...durable.model import JSON_TYPE, Added, Addition, Creation, Page, StreamInfo, Where, media_type
from ...durable.paging import position_at
from ...durable.store import EVERYTHING
from ...engine.producers import check_next, repetition
from ...errors import ChannelClosed, ChannelExists, ClosedError, Conflict, Duplicate, NotFound, UsageError
from ..channels import ChannelCaller
from .messages import draft_of, message_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from ...channels.access import Action, Caller
    from ...channels.router import ChannelRouter
    from ...channels.state.channel import Channel
    from ...channels.unpacking import Entry
    from ...engine.base import Log, LogStat, Piece, Producer
    from ...security.audit import AuditLog

    Locks = WeakValueDictionary[str, asyncio.Lock]

_PART_ENTRIES = 256
"""Entries that are looked at in one go, less than half a millisecond's work."""
_ANYBODY = "anybody"
"""The subject of those who need no token."""


class ChannelStreams:
    """Implements :class:`~holdfast.durable.store.StreamStore` for one caller, with the router's own rights."""

    actions = EVERYTHING

    def __init__(
        self, router: ChannelRouter, log: Log, audit: AuditLog, caller: Caller | None = None, locks: Locks | None = None
    ) -> None:
        self._router = router
        self._log = log
        self._audit = audit
        self._caller = caller or Owner(_ANYBODY)
        self._locks: Locks = WeakValueDictionary() if locks is None else locks
        """Of the paths that are being appended to; shared by all callers."""
        self._wanted: Action = "read"
        """What the caller came for: who only writes is told where the channel stands, too."""

    def seen_by(self, identity: Any, peer: str) -> ChannelStreams:
        """For the caller with that identity."""
        caller = None if identity is None else ChannelCaller(identity, self._audit, peer)
        return ChannelStreams(self._router, self._log, self._audit, caller, self._locks)

    async def resource(self, path: str) -> str:
        """A channel has one path only; whether it is there is told to those who may know."""
        process, _, name = path.partition("/")
        if not process or not name or "/" in name:
            raise NotFound(kind="stream", name=path)
        return path

    async def _find(self, path: str, action: Action, operation: str) -> tuple[Channel, LogStat]:
        channel = self._router.find(self._caller, path, action, f"http.{operation}")
        return channel, await self._log.stat(log_name(channel.process, channel.name))

    async def info(self, path: str) -> StreamInfo:
        """See :meth:`StreamStore.info`; closed once nothing more can come."""
        return _info(*await self._find(path, self._wanted, self._wanted))

    async def read(self, path: str, where: Where, max_bytes: int) -> Page:
        """See :meth:`StreamStore.read`."""
        _, stat = await self._find(path, "read", "read")
        start = position_at(stat, where)
        if where == "now":
            return Page([], start, start, start, stat.closed)
        pieces = await self._log.read(stat.name, start + 1, max_bytes=max_bytes)
        return await _page(start, pieces, await self._log.stat(stat.name), max_bytes)

    async def follow(self, path: str, where: Where, max_bytes: int) -> LiveMessages:
        """See :meth:`StreamStore.follow`."""
        channel, stat = await self._find(path, "read", "follow")
        live = LiveMessages(self._log, stat.name, position_at(stat, where), max_bytes)
        self._router.join(channel, live)
        live.on_close = lambda: self._router.leave(channel, live)
        return live

    async def create(self, path: str, creation: Creation) -> tuple[StreamInfo, bool]:
        """Make the channel, empty, with the caller as its submitter."""
        if creation.fork is not None or creation.ttl_s is not None or creation.expires_at_s is not None:
            raise UsageError("a channel is no fork and has no lifetime of its own", field="Stream-TTL")
        if creation.closed or (creation.body and split_messages(creation.body)):
            raise UsageError("body: a channel is made empty and open; append with POST", field="body")
        if creation.content_type is not None and media_type(creation.content_type) != JSON_TYPE:
            raise Conflict(f"Content-Type: a channel is {JSON_TYPE}", JSON_TYPE, creation.content_type)
        process, _, name = path.partition("/")
        try:
            await self._router.create(self._caller, process, name)
        except ChannelExists:
            created = False
        else:
            created = True
        channel, stat = await self._find(path, "manage", "create")
        record = channel.record
        if record.submitter != self._caller.subject or record.retain or record.limits != NO_LIMITS or channel.closed:
            raise Conflict(f"channel {path} exists already and was created otherwise")
        return _info(channel, stat), created

    async def append(self, path: str, addition: Addition) -> Added:
        """See :meth:`StreamStore.append`: all messages or none, with the close and the headers in the same step.

        Producers are their callers' own: two who use the same id do not meet.
        """
        check_addition(addition)
        self._wanted = "append"
        producer = self._own(addition.producer)
        async with self._locked(path):  # until it has its place, so that decisions fall in order
            channel, stat = await self._find(path, "append", "append")
            known = None if producer is None else await self._log.producer(stat.name, producer.id)
            verdict = _decide(channel, replace(addition, producer=producer), known)
            if isinstance(verdict, Duplicated):
                return await self._repeated(channel, stat, producer, verdict)
            if producer is not None:
                repetition(known, producer, 0)  # raises Fenced; a repetition itself was seen above
                check_next(known, producer)
            batch = b"".join(draft_of(message, place) for place, message in enumerate(verdict.messages))
            terms = Terms(addition.close, producer, addition.sequence)
            placed = await self._router.place(self._caller, path, batch, terms)
            if addition.close:  # whoever tries again must find it either closed or open
                await asyncio.shield(placed.stored)
        await asyncio.shield(placed.stored)
        return Added(tail=placed.last_index, closed=addition.close, producer=addition.producer)

    def _locked(self, path: str) -> asyncio.Lock:
        lock = self._locks.get(path)
        if lock is None:
            lock = self._locks[path] = asyncio.Lock()
        return lock

    def _own(self, producer: Producer | None) -> Producer | None:
        return None if producer is None else producer._replace(id=f"{self._caller.subject}\n{producer.id}")

    async def _repeated(self, channel: Channel, stat: LogStat, producer: Producer | None, verdict: Duplicated) -> Added:
        """An answer to a second try, not before the first one is on disk."""
        if producer is not None and not stat.closed:
            try:
                await self._log.append(stat.name, b"", count=0, producer=producer)
            except Duplicate:
                pass
        return Added(tail=stat.tail - 1, closed=channel.closed, duplicate=True, producer=verdict.producer)

    async def delete(self, path: str) -> None:
        """Remove the channel; its subscribers are told."""
        await self._router.remove(self._caller, path, "deleted over HTTP")


class LiveMessages:
    """Implements :class:`~holdfast.durable.store.LiveReader` over a channel's log."""

    def __init__(self, log: Log, name: str, position: int, max_bytes: int) -> None:
        self._log = log
        self._name = name
        self.position = position
        self._max_bytes = max_bytes
        self._follower: AsyncIterator[list[Piece]] | None = None
        self._entries: Iterator[Entry] = iter(())
        """What was read and not given yet."""
        self._finished = False
        self.on_close: Callable[[], None] = lambda: None

    def lag_entries(self, next_index: int) -> int:
        """See :class:`~holdfast.channels.reading.audience.Guest`."""
        return max(0, next_index - 1 - self.position)

    async def next(self) -> Page | None:
        """See :meth:`~holdfast.durable.store.LiveReader.next`."""
        if self._finished:
            return None
        while True:
            stat = await self._log.stat(self._name)
            start, messages = self.position, _messages(self._entries, self._max_bytes)
            if messages:
                self.position += len(messages)
                page = Page(messages, start, self.position, stat.tail - 1, stat.closed)
                self._finished = page.finished
                return page
            if self._follower is None:
                self._follower = self._log.follow(self._name, start + 1, max_bytes=self._max_bytes)
            pieces: list[Piece] = await anext(self._follower, [])
            if not pieces:
                self._finished = True
                return Page([], start, start, start, closed=True)
            self._entries = chain.from_iterable(_parts_from(pieces, start + 1))

    def close(self) -> None:
        """Let go; idempotent."""
        self.on_close()
        self._follower = None
        self._entries = iter(())


def _decide(channel: Channel, addition: Addition, known: Producer | None) -> Admitted | Duplicated:
    """What the protocol says of an addition to a stream as the channel is one."""
    record = channel.record
    meta = StreamMeta(
        id=channel.id,
        path=channel.id,
        content_type=JSON_TYPE,
        created_at_s=record.created_at,
        sequence=record.order,
        closed_by=record.closed_by,
    )
    try:
        return admit(meta, addition, closed=channel.closed, known=known)
    except ClosedError:
        raise ChannelClosed(f"channel {channel.id} is closed") from None


def _info(channel: Channel, stat: LogStat) -> StreamInfo:
    created_at = channel.record.created_at
    return StreamInfo(
        path=channel.id,
        id=f"{created_at:.6f}",
        content_type=JSON_TYPE,
        tail=stat.tail - 1,
        closed=stat.closed,
        oldest=stat.oldest - 1,
        created_at=created_at,
    )


async def _page(start: int, pieces: list[Piece], stat: LogStat, max_bytes: int) -> Page:
    """The entries of ``pieces`` after ``start``, about ``max_bytes`` of messages at most and at least one.

    Others have their turn now and then: a page is worth a dozen of appends.
    """
    messages: list[bytes] = []
    room = max_bytes
    for entries in _parts_from(pieces, start + 1):
        some = _messages(iter(entries), room)
        messages += some
        room -= sum(map(len, some))
        if room <= 0:
            break
        await asyncio.sleep(0)
    return Page(messages, start, start + len(messages), stat.tail - 1, stat.closed)


def _parts_from(pieces: list[Piece], index: int) -> Iterator[list[Entry]]:
    """The entries of ``pieces`` from ``index`` on, a few at a time: a run may hold very many."""
    for piece in pieces:
        for run in split_runs(piece.data):  # type: ignore[union-attr]
            for part in parts_of(run, _PART_ENTRIES):
                if part.next_index > index:
                    yield entries_of(part)[max(0, index - part.first_index) :]


def _messages(entries: Iterator[Entry], max_bytes: int) -> list[bytes]:
    """The next entries as messages, about ``max_bytes`` of them and at least one; [] if there is none."""
    messages: list[bytes] = []
    room = max_bytes
    for entry in entries:
        messages.append(message_of(entry))
        room -= len(messages[-1])
        if room <= 0:
            break
    return messages
