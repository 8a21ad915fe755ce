"""Tags: names with a version that stand for a record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from ..engine.stored import Stored
from ..errors import NotFound, UsageError
from .cid import digest_of_cid
from .finishing import finish
from .model import Tag
from .prepared import previous_of

if TYPE_CHECKING:
    from ..clock import Clock
    from ..engine.base import KeyValue
    from ..limits import Limits
    from .feed import Feed
    from .holds import Hold
    from .store import RecordStore

_PREFIX = "records/tag/"
_NAME_LENGTH_MAX = 256
_VERSION_LENGTH_MAX = 128

_encode = msgspec.json.Encoder().encode
_stored = Stored(Tag, "a tag")


class Tags:
    """All tags, in memory and in the engine."""

    def __init__(self, kv: KeyValue, store: RecordStore, feed: Feed, *, clock: Clock, limits: Limits) -> None:
        self._kv = kv
        self._store = store
        self._feed = feed
        self._clock = clock
        self._limits = limits
        self._tags: dict[str, Tag] = {}
        self._of: dict[bytes, dict[str, None]] = {}
        """The tags of a record."""

    async def open(self) -> None:
        """Load them."""
        for item in await self._kv.list(_PREFIX):
            self._note(item.key.removeprefix(_PREFIX), _stored.read(item.value, item.key))

    def __len__(self) -> int:
        return len(self._tags)

    def of(self, digest: bytes) -> list[str]:
        """The tags of a record, as ``name:version``."""
        return list(self._of.get(digest, ()))

    async def put(self, name: str, version: str, cid: str) -> Tag:
        """See :meth:`RecordsApi.tag`."""
        key = _key(name, version)
        digest = digest_of_cid(cid)
        tag = Tag(name=name, version=version, cid=cid, tagged_at=round(self._clock.wall(), 3))
        with await self._store.holds.share(digest), await self._alone(key):
            meta = await self._store.stat(cid)
            before = self._tags.get(key)
            if before is not None and before.cid == cid:
                return before
            await finish(self._put(key, tag, digest, previous_of(meta.previous_record_cid)))
        return tag

    async def _put(self, key: str, tag: Tag, digest: bytes, previous: bytes) -> None:
        putting = self._kv.put(_PREFIX + key, _encode(tag))
        await self._feed.around("tagged", [tag.cid], tag.tagged_at, putting, name=key)
        self._note(key, tag)
        self._store.came_alive(digest, previous)  # here, or a tag whose asker has gone keeps no previous record

    async def remove(self, name: str, version: str) -> bool:
        """See :meth:`RecordsApi.untag`."""
        key = _key(name, version)
        with await self._alone(key):
            tag = self._tags.get(key)
            return tag is not None and await finish(self._remove(key, tag))

    async def _remove(self, key: str, tag: Tag) -> bool:
        removing = self._kv.delete(_PREFIX + key)
        gone = await self._feed.around("untagged", [tag.cid], self._clock.wall(), removing, name=key)
        self._drop(key)
        return gone

    async def _alone(self, key: str) -> Hold:
        """One change of a tag at a time.  Who has it waits for no record, so nobody waits in a circle."""
        return await self._store.holds.take([b"tag " + key.encode()])

    async def forget(self, digest: bytes) -> None:
        """Remove the tags of a record that goes; the caller has it alone."""
        for key in self.of(digest):
            with await self._alone(key):
                if key in self._of.get(digest, ()):  # and was not moved to another meanwhile
                    await self._kv.delete(_PREFIX + key)
                    self._drop(key)

    def resolve(self, name: str, version: str = "") -> Tag:
        """See :meth:`RecordsApi.resolve`."""
        if version:
            found = self._tags.get(_key(name, version))
        else:
            found = max(self._named(name), key=lambda tag: tag.tagged_at, default=None)
        if found is None:
            raise NotFound(kind="tag", name=f"{name}:{version}" if version else name)
        return found

    def list(self, name: str = "", cid: str = "", after: str = "") -> list[Tag]:
        """See :meth:`RecordsApi.tags`."""
        chosen = (
            sorted(
                (key, tag)
                for key, tag in self._tags.items()
                if key > after and (not name or tag.name == name) and (not cid or tag.cid == cid)
            )
            if after or name or cid
            else sorted(self._tags.items())
        )
        return [tag for _, tag in chosen[: self._limits.records_page_max]]

    def _named(self, name: str) -> Iterator[Tag]:
        return (tag for tag in self._tags.values() if tag.name == name)

    def _note(self, key: str, tag: Tag) -> None:
        self._drop(key)
        self._tags[key] = tag
        self._of.setdefault(digest_of_cid(tag.cid), {})[key] = None

    def _drop(self, key: str) -> None:
        before = self._tags.pop(key, None)
        if before is not None:
            digest = digest_of_cid(before.cid)
            keys = self._of[digest]
            del keys[key]
            if not keys:
                del self._of[digest]


def _key(name: str, version: str) -> str:
    """``name:version``, which is read from its end: a version holds no colon."""
    _check(name, "name", _NAME_LENGTH_MAX)
    _check(version, "version", _VERSION_LENGTH_MAX)
    if ":" in version or "/" in version:
        raise UsageError(f"version: {version!r} must hold neither : nor /", field="version")
    return f"{name}:{version}"


def _check(text: str, field: str, length_max: int) -> None:
    if not text or len(text) > length_max or not text.isprintable() or " " in text:
        raise UsageError(
            f"{field}: {text!r} must be 1 to {length_max} printable characters without spaces", field=field
        )
