"""The record commands as one connection calls them: :class:`RecordsApi` over the domain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from ..errors import ClosedError, DisconnectedError, HoldfastError, LimitExceeded, Unavailable
from ..rpc.failures import encode_failure
from . import serving
from .api import Compression
from .canonical import canonicalise
from .model import (
    Artifact,
    FeedEntry,
    FeedPage,
    GcReport,
    RecordMeta,
    RecordStats,
    Referrer,
    Sealed,
    StreamStart,
    Tag,
    Upload,
    Why,
)
from .serving import Exchange, Work
from .wire import zstd

if TYPE_CHECKING:
    from ..limits import Limits
    from ..rpc.aio.connection import AsyncConnection
    from ..rpc.aio.streams import AsyncWriter
    from .domain import RecordDomain, Seals

_encode = msgspec.json.Encoder().encode


class RecordsService:
    """One caller's side.  What it opened ends with its connection: :meth:`close`."""

    def __init__(self, domain: RecordDomain, connection: AsyncConnection, limits: Limits) -> None:
        self._domain = domain
        self._store = domain.store
        self._connection = connection
        self._limits = limits
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """End this connection's streams; the domain awaits them."""
        for task in self._tasks:
            task.cancel()

    # streams

    async def push(
        self, requests: int, answers: int, ordered: bool = True, compression: Compression = ""
    ) -> StreamStart:
        return self._start(serving.pushing(self._store), requests, answers, ordered, compression)

    async def pull(
        self, requests: int, answers: int, ordered: bool = True, compression: Compression = ""
    ) -> StreamStart:
        return self._start(serving.pulling(self._store), requests, answers, ordered, compression, ahead=1)

    async def lookup(
        self, requests: int, answers: int, ordered: bool = True, compression: Compression = ""
    ) -> StreamStart:
        return self._start(serving.looking_up(self._store), requests, answers, ordered, compression, ahead=1)

    async def delete(
        self, requests: int, answers: int, ordered: bool = True, compression: Compression = ""
    ) -> StreamStart:
        return self._start(serving.deleting(self._store), requests, answers, ordered, compression)

    def _start(
        self, work: Work, requests: int, answers: int, ordered: bool, compression: Compression, *, ahead: int = 0
    ) -> StreamStart:
        self._check_streams()
        compressor = zstd() if compression else None
        reader = self._connection.open_reader(requests, window_bytes=self._limits.viewer_window_bytes)
        reader.start()
        try:
            writer = self._connection.open_writer(answers)
        except HoldfastError:
            reader.close("there is no stream for its answers")
            raise
        exchange = Exchange(
            reader, writer, work, ordered=ordered, compressor=compressor, limits=self._limits,
            **({"ahead": ahead} if ahead else {}),
        )  # fmt: skip
        task = self._run(exchange.run())
        exchange.on_leave(task.cancel)
        limits = self._limits
        return StreamStart(
            compression=compression,
            batch_items_max=limits.record_batch_items_max,
            batch_bytes_max=limits.record_batch_bytes_max,
            item_bytes_max=limits.record_item_bytes_max,
        )

    def _check_streams(self) -> None:
        limit = self._limits.record_streams_max
        if len(self._tasks) >= limit:
            raise LimitExceeded(name="record_streams_max", limit=limit, value=len(self._tasks) + 1)

    def _run(self, work: object) -> asyncio.Task[None]:
        task = self._domain.run(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # records

    async def stat(self, cid: str) -> RecordMeta:
        return await self._store.stat(cid)

    async def stats(self) -> RecordStats:
        return await self._domain.stats()

    async def tag(self, name: str, version: str, cid: str) -> Tag:
        return await self._store.tags.put(name, version, cid)

    async def untag(self, name: str, version: str) -> bool:
        return await self._store.tags.remove(name, version)

    async def resolve(self, name: str, version: str = "") -> Tag:
        return self._store.tags.resolve(name, version)

    async def push_referrer(
        self,
        cid: str,
        type: str,
        data: bytes = b"{}",
        annotations: dict[str, str] | None = None,
        created_at: str = "",
    ) -> Referrer:
        content, _ = canonicalise(data, field="data")
        return await self._store.referrers.put(cid, type, content, annotations or {}, created_at)

    async def feed(self, position: int = 0, limit: int = 0) -> FeedPage:
        return await self._store.feed.read(position, limit)

    async def follow(self, stream: int, position: int = 0) -> FeedPage:
        self._check_streams()
        feed = self._store.feed
        start = feed.checked(position) if position else feed.next_position
        writer = self._connection.open_writer(stream)
        task = self._run(_feed(writer, feed.follow(start)))
        writer.on_cancel(task.cancel)
        return FeedPage(next_position=start, oldest_position=feed.oldest_position)

    # what is kept

    async def gc(self, dry_run: bool = False, grace_s: float | None = None) -> GcReport:
        return await self._domain.collector.collect(dry_run=dry_run, grace_s=grace_s)

    async def why(self, cid: str, grace_s: float | None = None) -> Why:
        return await self._domain.collector.why(cid, grace_s)

    # artifacts

    async def begin_upload(self, size_bytes: int = 0, cid: str = "", media_type: str = "") -> Upload:
        return await self._domain.artifacts.begin(size_bytes, cid, media_type)

    async def upload(self, upload: str, offset: int, data: bytes) -> Upload:
        return await self._domain.artifacts.add(upload, offset, data)

    async def commit_upload(self, upload: str, cid: str = "") -> Artifact:
        return await self._domain.artifacts.commit(upload, cid)

    async def abort_upload(self, upload: str) -> bool:
        return await self._domain.artifacts.abort(upload)

    async def artifact(self, cid: str) -> Artifact:
        return self._domain.artifacts.get(cid)

    async def read_artifact(self, cid: str, offset: int = 0, length: int = 0) -> bytes:
        return await self._domain.artifacts.read(cid, offset, length)

    async def delete_artifact(self, cid: str) -> bool:
        return await self._domain.artifacts.delete(cid)

    # jobs

    async def seal(self, job: str) -> Sealed:
        return await self._seals().seal(job)

    async def verify(self, job: str) -> Sealed:
        return await self._seals().verify(job)

    def _seals(self) -> Seals:
        if self._domain.seals is None:
            raise Unavailable("this node seals no jobs")
        return self._domain.seals

    # lists, last: the name of one hides the builtin

    async def tags(self, name: str = "", cid: str = "", after: str = "") -> list[Tag]:
        return self._store.tags.list(name, cid, after)

    async def referrers(self, cid: str, type: str = "", referrer: str = "", after: str = "") -> list[Referrer]:
        return await self._store.referrers.list(cid, type, referrer, after)

    async def delete_referrers(self, cid: str, type: str = "", referrer: str = "") -> list[str]:
        return await self._store.referrers.remove(cid, type, referrer)

    async def artifacts(self, after: str = "") -> list[Artifact]:
        return [*self._domain.artifacts.list(after)]

    async def uploads(self) -> list[Upload]:
        return [*self._domain.artifacts.uploads()]

    async def list(
        self, after: str = "", limit: int = 0, name: str = "", annotations: dict[str, str] | None = None
    ) -> list[RecordMeta]:
        return await self._store.list(after, limit, name, annotations)


async def _feed(writer: AsyncWriter, entries: AsyncGenerator[list[FeedEntry]]) -> None:
    """Write them as JSON lines until the reader has had enough."""
    try:
        async with aclosing(entries):
            async for some in entries:
                await writer.write(b"".join([_encode(entry) + b"\n" for entry in some]))
    except (ClosedError, DisconnectedError):
        return  # the reader left
    except HoldfastError as error:
        await writer.fail(encode_failure(error))
