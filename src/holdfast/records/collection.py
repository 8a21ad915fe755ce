"""Garbage collection: what nothing keeps goes, some time after it was last pushed.  And why something is kept.

Mark: everything a tag, a referrer or a sealed job keeps, and what is named as previous by a record that is kept.
Sweep: the rest, each looked at again at the very moment it is removed, while nobody else works on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import BusyError, UsageError
from .cid import cid_of_digest, digest_of_cid
from .finishing import finish
from .model import GcReport, Reason, Why
from .prepared import REFERRER_KIND, is_record, meta_from, previous_of, touched_at
from .store import TOUCH_S, no_matter

if TYPE_CHECKING:
    from ..clock import Clock
    from ..engine.base import BlobStat, BlobStore
    from ..limits import Limits
    from .store import RecordStore

Pins = Callable[[], dict[bytes, str]]
"""The records somebody outside keeps, and who that is: jobs their seals."""

_PAGE = 1_000
_MOMENT_MAX = 253_402_300_799.0
"""The end of the year 9999; what is spared until after it is spared for ever."""


class _Marks:
    """What is kept, found on the way through all records, and what comes to be kept meanwhile."""

    def __init__(self) -> None:
        self.kept: set[bytes] = set()
        self.by_previous: dict[bytes, bytes] = {}
        """A record → a kept one that names it as its previous one."""
        self.examined = 0
        self._names: dict[bytes, bytes] = {}
        """A record → the one it names as its previous one."""

    def see(self, digest: bytes, previous: bytes) -> None:
        """A record that is there."""
        self.examined += 1
        if previous:
            self._names[digest] = previous

    def keep(self, digest: bytes) -> None:
        """It is kept, and with it the chain of its previous ones, as far as it was seen."""
        self.kept.add(digest)
        while (named := self._names.get(digest)) is not None and named not in self.by_previous:
            self.by_previous[named] = digest
            self.kept.add(named)
            digest = named

    def came_alive(self, digest: bytes, previous: bytes) -> None:
        """It is pushed, tagged or attached to just now."""
        if previous:
            self._names[digest] = previous
        self.keep(digest)

    def complete(self) -> None:
        """All was seen: follow the chains of those that were kept before all of them was."""
        for digest in list(self.kept):
            self.keep(digest)


class Collector:
    """Removes what nothing keeps.  Pushing, pulling and tagging go on meanwhile."""

    def __init__(self, store: RecordStore, blobs: BlobStore, *, clock: Clock, limits: Limits, pins: Pins) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._limits = limits
        self._pins = pins
        self.running = False
        """A collection is under way."""

    async def collect(self, *, dry_run: bool = False, grace_s: float | None = None) -> GcReport:
        """See :meth:`RecordsApi.gc`."""
        grace_s = self._grace(grace_s)
        if self.running:
            raise BusyError("a collection is under way", holder="a collection")
        self.running = True
        started = self._clock.now()
        marks = _Marks()
        self._store.came_alive = marks.came_alive
        try:
            await self._mark(marks, grace_s)
            return await self._sweep(marks, grace_s, dry_run=dry_run, started=started)
        finally:
            self._store.came_alive = no_matter
            self.running = False

    def _grace(self, grace_s: float | None) -> float:
        grace_s = self._limits.record_grace_s if grace_s is None else grace_s
        if not grace_s >= 0:
            raise UsageError(f"grace_s: {grace_s} is not a time of at least 0 seconds", field="grace_s")
        return grace_s

    # mark

    async def _mark(self, marks: _Marks, grace_s: float) -> None:
        """See all there is, and keep what something keeps."""
        pins = self._pins()
        async for stat in self._records():
            marks.see(stat.digest, _previous(stat))
            if self._keeps(stat, grace_s, pins):
                marks.keep(stat.digest)
        marks.complete()

    async def _records(self) -> AsyncIterator[BlobStat]:
        after = b""
        while page := await self._blobs.list(after, _PAGE):
            for stat in page:
                if _is_ours(stat):
                    yield stat
            after = page[-1].digest

    def _keeps(self, stat: BlobStat, grace_s: float, pins: Mapping[bytes, str]) -> bool:
        """Whether something keeps it that can be told without looking at other records."""
        digest = stat.digest
        if not is_record(stat.meta):
            return self._store.referrers.is_attached(cid_of_digest(digest)) or self._in_grace(stat, grace_s)
        return bool(
            self._in_grace(stat, grace_s)
            or self._store.tags.of(digest)
            or self._store.referrers.of(digest)
            or digest in pins
        )

    def _in_grace(self, stat: BlobStat, grace_s: float) -> bool:
        return grace_s > 0 and self._clock.wall() < touched_at(stat.meta) + grace_s + TOUCH_S

    # sweep

    async def _sweep(self, marks: _Marks, grace_s: float, *, dry_run: bool, started: float) -> GcReport:
        removed: list[str] = []
        removed_count = removed_bytes = 0
        after = b""
        while page := await self._blobs.list(after, _PAGE):
            after = page[-1].digest
            dead = [stat for stat in page if stat.digest not in marks.kept and _is_ours(stat)]
            gone = dead if dry_run else await self._remove(dead, marks, grace_s)
            removed_count += len(gone)
            removed_bytes += sum(stat.size for stat in gone)
            removed += [cid_of_digest(stat.digest) for stat in gone[: self._limits.records_page_max - len(removed)]]
        return GcReport(
            dry_run=dry_run,
            examined=marks.examined,
            kept=max(marks.examined - removed_count, 0),
            removed=removed_count,
            removed_bytes=removed_bytes,
            removed_cids=removed,
            duration_s=round(self._clock.now() - started, 3),
        )

    async def _remove(self, dead: Sequence[BlobStat], marks: _Marks, grace_s: float) -> list[BlobStat]:
        """Remove those of ``dead`` that nobody works on and that are still dead."""
        with self._store.holds.try_take([stat.digest for stat in dead]) as hold:
            again = await self._blobs.stat_many(list(hold.digests))
            pins = self._pins()
            found = [
                stat
                for stat in again
                if stat is not None
                and stat.digest not in marks.kept
                and _is_ours(stat)
                and not self._keeps(stat, grace_s, pins)
            ]
            records = [stat for stat in found if is_record(stat.meta)]
            await finish(self._store.remove_held(records))
            others = [stat.digest for stat in found if not is_record(stat.meta)]
            if others:
                await finish(self._blobs.delete_many(others))
            return found

    # why

    async def why(self, cid: str, grace_s: float | None = None) -> Why:
        """See :meth:`RecordsApi.why`."""
        digest = digest_of_cid(cid)
        await self._store.stat(cid)
        grace_s = self._grace(grace_s)
        reasons: list[tuple[Reason, str]] = [("tag", tag) for tag in self._store.tags.of(digest)]
        reasons += [("referrer", referrer) for referrer in self._store.referrers.of(digest)]
        pin = self._pins().get(digest)
        if pin is not None:
            reasons.append(("job", pin))
        marks = _Marks()
        await self._mark(marks, grace_s)
        newer = marks.by_previous.get(digest)
        if newer is not None:
            reasons.append(("previous", cid_of_digest(newer)))
        (stat,) = await self._blobs.stat_many([digest])
        if stat is not None and self._in_grace(stat, grace_s):
            reasons.append(("grace", _moment(touched_at(stat.meta) + grace_s + TOUCH_S)))
        return Why(cid=cid, reasons=[reason for reason, _ in reasons], details=[detail for _, detail in reasons])


def _is_ours(stat: BlobStat) -> bool:
    return is_record(stat.meta) or stat.meta[:1] == REFERRER_KIND


def _previous(stat: BlobStat) -> bytes:
    """The digest of the record it names as its previous one; nothing if it names none."""
    if b'"previous_record_cid"' not in stat.meta:
        return b""
    return previous_of(meta_from("", stat.meta).previous_record_cid)


def _moment(seconds: float) -> str:
    from time import gmtime, strftime

    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(min(seconds, _MOMENT_MAX)))
