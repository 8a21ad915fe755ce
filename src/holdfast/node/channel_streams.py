"""Channels as durable streams: ``<process>/<name>``, JSON, a message for each entry; positions count entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..channels.access import Owner
from ..channels.record import NO_LIMITS, log_name
from ..channels.unpacking import cut_runs, iter_entries
from ..durable.admission import check_addition
from ..durable.messages import split_messages
from ..durable.model import JSON_TYPE, Added, Addition, Creation, Page, StreamInfo, Where, media_type
from ..durable.paging import position_at
from ..durable.store import EVERYTHING
from ..errors import ChannelClosed, ChannelExists, Conflict, NotFound, UsageError, from_wire
from .channel_messages import draft_of, message_of
from .channels import ChannelCaller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ..channels.access import Action, Caller
    from ..channels.channel import Channel
    from ..channels.router import ChannelRouter
    from ..engine.base import Log, LogStat, Piece
    from ..security.audit import AuditLog

_ANYBODY = "anybody"
"""The subject of those who need no token."""


class ChannelStreams:
    """Implements :class:`~holdfast.durable.store.StreamStore` for one caller, with the router's own rights."""

    actions = EVERYTHING

    def __init__(self, router: ChannelRouter, log: Log, audit: AuditLog, caller: Caller | None = None) -> None:
        self._router = router
        self._log = log
        self._audit = audit
        self._caller = caller or Owner(_ANYBODY)
        self._wanted: Action = "read"
        """What the caller came for: who only writes is told where the channel stands, too."""

    def seen_by(self, identity: Any, peer: str) -> ChannelStreams:
        """For the caller with that identity."""
        caller = None if identity is None else ChannelCaller(identity, self._audit, peer)
        return ChannelStreams(self._router, self._log, self._audit, caller)

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
        return _page(start, pieces, await self._log.stat(stat.name), max_bytes)

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
        """See :meth:`StreamStore.append`; a refused message of several does not keep the others out."""
        check_addition(addition)
        self._wanted = "append"
        channel, stat = await self._find(path, "append", "append")
        if channel.closed:
            if addition.body:
                raise ChannelClosed(f"channel {path} is closed")
            return Added(tail=stat.tail - 1, closed=True)
        if addition.producer is not None or addition.sequence is not None:
            raise UsageError("channels know messages by their sequence, not by these headers", field="Producer-Id")
        if addition.close:
            self._router.find(self._caller, path, "manage", "http.close")
        if addition.body:
            await self._append(path, addition)
        if addition.close:
            await self._router.end(self._caller, path)
        return Added(tail=(await self._log.stat(stat.name)).tail - 1, closed=addition.close)

    async def _append(self, path: str, addition: Addition) -> None:
        if media_type(addition.content_type or "") != JSON_TYPE:
            raise Conflict(f"Content-Type: a channel is {JSON_TYPE}", JSON_TYPE, addition.content_type)
        messages = split_messages(addition.body)
        if not messages:
            raise UsageError("body: an empty array holds no message", field="body")
        batch = b"".join(draft_of(message, position) for position, message in enumerate(messages))
        result = await self._router.append(self._caller, path, batch)
        for outcome in result.others:
            if outcome.error is not None:
                raise from_wire(outcome.error)

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
        self._pieces: list[Piece] = []
        self._finished = False
        self.on_close: Callable[[], None] = lambda: None

    def lag_entries(self, next_index: int) -> int:
        """See :class:`~holdfast.channels.router.Guest`."""
        return max(0, next_index - 1 - self.position)

    async def next(self) -> Page | None:
        """See :meth:`~holdfast.durable.store.LiveReader.next`."""
        if self._finished:
            return None
        if not self._pieces:
            if self._follower is None:
                self._follower = self._log.follow(self._name, self.position + 1, max_bytes=self._max_bytes)
            self._pieces = list(await anext(self._follower, []))
        stat = await self._log.stat(self._name)
        if not self._pieces:
            self._finished = True
            return Page([], self.position, self.position, self.position, closed=True)
        page = _page(self.position, self._pieces, stat, self._max_bytes)
        self._pieces = [piece for piece in self._pieces if piece.end > page.end + 1]
        self.position = page.end
        self._finished = page.finished
        return page

    def close(self) -> None:
        """Let go; idempotent."""
        self.on_close()
        self._follower = None
        self._pieces = []


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


def _page(start: int, pieces: list[Piece], stat: LogStat, max_bytes: int) -> Page:
    """The entries of ``pieces`` after ``start``, about ``max_bytes`` of messages at most and at least one."""
    messages: list[bytes] = []
    room = max_bytes
    for piece in pieces:
        for entry in iter_entries(cut_runs(piece.data, start + 1, piece.end)):  # type: ignore[union-attr]
            if room <= 0:
                break
            messages.append(message_of(entry))
            room -= len(messages[-1])
    return Page(messages, start, start + len(messages), stat.tail - 1, stat.closed)
