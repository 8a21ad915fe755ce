"""The stream commands as one connection calls them: :class:`StreamsApi` over the streams and what is mounted there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from ..engine.base import Producer
from ..errors import LimitExceeded, NotFound, StreamReplaced, UsageError
from ..rpc.aio.whole import take_whole
from .model import (
    Addition,
    Creation,
    Fork,
    ProducerMark,
    StreamAppended,
    StreamCreated,
    StreamInfo,
    StreamStart,
    Where,
)
from .readers import PAGE_BYTES, Feeder
from .values import check_content_type, check_lifetime

if TYPE_CHECKING:
    from ..limits import Limits
    from ..rpc.aio.connection import AsyncConnection
    from .readers import Readers
    from .store import Mounts, StreamStore
    from .streams import DurableStreams

T = TypeVar("T")


class StreamCaller(Protocol):
    """Who calls, as far as the commands' own permits do not say it all."""

    def sees(self, path: str) -> bool:
        """Whether a list may hold this stream."""
        ...

    def check_read(self, path: str) -> None:
        """PermissionDenied, or NotFound as for one that is not there, if it may not read this stream."""
        ...

    def view_of(self, store: StreamStore) -> StreamStore:
        """The store as this caller may see and use it."""
        ...


class Streams(NamedTuple):
    """A node's streams, shared by all connections."""

    own: DurableStreams
    """The free-standing ones."""
    mounts: Mounts
    readers: Readers


class StreamsService:
    """One caller's side: what it reads ends with its connection; the streams do not."""

    def __init__(self, streams: Streams, caller: StreamCaller, connection: AsyncConnection, limits: Limits) -> None:
        self._own = streams.own
        self._mounts = streams.mounts
        self._readers = streams.readers
        self._caller = caller
        self._connection = connection
        self._limits = limits
        self._reading: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """End what this connection reads; the readers' owner awaits it."""
        for task in self._reading:
            task.cancel()

    # creating and removing

    async def create(
        self,
        path: str,
        data: bytes = b"",
        content_type: str = "",
        ttl_s: int | None = None,
        expires_at_s: float | None = None,
        closed: bool = False,
        fork_of: str = "",
        fork_at: int | None = None,
    ) -> StreamCreated:
        self._check_own(path)
        check_lifetime(ttl_s, expires_at_s)
        creation = Creation(
            content_type=check_content_type(content_type),
            ttl_s=ttl_s,
            expires_at_s=expires_at_s,
            closed=closed,
            body=data,
            fork=await self._fork(fork_of, fork_at),
        )
        info, created = await self._own.create(path, creation)
        return StreamCreated(info=info, created=created)

    async def _fork(self, source: str, at: int | None) -> Fork | None:
        if not source:
            if at is not None:
                raise UsageError("fork_at: only with fork_of", field="fork_at")
            return None
        self._check_own(source, "fork_of")
        self._caller.check_read(source)
        if at is not None and at < 0:
            at = _counted_back(await self._own.info(source), at)
        return Fork(source=source, position=at)

    async def remove(self, path: str) -> None:
        self._check_own(path)
        await self._own.delete(path)

    def _check_own(self, path: str, field: str = "path") -> None:
        """UsageError for what is not a free-standing stream's path."""
        if self._mounts.is_reserved(path):
            first = path.partition("/")[0]
            raise UsageError(f"{field}: paths that begin with {first!r} are not free-standing streams", field=field)

    # looking

    async def info(self, path: str) -> StreamInfo:
        store, rest = self._find(path)
        return _named(path, await _told(path, store.info(rest)))

    async def list(self, prefix: str = "", after: str = "") -> list[StreamInfo]:
        return await self._own.find_all(prefix, after, self._limits.streams_page_max, self._caller.sees)

    def _find(self, path: str) -> tuple[StreamStore, str]:
        store, rest = self._mounts.find(path)
        return self._caller.view_of(store), rest

    # appending

    async def append(
        self,
        path: str,
        data: bytes = b"",
        content_type: str = "",
        close: bool = False,
        sequence: str = "",
        producer: ProducerMark | None = None,
    ) -> StreamAppended:
        self._check_own(path)
        own_type = check_content_type(content_type) or (await self._own.info(path)).content_type
        addition = Addition(
            body=data,
            content_type=own_type if data else None,
            close=close,
            sequence=sequence or None,
            producer=_producer(producer),
            recall_when_closed=True,
        )
        added = await self._own.append(path, addition)
        return StreamAppended(tail=added.tail, closed=added.closed, duplicate=added.duplicate)

    async def append_stream(
        self,
        path: str,
        stream: int,
        size_bytes: int,
        content_type: str = "",
        close: bool = False,
        sequence: str = "",
        producer: ProducerMark | None = None,
    ) -> StreamAppended:
        self._check_own(path)
        limit = self._limits.stream_append_bytes_max
        if size_bytes > limit:
            raise LimitExceeded(name="stream_append_bytes_max", limit=limit, value=size_bytes)
        await self._own.info(path)  # so that nothing is sent in vain
        data = await take_whole(self._connection, stream, size_bytes, self._limits.viewer_window_bytes)
        return await self.append(path, data, content_type, close, sequence, producer)

    # reading

    async def read(
        self, path: str, stream: int, position: Where = "start", follow: bool = False, id: str = ""
    ) -> StreamStart:
        store, rest = self._find(path)
        info = _named(path, await _told(path, store.info(rest)))
        _check_same(info, id)
        if isinstance(position, int) and position < 0:
            position = _counted_back(info, position)
        self._readers.check_room()
        pages = await _told(path, store.follow(rest, position, PAGE_BYTES))
        try:
            _check_same(_named(path, await _told(path, store.info(rest))), info.id)
            begin = pages.position
            writer = self._connection.open_writer(stream, start_offset=begin if info.mode == "bytes" else 0)
        except BaseException:
            pages.close()
            raise
        task = self._readers.start(Feeder(info, pages, writer, None if follow else max(info.tail, begin)))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)
        return StreamStart(info=info, position=begin)


async def _told(path: str, asked: Awaitable[T]) -> T:
    """What a store answers, with its streams named as the caller named them."""
    try:
        return await asked
    except NotFound:
        raise NotFound(kind="stream", name=path) from None


def _named(path: str, info: StreamInfo) -> StreamInfo:
    return info if info.path == path else replace(info, path=path)


def _check_same(info: StreamInfo, id: str) -> None:
    if id and info.id != id:
        raise StreamReplaced(f"stream {info.path!r} was removed and made again", oldest=info.oldest)


def _counted_back(info: StreamInfo, position: int) -> int:
    return max(info.tail + position, info.oldest)


def _producer(mark: ProducerMark | None) -> Producer | None:
    if mark is None:
        return None
    for name, value in (("id", len(mark.id) - 1), ("epoch", mark.epoch), ("sequence", mark.sequence)):
        if value < 0:
            raise UsageError(f"producer.{name}: {'empty' if name == 'id' else 'negative'}", field=f"producer.{name}")
    return Producer(mark.id, mark.epoch, mark.sequence)
