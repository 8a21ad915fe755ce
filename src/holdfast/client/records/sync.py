"""Records, as the blocking SDK shows them."""

from __future__ import annotations

import builtins
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
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
from ..sync_link import SyncLink
from .kinds import (
    RecordInput,
    RefInput,
    SomeRecords,
    SomeRefs,
    cid_of,
    delete_kind,
    lookup_kind,
    pull_kind,
    push_kind,
    record_body,
)
from .options import RecordStreamOptions, is_one, only_result
from .sync_artifacts import SyncArtifacts
from .sync_feed import SyncRecordFeed
from .sync_stream import stream

R = TypeVar("R")
PUSH = push_kind()
PULL = pull_kind()
LOOKUP = lookup_kind()
DELETE = delete_kind()


class SyncRecords:
    """The records of a node: JSON objects named by their content.

    As :class:`holdfast.Records`, over blocking sockets.  The stream functions are generators: they take
    inputs while their results are asked for, and an input that has to be waited for holds up the results meanwhile.
    """

    def __init__(self, link: SyncLink) -> None:
        self._link = link
        self.artifacts = SyncArtifacts(link)
        """Bytes of any kind and size, named by their content."""

    # streams

    def push_stream(
        self, records: Iterable[RecordInput], **options: Unpack[RecordStreamOptions]
    ) -> Generator[PushResult, None, None]:
        """Store records: mappings, or JSON text.  One that is answered is on disk.

        Errors of an item: UsageError for what is no JSON object, LimitExceeded(name="record_bytes_max"), StorageError.
        """
        return stream(self._link, PUSH, records, **options)

    def pull_stream(
        self, refs: Iterable[RefInput], **options: Unpack[RecordStreamOptions]
    ) -> Generator[PullResult, None, None]:
        """Read records by CID, or by what has one; what comes is checked against its CID, here too.

        Errors of an item: NotFound, UsageError for what is no CID, CorruptionError.
        """
        return stream(self._link, PULL, refs, **options)

    def lookup_stream(
        self, refs: Iterable[RefInput], **options: Unpack[RecordStreamOptions]
    ) -> Generator[LookupResult, None, None]:
        """Read what is known of records, without reading them.  Errors of an item: NotFound, UsageError."""
        return stream(self._link, LOOKUP, refs, **options)

    def delete_stream(
        self, refs: Iterable[RefInput], **options: Unpack[RecordStreamOptions]
    ) -> Generator[DeleteResult, None, None]:
        """Remove records, with their tags and referrers.  Errors of an item: NotFound (``not_found``), UsageError."""
        return stream(self._link, DELETE, refs, **options)

    # lists and single items

    @overload
    def push(self, records: RecordInput, **options: Unpack[RecordStreamOptions]) -> RecordRef: ...

    @overload
    def push(self, records: SomeRecords, **options: Unpack[RecordStreamOptions]) -> list[PushResult]: ...

    def push(self, records: Any, **options: Unpack[RecordStreamOptions]) -> Any:
        """Store one record, which gives its name, or a list of them, which gives their results; durable on return.

        Safe to repeat.  One that cannot be stored is raised, or is its result's error.
        """
        if not is_one(records):
            return list(self.push_stream(records, **options))
        return _only(self.push_stream([records], **options)).ref

    @overload
    def pull(self, refs: RefInput, **options: Unpack[RecordStreamOptions]) -> dict[str, Any]: ...

    @overload
    def pull(self, refs: SomeRefs, **options: Unpack[RecordStreamOptions]) -> list[PullResult]: ...

    def pull(self, refs: Any, **options: Unpack[RecordStreamOptions]) -> Any:
        """Read one record, or a list of them, which gives their results.  NotFound, UsageError, CorruptionError."""
        if not is_one(refs):
            return list(self.pull_stream(refs, **options))
        return _only(self.pull_stream([refs], **options)).record

    @overload
    def lookup(self, refs: RefInput, **options: Unpack[RecordStreamOptions]) -> RecordMeta: ...

    @overload
    def lookup(self, refs: SomeRefs, **options: Unpack[RecordStreamOptions]) -> list[LookupResult]: ...

    def lookup(self, refs: Any, **options: Unpack[RecordStreamOptions]) -> Any:
        """What is known of one record, or of a list of them, which gives their results.  NotFound, UsageError."""
        if not is_one(refs):
            return list(self.lookup_stream(refs, **options))
        return _only(self.lookup_stream([refs], **options)).meta

    @overload
    def delete(self, refs: RefInput, **options: Unpack[RecordStreamOptions]) -> bool: ...

    @overload
    def delete(self, refs: SomeRefs, **options: Unpack[RecordStreamOptions]) -> list[DeleteResult]: ...

    def delete(self, refs: Any, **options: Unpack[RecordStreamOptions]) -> Any:
        """Remove one record: whether it was there; or a list of them, which gives their results."""
        if not is_one(refs):
            return list(self.delete_stream(refs, **options))
        try:
            _only(self.delete_stream([refs], **options))
        except NotFound:
            return False
        return True

    # what there is

    def list(
        self, *, name: str = "", annotations: Mapping[str, str] | None = None, after: str = "", limit: int = 0
    ) -> Iterator[RecordMeta]:
        """Records by CID, from after the CID ``after`` on, at most ``limit`` (0: all); read a page at a time.

        ``name``: only those of this name.  ``annotations``: only those that have all of these.
        """
        wanted, left = dict(annotations or {}) or None, limit
        while page := self._page(after, left, name, wanted):
            yield from page
            after = page[-1].cid
            if limit:
                left -= len(page)
                if left <= 0:
                    return

    def _page(self, after: str, limit: int, name: str, annotations: dict[str, str] | None) -> Sequence[RecordMeta]:
        return self._link.ask(RecordsApi.list, after, limit, name, annotations)

    def stats(self) -> RecordStats:
        """The node's records in figures."""
        return self._link.ask(RecordsApi.stats)

    # tags

    def tag(self, name: str, version: str, ref: RefInput) -> Tag:
        """Let ``name`` and ``version`` stand for a record, and no longer for another; durable on return.  NotFound."""
        cid = cid_of(ref)
        return self._link.ask(RecordsApi.tag, name, version, cid)

    def untag(self, name: str, version: str) -> bool:
        """Remove a tag; whether there was one.  A link that is cut meanwhile is DisconnectedError."""
        return self._link.do(RecordsApi.untag, name, version)

    def resolve(self, name: str, version: str = "") -> Tag:
        """The record a tag stands for; without ``version`` that which was tagged last.  NotFound(kind="tag")."""
        return self._link.ask(RecordsApi.resolve, name, version)

    def tags(self, *, name: str = "", ref: RefInput = "") -> Sequence[Tag]:
        """Tags by name and version: of one name, of one record, or all."""
        cid = cid_of(ref)
        found: builtins.list[Tag] = []
        while page := self._tags(name, cid, found):
            found += page
        return found

    def _tags(self, name: str, cid: str, found: Sequence[Tag]) -> Sequence[Tag]:
        after = f"{found[-1].name}:{found[-1].version}" if found else ""
        return self._link.ask(RecordsApi.tags, name, cid, after)

    # referrers

    def push_referrer(
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
        return self._link.ask(RecordsApi.push_referrer, cid, type, body, notes, created_at)

    def referrers(self, ref: RefInput, *, type: str = "", referrer: str = "") -> Sequence[Referrer]:
        """What is attached to a record: all, of one type, or the one of the CID ``referrer``.  NotFound."""
        cid = cid_of(ref)
        found: builtins.list[Referrer] = []
        while page := self._referrers(cid, type, referrer, found[-1].cid if found else ""):
            found += page
            if referrer:
                break
        return found

    def _referrers(self, cid: str, type: str, referrer: str, after: str) -> Sequence[Referrer]:
        return self._link.ask(RecordsApi.referrers, cid, type, referrer, after)

    def delete_referrers(self, ref: RefInput, *, type: str = "", referrer: str = "") -> Sequence[str]:
        """Detach all, those of one type, or one; their CIDs.  NotFound if there is no such record."""
        cid = cid_of(ref)
        return self._link.do(RecordsApi.delete_referrers, cid, type, referrer)

    # changes

    def feed(self, position: int | None = None, *, follow: bool = True) -> SyncRecordFeed:
        """Changes from ``position`` on (0: the oldest kept; None: only what comes from now on), then what comes.

        An async iterator that outlives cut links, without gap or repeat; its ``position`` is the cursor to go on from.
        Without ``follow`` it ends at what is there now.  A step raises Gone(oldest) where changes were trimmed.
        """
        return SyncRecordFeed(self._link, position, follow=follow)

    # what is kept

    def gc(self, *, dry_run: bool = False, grace_s: float | None = None) -> GcReport:
        """Remove records that nothing keeps and that came more than ``grace_s`` seconds ago (None: ``record_grace_s``).

        ``dry_run``: only say what would go.  BusyError if a collection is under way.
        """
        return self._link.do(RecordsApi.gc, dry_run, grace_s)

    def why(self, ref: RefInput, *, grace_s: float | None = None) -> Why:
        """What keeps a record.  NotFound."""
        cid = cid_of(ref)
        return self._link.ask(RecordsApi.why, cid, grace_s)

    # jobs

    def seal(self, job: str) -> Sealed:
        """What was sealed when the job ended, sealing it now if that was not done yet.  Conflict while it runs."""
        return self._link.ask(RecordsApi.seal, job)

    def verify(self, job: str) -> Sealed:
        """Have the job's output read again and compared with what was sealed.  NotFound, CorruptionError, Gone."""
        return self._link.ask(RecordsApi.verify, job)


def _only(results: Generator[R, None, None]) -> R:
    """The result of a single item; its error, or that of its stream, is raised as it is."""
    try:
        return only_result([*results])
    except RecordStreamError as error:
        raise error.__cause__ or error from None
