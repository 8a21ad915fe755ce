"""What a record is, as everyone who speaks of records sees it.

Plain frozen classes: they import without msgspec, and every field of those that travel has a type that JSON can carry.
The four results at the end do not travel: they are what a stream function gives for each of its inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ..errors import HoldfastError

FeedKind = Literal["pushed", "deleted", "tagged", "untagged", "referrer_pushed", "referrer_deleted"]
"""What happened to a record."""

Reason = Literal["tag", "referrer", "job", "previous", "grace"]
"""What keeps a record: a tag names it, a referrer is attached to it, it seals a job that is still known, a kept record
names it as its previous one, or it was pushed too short a time ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRef:
    """The name of a record."""

    cid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordMeta:
    """What is known of a record without reading it; what it says of itself, and what the node adds."""

    cid: str
    annotations: dict[str, str] = field(default_factory=dict)
    """The strings among its ``annotations``."""
    schema_version: str = ""
    created_at: str = ""
    """As the record says; empty if it does not."""
    size_bytes: int = 0
    """Of its canonical form."""
    name: str = ""
    version: str = ""
    previous_record_cid: str = ""
    pushed_at: float = 0.0
    """When it came here first; seconds since the Unix epoch, as all times that are numbers here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Referrer:
    """A typed object attached to a record: a signature, a key, the result of a scan."""

    cid: str
    """Its own name, from its canonical form ``{"annotations", "created_at", "data", "record_ref", "type"}``."""
    type: str
    record_cid: str
    annotations: dict[str, str] = field(default_factory=dict)
    created_at: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A name and version that stand for a record until they are moved or removed."""

    name: str
    version: str
    cid: str
    tagged_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEntry:
    """One change, at its position in the feed; the first is 1."""

    position: int
    kind: FeedKind
    cid: str
    """The record it happened to."""
    at: float = 0.0
    name: str = ""
    """``name:version`` of a tag, or the CID of a referrer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """Changes in order."""

    entries: list[FeedEntry] = field(default_factory=list)
    next_position: int = 1
    """Where to go on reading."""
    oldest_position: int = 1
    """The oldest change that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What keeps a record."""

    cid: str
    reasons: list[Reason] = field(default_factory=list)
    """Empty: the next collection takes it."""
    details: list[str] = field(default_factory=list)
    """For each reason, what exactly: the tag, the referrer's CID, the job, the newer record, when the grace ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcReport:
    """What a collection did, or with ``dry_run`` would have done."""

    dry_run: bool = False
    examined: int = 0
    """Records there were, and what was attached to them."""
    kept: int = 0
    removed: int = 0
    removed_bytes: int = 0
    removed_cids: list[str] = field(default_factory=list)
    """The first so many (``records_page_max``)."""
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStart:
    """How a stream of records is to be spoken; see ``api``."""

    compression: Literal["", "zstd"] = ""
    """With which both ends may compress batches; empty: neither does."""
    batch_items_max: int = 0
    """Items of one batch."""
    batch_bytes_max: int = 0
    """Length of one batch with its head, decompressed."""
    item_bytes_max: int = 0
    """Length of one item; a longer one is refused by its sender without sending it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A large artifact on its way in.  Survives the link and the node; forgotten some time after its last part."""

    id: str
    offset: int = 0
    """Where to go on: all below is on disk."""
    size_bytes: int = 0
    """0: not said."""
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Bytes of any kind, named by their content: a CIDv1 with the codec ``raw``."""

    cid: str
    size_bytes: int
    sha256: str = ""
    media_type: str = ""
    pushed_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What proves that a job's output is whole."""

    job: str
    record_cid: str
    """The run record: command, node, times, exit, and the output's CID and size."""
    output_cid: str
    size_bytes: int
    """Of the output, its gaps not counted."""
    gap_bytes: int = 0
    verified: bool = False
    """The log was read again and has this digest; False without ``verify``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordStats:
    """A node's records in figures."""

    records: int = 0
    record_bytes: int = 0
    referrers: int = 0
    tags: int = 0
    artifacts: int = 0
    feed_position: int = 0
    """The newest change."""
    pushed: int = 0
    """Since the node started, as all counts below."""
    repeated: int = 0
    """Pushed again."""
    pulled: int = 0
    looked_up: int = 0
    deleted: int = 0
    failed: int = 0
    """Items of streams that were answered with an error."""
    streams: int = 0
    """Open now."""


# what stream functions give: exactly one for each input


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of one record that was to be pushed."""

    index: int
    """The input's place, from 0."""
    ref: RecordRef | None = None
    error: HoldfastError | None = None
    existed: bool = False
    """It was there before, so nothing was stored."""


@dataclass(frozen=True, slots=True)
class PullResult:
    """One record, or why there is none."""

    index: int
    record: dict[str, Any] | None = None
    error: HoldfastError | None = None


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What is known of one record, or why nothing is."""

    index: int
    meta: RecordMeta | None = None
    error: HoldfastError | None = None


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What became of one record that was to be deleted."""

    index: int
    error: HoldfastError | None = None
    """NotFound if there was none: see :attr:`not_found`."""

    @property
    def not_found(self) -> bool:
        """There was no such record, so nothing had to be done."""
        from ..errors import NotFound

        return isinstance(self.error, NotFound)
