"""Referrers: typed objects, each with its own CID, attached to a record."""

from __future__ import annotations

from collections.abc import Coroutine
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from ..engine.base import Blob
from ..errors import CorruptionError, LimitExceeded, NotFound, UsageError
from .canonical import canonical_json
from .cid import cid_of_digest, digest_of_cid
from .finishing import finish
from .model import Referrer
from .prepared import REFERRER_KIND, as_both, as_record, bare_meta, is_both, is_record, previous_of

if TYPE_CHECKING:
    from ..clock import Clock
    from ..engine.base import BlobStore, KeyValue
    from ..limits import Limits
    from .feed import Feed
    from .store import RecordStore

_PREFIX = "records/referrer/"
_TYPE_LENGTH_MAX = 256


class Referrers:
    """Which referrers each record has, in memory and in the engine; their content is a blob each."""

    def __init__(
        self, kv: KeyValue, blobs: BlobStore, store: RecordStore, feed: Feed, *, clock: Clock, limits: Limits
    ) -> None:
        self._kv = kv
        self._blobs = blobs
        self._store = store
        self._feed = feed
        self._clock = clock
        self._limits = limits
        self._of: dict[bytes, dict[str, str]] = {}
        """Of each record that has some: their CIDs, and the type of each."""
        self._attached: set[str] = set()

    async def open(self) -> None:
        """Load their names."""
        for item in await self._kv.list(_PREFIX):
            record, _, referrer = item.key.removeprefix(_PREFIX).partition("/")
            self._note(bytes.fromhex(record), referrer, item.value.decode())

    def __len__(self) -> int:
        return len(self._attached)

    def of(self, digest: bytes) -> list[str]:
        """The CIDs of a record's referrers."""
        return sorted(self._of.get(digest, ()))

    def is_attached(self, referrer: str) -> bool:
        """Whether a record has this referrer."""
        return referrer in self._attached

    async def put(
        self, cid: str, type: str, data: dict[str, Any], annotations: dict[str, str], created_at: str
    ) -> Referrer:
        """See :meth:`RecordsApi.push_referrer`."""
        digest = digest_of_cid(cid)
        _check_type(type)
        content = canonical_json(
            {
                "annotations": annotations,
                "created_at": created_at,
                "data": data,
                "record_ref": {"cid": cid},
                "type": type,
            },
            field="data",
        )
        self._check_size(len(content))
        name = sha256(content).digest()
        made = Referrer(
            cid=cid_of_digest(name), type=type, record_cid=cid,
            annotations=annotations, created_at=created_at, data=data,
        )  # fmt: skip
        with await self._store.holds.share(digest), await self._store.holds.take([name]):
            meta = await self._store.stat(cid)
            if made.cid not in self._of.get(digest, ()):
                self._check_count(digest)
                adding = self._add(digest, made, Blob(name, content, bare_meta(REFERRER_KIND, self._clock.wall())))
                await finish(self._put(digest, made, adding, previous_of(meta.previous_record_cid)))
        return made

    async def _put(self, digest: bytes, made: Referrer, adding: Coroutine[Any, Any, None], previous: bytes) -> None:
        now = self._clock.wall()
        await self._feed.around("referrer_pushed", [made.record_cid], now, adding, name=made.cid)
        self._note(digest, made.cid, made.type)
        self._store.came_alive(digest, previous)  # here, also if whoever asked has gone

    async def _add(self, digest: bytes, made: Referrer, blob: Blob) -> None:
        """The content first: what is named is there."""
        if not await self._blobs.put(blob.digest, blob.data, meta=blob.meta):
            meta = (await self._blobs.stat(blob.digest)).meta
            if is_record(meta):
                await self._blobs.annotate_many([(blob.digest, as_both(meta))])
        await self._kv.put(_key(digest, made.cid), made.type.encode())

    async def remove(self, cid: str, type: str = "", referrer: str = "") -> list[str]:
        """See :meth:`RecordsApi.delete_referrers`."""
        digest = digest_of_cid(cid)
        chosen = await self._chosen(cid, type, referrer)
        for each in chosen:
            removing = self._remove(digest, each)
            await finish(self._feed.around("referrer_deleted", [cid], self._clock.wall(), removing, name=each))
        return chosen

    async def forget(self, digest: bytes) -> None:
        """Remove the referrers of a record that goes; the caller has it alone."""
        for each in self.of(digest):
            await self._remove(digest, each)

    async def _remove(self, digest: bytes, referrer: str) -> None:
        """Its content is left for the next collection if somebody works on that: waiting could be for each other."""
        name = digest_of_cid(referrer)
        with self._store.holds.try_take([name]) as hold:
            await self._kv.delete(_key(digest, referrer))
            self._drop(digest, referrer)
            if hold.digests:
                await self._remove_content(name)

    async def _remove_content(self, name: bytes) -> None:
        (stat,) = await self._blobs.stat_many([name])
        if stat is not None and is_both(stat.meta):
            await self._blobs.annotate_many([(name, as_record(stat.meta))])
        elif stat is not None and not is_record(stat.meta):
            await self._blobs.delete(name)

    async def _chosen(self, cid: str, type: str, referrer: str) -> list[str]:
        digest = digest_of_cid(cid)
        await self._store.stat(cid)
        if referrer:
            digest_of_cid(referrer, field="referrer")
        found = self._of.get(digest, {})
        return sorted(
            each for each, its in found.items() if (not type or its == type) and (not referrer or each == referrer)
        )

    def _note(self, digest: bytes, referrer: str, type: str) -> None:
        self._of.setdefault(digest, {})[referrer] = type
        self._attached.add(referrer)

    def _drop(self, digest: bytes, referrer: str) -> None:
        names = self._of.get(digest, {})
        if names.pop(referrer, None) is not None:
            self._attached.discard(referrer)
        if not names:
            self._of.pop(digest, None)

    def _check_size(self, size: int) -> None:
        limit = self._limits.record_bytes_max
        if size > limit:
            raise LimitExceeded(
                f"data: a referrer of {size} bytes, over record_bytes_max = {limit}",
                name="record_bytes_max", limit=limit, value=size,
            )  # fmt: skip

    def _check_count(self, digest: bytes) -> None:
        limit, value = self._limits.referrers_per_record_max, len(self._of.get(digest, ())) + 1
        if value > limit:
            raise LimitExceeded(name="referrers_per_record_max", limit=limit, value=value)

    async def list(self, cid: str, type: str = "", referrer: str = "", after: str = "") -> list[Referrer]:
        """See :meth:`RecordsApi.referrers`."""
        chosen = await self._chosen(cid, type, referrer)
        if referrer and not chosen:
            raise NotFound(kind="referrer", name=referrer)
        names = [each for each in chosen if each > after]
        while names:
            contents = await self._blobs.get_many(
                [digest_of_cid(each) for each in names], max_bytes=self._limits.records_page_bytes
            )
            there = self._of.get(digest_of_cid(cid), {})  # what was detached meanwhile is not missing
            page = [(each, content) for each, content in zip(names, contents, strict=False) if each in there]
            if page:
                return [_decoded(each, content) for each, content in page]
            names = names[len(contents) :]
        return []


def _key(digest: bytes, referrer: str) -> str:
    return f"{_PREFIX}{digest.hex()}/{referrer}"


def _check_type(type: str) -> None:
    if not type or len(type) > _TYPE_LENGTH_MAX or not type.isprintable():
        raise UsageError(f"type: {type!r} must be 1 to {_TYPE_LENGTH_MAX} printable characters", field="type")


def _decoded(cid: str, content: Any) -> Referrer:
    if not isinstance(content, bytes):
        raise CorruptionError(where=f"referrer {cid}", expected="its content", got=str(content or "nothing"))
    fields = msgspec.json.decode(content)
    record = fields.pop("record_ref")["cid"]
    return Referrer(cid=cid, record_cid=record, **fields)
