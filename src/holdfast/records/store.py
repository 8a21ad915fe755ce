"""The store of records: push, pull, look up and delete, many at a time, each item with its own result.

A record is one blob of the engine, with its metadata beside it: both are there or neither is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..engine.base import Blob, BlobStat
from ..errors import CorruptionError, HoldfastError, NotFound
from .cid import cid_of_digest, digest_of_cid
from .feed import Feed, page_size
from .finishing import finish
from .holds import Holds
from .model import RecordMeta
from .prepared import (
    REFERRER_KIND,
    Prepared,
    as_both,
    bare_meta,
    is_both,
    is_record,
    meta_from,
    meta_json,
    meta_of,
    prepare,
    previous_of,
    touched,
    touched_at,
)
from .referrers import Referrers
from .tags import Tags

if TYPE_CHECKING:
    from ..clock import Clock
    from ..engine.base import BlobStore, Engine
    from ..limits import Limits

TOUCH_S = 10.0
"""A record that is pushed again is noted as such when that was noted longer ago; collection allows for it."""
_PULL_BYTES = 1 << 20
"""Records read at once."""
_PAGES_MAX = 20
"""Pages looked through for one answer to a list with filters, once there is something to answer."""
_PREPARED_AT_ONCE = 64
"""Then others have their turn: naming a record takes some 30 µs."""


class Pushed(NamedTuple):
    """A record that is on disk."""

    cid: str
    existed: bool = False


CameAlive = Callable[[bytes, bytes], None]


def no_matter(_digest: bytes, _previous: bytes) -> None:
    """Nobody wants to know what comes alive."""


class Counts:
    """What happened since the start."""

    def __init__(self) -> None:
        self.pushed = self.repeated = self.pulled = self.looked_up = self.deleted = self.failed = self.streams = 0


class Size:
    """How many records there are, and their bytes: counted when first asked for, then kept."""

    def __init__(self) -> None:
        self.known = False
        self.records = 0
        self.record_bytes = 0

    def add(self, sizes: Sequence[int], sign: int = 1) -> None:
        """So many came, or with ``sign`` -1 went."""
        self.records += sign * len(sizes)
        self.record_bytes += sign * sum(sizes)


class RecordStore:
    """All records of a node.  State has one owner: this."""

    def __init__(self, engine: Engine, *, clock: Clock, limits: Limits) -> None:
        self._blobs: BlobStore = engine.blobs
        self._clock = clock
        self.limits = limits
        self.holds = Holds()
        self._pushing = asyncio.Lock()
        """Pushes get hold of their records in the order of their coming: of equal ones the first is the new one."""
        self.feed = Feed(engine.log, limits)
        self.tags = Tags(engine.kv, self, self.feed, clock=clock, limits=limits)
        self.referrers = Referrers(engine.kv, engine.blobs, self, self.feed, clock=clock, limits=limits)
        self.counts = Counts()
        self._size = Size()
        self.came_alive: CameAlive = no_matter
        """Told of what was pushed, tagged or attached to, and its previous record, before that is answered."""

    async def open(self) -> None:
        """Load what is kept in memory: tags, and which record has referrers."""
        await self.feed.open()
        await self.tags.open()
        await self.referrers.open()

    # push

    async def push_many(self, texts: Sequence[bytes]) -> list[Pushed | HoldfastError]:
        """Store records given as JSON text, durably; the result of each is its own.

        Raises nothing for an item.  Cancelled, some may have been stored.
        """
        async with self._pushing:
            prepared = await self._prepare(texts)
            fresh: dict[bytes, Prepared] = {}
            for one in prepared:
                if isinstance(one, Prepared):
                    fresh.setdefault(one.digest, one)
            hold = await self.holds.take(fresh.keys())
        existed: set[bytes] | HoldfastError = set()
        if fresh:
            with hold:
                try:
                    existed = await self._store(fresh)
                except HoldfastError as error:
                    existed = error
        return [self._pushed(one, existed, fresh) for one in prepared]

    async def _prepare(self, texts: Sequence[bytes]) -> list[Prepared | HoldfastError]:
        found: list[Prepared | HoldfastError] = []
        for position, text in enumerate(texts):
            if position and position % _PREPARED_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                found.append(prepare(text, self.limits))
            except HoldfastError as error:
                found.append(error)
        return found

    async def _store(self, fresh: dict[bytes, Prepared]) -> set[bytes]:
        """Store what is not there, note what is as pushed again; which was there."""
        now = self._clock.wall()
        stats = [stat for stat in await self._blobs.stat_many(list(fresh)) if stat is not None]
        existed = {stat.digest for stat in stats if is_record(stat.meta)}
        changes = [(stat.digest, _meta_again(fresh[stat.digest], stat.meta, now)) for stat in stats]
        if stale := [(digest, meta) for digest, meta in changes if meta]:
            await self._blobs.annotate_many(stale)
        there = {stat.digest for stat in stats}
        blobs = [Blob(digest, one.canonical, meta_of(one, now)) for digest, one in fresh.items() if digest not in there]
        if blobs:
            await self._insert(blobs, [fresh[blob.digest].cid for blob in blobs], now)
        for digest, one in fresh.items():
            self.came_alive(digest, previous_of(one.fields.get("previous_record_cid", "")))
        return existed

    async def _insert(self, blobs: list[Blob], cids: list[str], now: float) -> None:
        await self.feed.around("pushed", cids, now, self._blobs.put_many(blobs))
        self._size.add([len(blob.data) for blob in blobs])

    def _pushed(
        self, one: Prepared | HoldfastError, existed: set[bytes] | HoldfastError, fresh: dict[bytes, Prepared]
    ) -> Pushed | HoldfastError:
        if isinstance(one, HoldfastError) or isinstance(existed, HoldfastError):
            self.counts.failed += 1
            return one if isinstance(one, HoldfastError) else existed  # type: ignore[return-value]
        again = one.digest in existed or fresh[one.digest] is not one
        if again:
            self.counts.repeated += 1
        else:
            self.counts.pushed += 1
        return Pushed(one.cid, again)

    # pull and lookup

    async def pull_many(self, cids: Sequence[str]) -> AsyncGenerator[list[bytes | HoldfastError]]:
        """Records as canonical JSON, verified, in order: as many at a time as are sensible to hold."""
        digests, errors = _digests(cids)
        found = 0
        while found < len(cids):
            if errors[found] is not None:
                yield [self._failed(errors[found])]  # type: ignore[arg-type]
                found += 1
                continue
            end = next((at for at in range(found, len(cids)) if errors[at] is not None), len(cids))
            contents = await self._blobs.get_many(digests[found:end], max_bytes=_PULL_BYTES)
            answers = [self._pulled(cids[found + at], content) for at, content in enumerate(contents)]
            found += len(answers)
            yield answers

    def _pulled(self, cid: str, content: bytes | CorruptionError | None) -> bytes | HoldfastError:
        if content is None:
            return self._failed(_no_record(cid))
        if isinstance(content, CorruptionError):
            where, got = f"record {cid}", content.got
            return self._failed(CorruptionError(where=where, expected=content.expected, got=got))
        self.counts.pulled += 1
        return content

    async def lookup_many(self, cids: Sequence[str]) -> list[bytes | HoldfastError]:
        """JSON of the RecordMeta of each."""
        stats = await self._stats(cids)
        return [
            self._failed(stat) if isinstance(stat, HoldfastError) else meta_json(cid, stat.meta)
            for cid, stat in zip(cids, stats, strict=True)
        ]

    async def stat(self, cid: str) -> RecordMeta:
        """What is known of one.  NotFound, UsageError."""
        (stat,) = await self._stats([cid])
        if isinstance(stat, HoldfastError):
            raise stat
        return meta_from(cid, stat.meta)

    async def _stats(self, cids: Sequence[str]) -> list[BlobStat | HoldfastError]:
        digests, errors = _digests(cids)
        stats = await self._blobs.stat_many(
            [digest for digest, error in zip(digests, errors, strict=True) if not error]
        )
        rest = iter(stats)
        found: list[BlobStat | HoldfastError] = []
        for cid, error in zip(cids, errors, strict=True):
            stat = None if error else next(rest)
            if stat is None or not is_record(stat.meta):
                found.append(error or _no_record(cid))
            else:
                self.counts.looked_up += 1
                found.append(stat)
        return found

    def _failed(self, error: HoldfastError) -> HoldfastError:
        self.counts.failed += 1
        return error

    # delete

    async def delete_many(self, cids: Sequence[str]) -> list[HoldfastError | None]:
        """Delete records with their tags and referrers, durably; NotFound for one that is not there."""
        digests, errors = _digests(cids)
        wanted = {digest: cid for digest, cid, error in zip(digests, cids, errors, strict=True) if error is None}
        gone: set[bytes] | HoldfastError = set()
        if wanted:
            with await self.holds.take(wanted.keys()):
                try:
                    gone = await finish(self._remove(wanted))
                except HoldfastError as error:
                    gone = error
        return [
            self._deleted(cid, error or (gone if isinstance(gone, HoldfastError) else None), digest, gone)
            for cid, digest, error in zip(cids, digests, errors, strict=True)
        ]

    def _deleted(
        self, cid: str, error: HoldfastError | None, digest: bytes, gone: set[bytes] | HoldfastError
    ) -> HoldfastError | None:
        if error is None and isinstance(gone, set) and digest in gone:
            gone.discard(digest)  # of one that is named twice the second is not there any more
            self.counts.deleted += 1
            return None
        return self._failed(error or _no_record(cid))

    async def _remove(self, wanted: dict[bytes, str]) -> set[bytes]:
        """Remove those of ``wanted`` that are there; the caller has them alone."""
        stats = await self._blobs.stat_many(list(wanted))
        there = [stat for stat in stats if stat is not None and is_record(stat.meta)]
        await self.remove_held(there)
        return {stat.digest for stat in there}

    async def remove_held(self, there: Sequence[BlobStat]) -> None:
        """Remove records that are there and held alone by the caller; what hangs on them first."""
        for stat in there:
            await self.tags.forget(stat.digest)
            await self.referrers.forget(stat.digest)
        if there:
            cids = [cid_of_digest(stat.digest) for stat in there]
            await self.feed.around("deleted", cids, self._clock.wall(), self._erase(there))

    async def _erase(self, there: Sequence[BlobStat]) -> None:
        also = [(stat.digest, bare_meta(REFERRER_KIND, touched_at(stat.meta))) for stat in there if is_both(stat.meta)]
        if also:
            await self._blobs.annotate_many(also)
        await self._blobs.delete_many([stat.digest for stat in there if not is_both(stat.meta)])
        self._size.add([stat.size for stat in there], -1)

    # listing

    async def size(self) -> Size:
        """How much there is; the first time after a start it takes a look at everything."""
        if not self._size.known:
            counted = Size()
            after = b""
            while page := await self._blobs.list(after, 10_000):
                counted.add([stat.size for stat in page if is_record(stat.meta)])
                after = page[-1].digest
            counted.known = True
            self._size = counted
        return self._size

    async def list(
        self, after: str, limit: int, name: str = "", annotations: dict[str, str] | None = None
    ) -> list[RecordMeta]:
        """See :meth:`RecordsApi.list`; an answer is empty only at the end."""
        most = self.limits.records_page_max
        wanted = page_size(limit, self.limits)
        matches = _matcher(name, annotations or {})
        at = digest_of_cid(after, field="after") if after else b""
        found: list[RecordMeta] = []
        size = 0
        pages = 0
        while len(found) < wanted and size < self.limits.records_page_bytes and not (found and pages >= _PAGES_MAX):
            page = await self._blobs.list(at, most)
            if not page:
                break
            pages += 1
            for stat in page:
                at = stat.digest
                if not is_record(stat.meta):
                    continue
                meta = meta_from(cid_of_digest(at), stat.meta)
                if matches(meta):
                    found.append(meta)
                    size += len(stat.meta) + 100
                    if len(found) >= wanted or size >= self.limits.records_page_bytes:
                        break
        return found


def _meta_again(one: Prepared, meta: bytes, now: float) -> bytes:
    """What to keep of a blob that is there, now that it is pushed; empty: what is kept is as good."""
    if not is_record(meta):
        return as_both(meta_of(one, now))
    return touched(meta, now) if now - touched_at(meta) > TOUCH_S else b""


def _digests(cids: Sequence[str]) -> tuple[list[bytes], list[HoldfastError | None]]:
    """The digest of each, or the error of what is no CID."""
    digests: list[bytes] = []
    errors: list[HoldfastError | None] = []
    for cid in cids:
        try:
            digests.append(digest_of_cid(cid))
            errors.append(None)
        except HoldfastError as error:
            digests.append(b"")
            errors.append(error)
    return digests, errors


def _matcher(name: str, annotations: dict[str, str]) -> Callable[[RecordMeta], bool]:
    wanted = annotations.items()
    return lambda meta: (not name or meta.name == name) and wanted <= meta.annotations.items()


def _no_record(cid: str) -> NotFound:
    return NotFound(kind="record", name=cid)
