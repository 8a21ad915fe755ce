"""Free-standing streams: each a log of the engine, its configuration in the log's meta."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from heapq import nsmallest
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import structlog

from ..engine.base import Engine, LogStat
from ..errors import Conflict, Duplicate, Gone, HoldfastError, LimitExceeded, NotFound, StorageError, UsageError
from ..ids import new_id
from .admission import Admitted, Duplicated, admit, check_addition, payload_of
from .expiry import Lifetime
from .ghosts import Ghosts
from .meta import StreamMeta, decode_meta, position_of
from .model import DEFAULT_TYPE, Added, Addition, Creation, Page, StreamInfo, Where, media_type, mode_of
from .paging import LivePages, first_of, position_at, read_page
from .paths import check_path
from .store import EVERYTHING
from .sweeper import Sweeper

if TYPE_CHECKING:
    from ..clock import Clock
    from ..limits import Limits

_logger = structlog.get_logger("holdfast.durable")

_LOGS = "streams/"


class _Stream:
    """One stream in memory: what a restart reads again, and when it was last used."""

    __slots__ = ("life", "meta")

    def __init__(self, meta: StreamMeta, life: Lifetime) -> None:
        self.meta = meta
        self.life = life


class DurableStreams:
    """Implements :class:`~holdfast.durable.store.StreamStore` over an engine.

    A restart counts as a use of every stream with a sliding lifetime: none ends early because the node was down.
    """

    actions = EVERYTHING

    def __init__(
        self, engine: Engine, *, clock: Clock, limits: Limits, new_stream_id: Callable[[], str] = new_id
    ) -> None:
        self._log = engine.log
        self._clock = clock
        self._limits = limits
        self._new_id = new_stream_id
        self._streams: dict[str, _Stream] = {}
        self._family = Ghosts(engine.kv)
        self._sweeper = Sweeper(clock, self._look_at)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # -- life -------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Load all streams, finish what a crash interrupted, begin to end the expired ones."""
        await self._family.load()
        for stat in await self._log.list(_LOGS):
            await self._load(stat)
        await self._family.lay_to_rest()
        self._sweeper.start()

    async def _load(self, stat: LogStat) -> None:
        path = stat.name.removeprefix(_LOGS)
        if not stat.meta or self._family.is_ghost(path):  # its creation or its deletion was not finished
            await self._log.delete(stat.name)
            return
        self._enter(decode_meta(stat.name, stat.meta))

    async def close(self) -> None:
        """Stop ending expired streams."""
        await self._sweeper.close()

    def __len__(self) -> int:
        return len(self._streams)

    # -- looking ----------------------------------------------------------------------------------------------

    def seen_by(self, identity: Any, peer: str) -> DurableStreams:
        """The same for all; the policy has decided already."""
        return self

    async def resource(self, path: str) -> str:
        """A stream has one path only."""
        return path

    async def info(self, path: str) -> StreamInfo:
        """See :meth:`StreamStore.info`."""
        stream = await self._find(path)
        return self._info(stream, await self._log.stat(_LOGS + path))

    def _info(self, stream: _Stream, stat: LogStat) -> StreamInfo:
        meta = stream.meta
        return StreamInfo(
            path=meta.path,
            id=meta.id,
            content_type=meta.content_type,
            tail=stat.tail - first_of(stat),
            closed=stat.closed,
            ttl_s=meta.ttl_s,
            expires_at_s=meta.expires_at_s,
            oldest=stat.oldest - first_of(stat),
            created_at=meta.created_at_s,
            source=meta.source or "",
        )

    async def find_all(
        self,
        prefix: str = "",
        after: str = "",
        limit: int | None = None,
        wanted: Callable[[str], bool] = lambda _path: True,
    ) -> list[StreamInfo]:
        """The streams whose path starts with ``prefix``, by path: the first ``limit`` wanted ones after ``after``."""
        paths = (path for path in self._streams if path.startswith(prefix) and path > after and wanted(path))
        found = []
        for path in sorted(paths) if limit is None else nsmallest(limit, paths):
            try:
                found.append(await self.info(path))
            except (NotFound, Gone):
                continue  # it ended meanwhile
        return found

    async def read(self, path: str, where: Where, max_bytes: int) -> Page:
        """See :meth:`StreamStore.read`."""
        self._use(await self._find(path))
        return await read_page(self._log, _LOGS + path, where, max_bytes)

    async def follow(self, path: str, where: Where, max_bytes: int) -> LivePages:
        """See :meth:`StreamStore.follow`."""
        stream = await self._find(path)
        stat = await self._log.stat(_LOGS + path)
        position = position_at(stat, where)
        self._use(stream)
        stream.life.users += 1
        return LivePages(self._log, stat.name, stat, position, max_bytes, closed=partial(self._left, stream))

    def _left(self, stream: _Stream) -> None:
        stream.life.users -= 1
        self._use(stream)

    async def _find(self, path: str) -> _Stream:
        """The stream; Gone for a ghost, NotFound for none and for one that is over, which is removed first."""
        stream = self._streams.get(path)
        if stream is not None and self._over(stream):
            async with self._locked(path):
                await self._remove_if_over(path)
        return self._get(path)

    def _get(self, path: str) -> _Stream:
        stream = self._streams.get(path)
        if stream is None:
            if self._family.is_ghost(path):
                raise Gone(f"stream {path!r} was deleted; its forks live on")
            raise NotFound(kind="stream", name=path)
        return stream

    def _locked(self, path: str) -> asyncio.Lock:
        lock = self._locks.get(path)
        if lock is None:
            lock = self._locks[path] = asyncio.Lock()
        return lock

    # -- creating ---------------------------------------------------------------------------------------------

    async def create(self, path: str, creation: Creation) -> tuple[StreamInfo, bool]:
        """See :meth:`StreamStore.create`."""
        check_path(path)
        if creation.fork is not None:
            check_path(creation.fork.source)
        async with self._locked(path):
            await self._remove_if_over(path)
            found = self._streams.get(path)
            if found is not None:
                return await self._ensure(found, creation), False
            if self._family.is_ghost(path):
                raise Conflict(f"stream {path!r} was deleted; its path is taken while it has forks")
            if len(self._streams) >= self._limits.streams_max:
                raise LimitExceeded(name="streams_max", limit=self._limits.streams_max, value=len(self._streams) + 1)
            return await self._make(path, creation), True

    async def _ensure(self, stream: _Stream, creation: Creation) -> StreamInfo:
        info = self._info(stream, await self._log.stat(_LOGS + stream.meta.path))
        if not stream.meta.matches(creation, closed=info.closed):
            raise Conflict(f"stream {info.path!r} exists already and was created otherwise")
        self._use(stream)
        return info

    async def _make(self, path: str, creation: Creation) -> StreamInfo:
        source, cut = await self._source(creation)
        meta = self._new_meta(path, creation, source)
        payload = payload_of(meta.content_type, creation.body)
        name = _LOGS + path
        if source is not None:
            self._get(source.path)
            self._family.add(path, source.path)  # now, so that the source cannot go meanwhile
        later = bool(payload) or creation.closed  # without meta a log does not count, so it is all or nothing
        first = b"" if later else meta.encode()
        try:
            if source is None:
                await self._log.create(name, mode=mode_of(meta.content_type), meta=first)
            else:
                await self._log.fork(name, _LOGS + source.path, cut, meta=first)
            if later:
                await self._log.append(name, payload, meta=meta.encode(), close=creation.closed)
        except BaseException:
            await self._family.let_go(path)
            await self._discard(name)
            raise
        return self._info(self._enter(meta), await self._log.stat(name))

    async def _discard(self, name: str) -> None:
        try:
            await self._log.delete(name)
        except HoldfastError as error:  # a restart removes what has no meta
            _logger.info("stream.leftover", log=name, error=str(error))

    def _new_meta(self, path: str, creation: Creation, source: StreamMeta | None) -> StreamMeta:
        inherited = creation.content_type is None and source is not None
        own_life = creation.ttl_s is not None or creation.expires_at_s is not None
        lasting = creation if own_life or source is None else source
        return StreamMeta(
            id=self._new_id(),
            path=path,
            content_type=source.content_type if inherited and source else creation.content_type or DEFAULT_TYPE,
            created_at_s=self._clock.wall(),
            ttl_s=lasting.ttl_s,
            expires_at_s=lasting.expires_at_s,
            source=None if source is None else source.path,
            fork_position=position_of(creation),
        )

    async def _source(self, creation: Creation) -> tuple[StreamMeta | None, int]:
        """The meta of the stream to fork, and the log position to fork it at."""
        fork = creation.fork
        if fork is None:
            return None, 0
        try:
            source = await self._find(fork.source)
        except Gone:
            raise Conflict(f"stream {fork.source!r} was deleted; it cannot be forked any more") from None
        wanted = creation.content_type
        if wanted is not None and media_type(wanted) != media_type(source.meta.content_type):
            raise Conflict(
                f"Content-Type: the source holds {media_type(source.meta.content_type)}, not {media_type(wanted)}",
                media_type(source.meta.content_type),
                media_type(wanted),
            )
        stat = await self._log.stat(_LOGS + fork.source)
        tail = stat.tail - first_of(stat)
        position = (tail if fork.position is None else fork.position) + fork.beyond
        if position > tail:
            raise UsageError(f"fork: position {position} is beyond the source's tail, {tail}", field="fork")
        return source.meta, position + first_of(stat)

    def _enter(self, meta: StreamMeta) -> _Stream:
        life = Lifetime(meta.ttl_s, meta.expires_at_s, self._clock.now())
        stream = self._streams[meta.path] = _Stream(meta, life)
        self._family.add(meta.path, meta.source)
        self._sweeper.schedule(meta.path, life)
        return stream

    # -- appending --------------------------------------------------------------------------------------------

    async def append(self, path: str, addition: Addition) -> Added:
        """See :meth:`StreamStore.append`."""
        check_addition(addition)
        async with self._locked(path):  # until the engine has decided, so that decisions fall in order
            await self._remove_if_over(path)
            stream = self._get(path)
            self._use(stream)
            stat = await self._log.stat(_LOGS + path)
            known = None if addition.producer is None else await self._log.producer(stat.name, addition.producer.id)
            verdict = admit(stream.meta, addition, closed=stat.closed, known=known)
            if isinstance(verdict, Duplicated):
                return await self._repeated(stat, addition, verdict)
            waiting = self._submit(stream, addition, verdict)
            if addition.close:  # whoever tries again must find it either closed or open
                await self._settled(stream, waiting)
        tail = await self._settled(stream, waiting)
        return Added(tail=tail - first_of(stat), closed=addition.close, producer=addition.producer)

    def _submit(self, stream: _Stream, addition: Addition, verdict: Admitted) -> asyncio.Future[int]:
        meta = verdict.meta
        waiting = asyncio.ensure_future(
            self._log.append(
                _LOGS + stream.meta.path,
                verdict.payload,
                producer=addition.producer,
                close=addition.close,
                meta=None if meta is None else meta.encode(),
            )
        )
        refused = waiting.done() and waiting.exception() is not None
        if meta is not None and not refused:
            stream.meta = meta
        return waiting

    async def _settled(self, stream: _Stream, waiting: asyncio.Future[int]) -> int:
        try:
            return await waiting
        except StorageError:  # it is lost, and all that was queued behind it
            name = _LOGS + stream.meta.path
            stream.meta = decode_meta(name, (await self._log.stat(name)).meta)
            raise

    async def _repeated(self, stat: LogStat, addition: Addition, verdict: Duplicated) -> Added:
        """An answer to a second try, not before the first one is durable."""
        if not stat.closed:
            try:
                empty: bytes | list[bytes] = b"" if stat.mode == "bytes" else []
                await self._log.append(stat.name, empty, producer=addition.producer)
            except Duplicate:
                pass
        return Added(tail=stat.tail - first_of(stat), closed=stat.closed, duplicate=True, producer=verdict.producer)

    # -- the end ----------------------------------------------------------------------------------------------

    async def delete(self, path: str) -> None:
        """See :meth:`StreamStore.delete`."""
        async with self._locked(path):
            await self._remove_if_over(path)
            self._get(path)
            await self._remove(path)

    async def _remove(self, path: str) -> None:
        stream = self._streams.pop(path)
        try:
            if self._family.has_forks(path):
                await self._family.store(path)
            await self._log.delete(_LOGS + path)
        except HoldfastError:
            self._family.exorcise(path)
            self._streams[path] = stream
            raise
        self._sweeper.forget(path)
        if not self._family.is_ghost(path):
            await self._family.let_go(path)

    # -- use and expiry ---------------------------------------------------------------------------------------

    def _over(self, stream: _Stream) -> bool:
        return stream.life.over(self._clock.now(), self._clock.wall())

    def _use(self, stream: _Stream) -> None:
        stream.life.use(self._clock.now())

    async def _remove_if_over(self, path: str) -> None:
        """Only with the path's lock."""
        stream = self._streams.get(path)
        if stream is not None and self._over(stream):
            await self._remove(path)
            _logger.info("stream.expired", path=path)

    async def _look_at(self, path: str) -> Lifetime | None:
        async with self._locked(path):
            await self._remove_if_over(path)
        stream = self._streams.get(path)
        return None if stream is None else stream.life

    async def sweep(self) -> None:
        """Remove every stream whose time has come; it happens by itself, too."""
        await self._sweeper.sweep()
