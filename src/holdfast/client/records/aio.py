"""Records, as the async SDK shows them."""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar, Unpack, overload

from ...errors import NotFound, RecordStreamError
from ...records.api import RecordsApi
from ...records.model import (
    DeleteResult,
    GcReport,
    LookupResult,
    PullResult,
    PushResult,
    RecordMeta,
    RecordRef,
    RecordStats,
    Referrer,
    Sealed,
    Tag,
    Why,
)
from ..link import Link
from .artifacts import Artifacts
from .feed import RecordFeed
from .kinds import RecordInput, RefInput, SomeRecords, SomeRefs, cid_of, record_body
from .options import RecordStreamOptions, is_one, only_result
from .stream import DELETE, LOOKUP, PULL, PUSH, Items, stream

R = TypeVar("R")


class Records:
    """The records of a node: JSON objects named by their content.

    The four stream functions take any iterable, async or plain, and give an async iterator with exactly one result for
    each input, which names it by its ``index``; an item's error is that item's result.  They hold a bounded number of
    items: a consumer that stops makes the input stop.  Leaving the loop, cancelling it or a deadline releases all of it
    and closes the input, if it is a generator; ``contextlib.aclosing`` makes that happen at the end of its block.  An
    error of the input is raised once all that it gave was answered; an error of the whole stream after the last result,
    as RecordStreamError(answered, taken), which has the reason as its ``__cause__``.  With ``retry`` the stream goes on
    over cut links and restarted nodes.  Options: :class:`RecordStreamOptions`.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self.artifacts = Artifacts(link)
        """Bytes of any kind and size, named by their content."""

    # streams

    def push_stream(
        self, records: Items[RecordInput], **options: Unpack[RecordStreamOptions]
    ) -> AsyncGenerator[PushResult, None]:
        """Store records: mappings, or JSON text.  One that is answered is on disk.

        Errors of an item: UsageError for what is no JSON object, LimitExceeded(name="record_bytes_max"), StorageError.
        """
        return stream(self._link, PUSH, records, **options)

    def pull_stream(
        self, refs: Items[RefInput], **options: Unpack[RecordStreamOptions]
    ) -> AsyncGenerator[PullResult, None]:
        """Read records by CID, or by what has one; what comes is checked against its CID, here too.

        Errors of an item: NotFound, UsageError for what is no CID, CorruptionError.
        """
        return stream(self._link, PULL, refs, **options)

    def lookup_stream(
        self, refs: Items[RefInput], **options: Unpack[RecordStreamOptions]
    ) -> AsyncGenerator[LookupResult, None]:
        """Read what is known of records, without reading them.  Errors of an item: NotFound, UsageError."""
        return stream(self._link, LOOKUP, refs, **options)

    def delete_stream(
        self, refs: Items[RefInput], **options: Unpack[RecordStreamOptions]
    ) -> AsyncGenerator[DeleteResult, None]:
        """Remove records, with their tags and referrers.  Errors of an item: NotFound (``not_found``), UsageError."""
        return stream(self._link, DELETE, refs, **options)

    # lists and single items

    @overload
    async def push(self, records: RecordInput, **options: Unpack[RecordStreamOptions]) -> RecordRef: ...

    @overload
    async def push(self, records: SomeRecords, **options: Unpack[RecordStreamOptions]) -> list[PushResult]: ...

    async def push(self, records: Any, **options: Unpack[RecordStreamOptions]) -> Any:
        """Store one record, which gives its name, or a list of them, which gives their results; durable on return.

        Safe to repeat.  One that cannot be stored is raised, or is its result's error.
        """
        if not is_one(records):
            return [result async for result in self.push_stream(records, **options)]
        return (await _only(self.push_stream([records], **options))).ref

    @overload
    async def pull(self, refs: RefInput, **options: Unpack[RecordStreamOptions]) -> dict[str, Any]: ...

    @overload
    async def pull(self, refs: SomeRefs, **options: Unpack[RecordStreamOptions]) -> list[PullResult]: ...

    async def pull(self, refs: Any, **options: Unpack[RecordStreamOptions]) -> Any:
        """Read one record, or a list of them, which gives their results.  NotFound, UsageError, CorruptionError."""
        if not is_one(refs):
            return [result async for result in self.pull_stream(refs, **options)]
        return (await _only(self.pull_stream([refs], **options))).record

    @overload
    async def lookup(self, refs: RefInput, **options: Unpack[RecordStreamOptions]) -> RecordMeta: ...

    @overload
    async def lookup(self, refs: SomeRefs, **options: Unpack[RecordStreamOptions]) -> list[LookupResult]: ...

    async def lookup(self, refs: Any, **options: Unpack[RecordStreamOptions]) -> Any:
        """What is known of one record, or of a list of them, which gives their results.  NotFound, UsageError."""
        if not is_one(refs):
            return [result async for result in self.lookup_stream(refs, **options)]
        return (await _only(self.lookup_stream([refs], **options))).meta

    @overload
    async def delete(self, refs: RefInput, **options: Unpack[RecordStreamOptions]) -> bool: ...

    @overload
    async def delete(self, refs: SomeRefs, **options: Unpack[RecordStreamOptions]) -> list[DeleteResult]: ...

    async def delete(self, refs: Any, **options: Unpack[RecordStreamOptions]) -> Any:
        """Remove one record: whether it was there; or a list of them, which gives their results."""
        if not is_one(refs):
            return [result async for result in self.delete_stream(refs, **options)]
        try:
            await _only(self.delete_stream([refs], **options))
        except NotFound:
            return False
        return True

    # what there is

    async def list(
        self, *, name: str = "", annotations: Mapping[str, str] | None = None, after: str = "", limit: int = 0
    ) -> AsyncIterator[RecordMeta]:
        """Records by CID, from after the CID ``after`` on, at most ``limit`` (0: all); read a page at a time.

        ``name``: only those of this name.  ``annotations``: only those that have all of these.
        """
        wanted, left = dict(annotations or {}) or None, limit
        while page := await self._page(after, left, name, wanted):
            for meta in page:
                yield meta
            after = page[-1].cid
            if limit:
                left -= len(page)
                if left <= 0:
                    return

    async def _page(
        self, after: str, limit: int, name: str, annotations: dict[str, str] | None
    ) -> Sequence[RecordMeta]:
        return await self._link.ask(RecordsApi.list, after, limit, name, annotations)

    async def stats(self) -> RecordStats:
        """The node's records in figures."""
        return await self._link.ask(RecordsApi.stats)

    # tags

    async def tag(self, name: str, version: str, ref: RefInput) -> Tag:
        """Let ``name`` and ``version`` stand for a record, and no longer for another; durable on return.  NotFound."""
        cid = cid_of(ref)
        return await self._link.ask(RecordsApi.tag, name, version, cid)

    async def untag(self, name: str, version: str) -> bool:
        """Remove a tag; whether there was one.  A link that is cut meanwhile is DisconnectedError."""
        return await self._link.do(RecordsApi.untag, name, version)

    async def resolve(self, name: str, version: str = "") -> Tag:
        """The record a tag stands for; without ``version`` that which was tagged last.  NotFound(kind="tag")."""
        return await self._link.ask(RecordsApi.resolve, name, version)

    async def tags(self, *, name: str = "", ref: RefInput = "") -> Sequence[Tag]:
        """Tags by name and version: of one name, of one record, or all."""
        cid = cid_of(ref)
        found: builtins.list[Tag] = []
        while page := await self._tags(name, cid, found):
            found += page
        return found

    async def _tags(self, name: str, cid: str, found: Sequence[Tag]) -> Sequence[Tag]:
        after = f"{found[-1].name}:{found[-1].version}" if found else ""
        return await self._link.ask(RecordsApi.tags, name, cid, after)

    # referrers

    async def push_referrer(
        self,
        ref: RefInput,
        type: str,
        data: Mapping[str, Any] | None = None,
        *,
        annotations: Mapping[str, str] | None = None,
        created_at: str = "",
    ) -> Referrer:
        """Attach an object of the type ``type`` to a record; durable on return, safe to repeat.  NotFound."""
        cid, body, notes = cid_of(ref), record_body(dict(data or {})), dict(annotations or {}) or None
        return await self._link.ask(RecordsApi.push_referrer, cid, type, body, notes, created_at)

    async def referrers(self, ref: RefInput, *, type: str = "", referrer: str = "") -> Sequence[Referrer]:
        """What is attached to a record: all, of one type, or the one of the CID ``referrer``.  NotFound."""
        cid = cid_of(ref)
        found: builtins.list[Referrer] = []
        while page := await self._referrers(cid, type, referrer, found[-1].cid if found else ""):
            found += page
            if referrer:
                break
        return found

    async def _referrers(self, cid: str, type: str, referrer: str, after: str) -> Sequence[Referrer]:
        return await self._link.ask(RecordsApi.referrers, cid, type, referrer, after)

    async def delete_referrers(self, ref: RefInput, *, type: str = "", referrer: str = "") -> Sequence[str]:
        """Detach all, those of one type, or one; their CIDs.  NotFound if there is no such record."""
        cid = cid_of(ref)
        return await self._link.do(RecordsApi.delete_referrers, cid, type, referrer)

    # changes

    def feed(self, position: int | None = None, *, follow: bool = True) -> RecordFeed:
        """Changes from ``position`` on (0: the oldest kept; None: only what comes from now on), then what comes.

        An async iterator that outlives cut links, without gap or repeat; its ``position`` is the cursor to go on from.
        Without ``follow`` it ends at what is there now.  A step raises Gone(oldest) where changes were trimmed.
        """
        return RecordFeed(self._link, position, follow=follow)

    # what is kept

    async def gc(self, *, dry_run: bool = False, grace_s: float | None = None) -> GcReport:
        """Remove records that nothing keeps and that came more than ``grace_s`` seconds ago (None: ``record_grace_s``).

        ``dry_run``: only say what would go.  BusyError if a collection is under way.
        """
        return await self._link.do(RecordsApi.gc, dry_run, grace_s)

    async def why(self, ref: RefInput, *, grace_s: float | None = None) -> Why:
        """What keeps a record.  NotFound."""
        cid = cid_of(ref)
        return await self._link.ask(RecordsApi.why, cid, grace_s)

    # jobs

    async def seal(self, job: str) -> Sealed:
        """What was sealed when the job ended, sealing it now if that was not done yet.  Conflict while it runs."""
        return await self._link.ask(RecordsApi.seal, job)

    async def verify(self, job: str) -> Sealed:
        """Have the job's output read again and compared with what was sealed.  NotFound, CorruptionError, Gone."""
        return await self._link.ask(RecordsApi.verify, job)


async def _only(results: AsyncGenerator[R, None]) -> R:
    """The result of a single item; its error, or that of its stream, is raised as it is."""
    try:
        return only_result([result async for result in results])
    except RecordStreamError as error:
        raise error.__cause__ or error from None
