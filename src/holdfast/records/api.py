"""The record commands: one definition from which the node's dispatch, the clients' stubs and the docs are made.

**The four streams.**  ``push``, ``pull``, ``lookup`` and ``delete`` each take two streams of the caller's connection
and give at once a :class:`StreamStart`::

    client                                              node
      answers = open_reader(); requests = open_writer()
      push(requests=requests.stream_id, answers=answers.stream_id)  ──▶
                                     ◀──  StreamStart(compression, batch_items_max, batch_bytes_max, item_bytes_max)
      answers.start()
      requests.write(batch) …        ──▶
                                     ◀──  … batch of answers
      requests.close()  (EOF)        ──▶
                                     ◀──  the remaining answers, then EOF

* Both streams carry **batches** as :mod:`.wire` lays them out, in both directions the same: a head, then by columns the
  items' indexes, statuses, lengths, and their bodies.  A batch may be cut anywhere by the stream's packets.
* The client numbers its requests with any index below 2**63 it likes; indexes need be neither dense nor rising, only
  different from those that are under way on the same stream.  Every request is answered exactly once, with its index.
  ``ordered``: answers come in the order of the requests; without it as they are done.
* Item bodies by command: ``request → answer with status OK or EXISTED``

  ========== ================================================ =====================================================
  push       the record as JSON text in UTF-8, in any form    its CID as ASCII; EXISTED: it was there before
  pull       CID as ASCII                                     the record's canonical JSON, whose digest was verified
  lookup     CID as ASCII                                     JSON of a :class:`RecordMeta`, default values left out
  delete     CID as ASCII                                     nothing
  ========== ================================================ =====================================================

  With status ERROR the body is JSON ``{"code", "message", "details"}``: ``errors.from_wire``.  An item's error is
  that item's alone; the others of its batch, and the stream, go on.  The errors of an item: UsageError (no JSON, no
  object, no CID), LimitExceeded (``record_bytes_max``, ``record_meta_bytes_max``), NotFound(kind="record") (pull,
  lookup, delete), CorruptionError (pull), StorageError.
* A push that is answered is on disk.  All four are safe to repeat; a repeated delete may be NotFound.
* An answer means that its request needs no resending.  After a cut the client opens a new pair of streams and sends
  what was not answered.
* **An error of the stream** (a malformed batch: UsageError): the answers' stream *fails*
  with JSON of ``errors.to_wire`` as its text (``rpc.failures.decode_failure``); any other text, and a link that is cut,
  are a cut.  Answers given before it hold.
* **Leaving early**: the client closes its reader of the answers (before or after EOF of its requests).  The node stops
  within the batches it is at, and closes the requests, so that the writer of them gets ClosedError.  A writer of
  requests that fails (``fail``) leaves as well.  A cut link ends the stream at the node too.
* **Flow**: the node holds at most ``record_stream_bytes_max`` of one stream's requests that it has not answered;
  beyond, it does not read.  Answers that are not read fill the answers' window, then nothing more is done.  So a
  consumer that stops makes the producer stop, and an item is never lost by waiting.

``compression="zstd"`` asks for compressed batches: granted if StreamStart says so; then either end may compress each
batch or not, as the batch's flag says.
"""

from __future__ import annotations

from typing import Literal, Protocol

from ..rpc.commands import Commands
from .model import (
    Artifact,
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

Compression = Literal["", "zstd"]


class RecordsApi(Protocol):
    """What can be done with records."""

    async def push(
        self, requests: int, answers: int, ordered: bool = True, compression: Compression = ""
    ) -> StreamStart:
        """Store records that come on the caller's stream ``requests``; answer each on ``answers`` with its CID.

        LimitExceeded(name="record_streams_max") if the connection has as many open as it may.
        """
        ...

    async def pull(
        self, requests: int, answers: int, ordered: bool = True, compression: Compression = ""
    ) -> StreamStart:
        """Give the records whose CIDs come on ``requests``; as :meth:`push`."""
        ...

    async def lookup(
        self, requests: int, answers: int, ordered: bool = True, compression: Compression = ""
    ) -> StreamStart:
        """Give what is known of the records whose CIDs come on ``requests``; as :meth:`push`."""
        ...

    async def delete(
        self, requests: int, answers: int, ordered: bool = True, compression: Compression = ""
    ) -> StreamStart:
        """Delete the records whose CIDs come on ``requests``, with their tags and referrers; as :meth:`push`."""
        ...

    async def stat(self, cid: str) -> RecordMeta:
        """What is known of one record.  NotFound; UsageError for what is no CID."""
        ...

    async def stats(self) -> RecordStats:
        """The node's records in figures."""
        ...

    # tags

    async def tag(self, name: str, version: str, cid: str) -> Tag:
        """Let ``name`` and ``version`` stand for a record, and no longer for another; durable on return.

        NotFound if there is no such record, UsageError for a bad name or version.
        """
        ...

    async def untag(self, name: str, version: str) -> bool:
        """Remove a tag; whether there was one.  Durable on return."""
        ...

    async def resolve(self, name: str, version: str = "") -> Tag:
        """The record a tag stands for; without ``version`` that which was tagged last.  NotFound(kind="tag")."""
        ...

    async def tags(self, name: str = "", cid: str = "", after: str = "") -> list[Tag]:
        """Tags by name and version, of one name or record or all: those after ``after``, which is ``name:version``.

        ``records_page_max`` come at once; an empty answer says that there are no more.
        """
        ...

    # referrers

    async def push_referrer(
        self,
        cid: str,
        type: str,
        data: bytes = b"{}",
        annotations: dict[str, str] | None = None,
        created_at: str = "",
    ) -> Referrer:
        """Attach an object of the type ``type`` to a record; ``data`` is JSON.  Durable on return, safe to repeat.

        NotFound if there is no such record; LimitExceeded(name="record_bytes_max" or "referrers_per_record_max").
        """
        ...

    async def referrers(self, cid: str, type: str = "", referrer: str = "", after: str = "") -> list[Referrer]:
        """What is attached to a record: all, of one type, or the one of the CID ``referrer``; by CID, after ``after``.

        As many as fit an answer; an empty one says that there are no more.  NotFound if there is no such record, and
        for a ``referrer`` that is not there.
        """
        ...

    async def delete_referrers(self, cid: str, type: str = "", referrer: str = "") -> list[str]:
        """Detach all, those of one type, or one; gives their CIDs.  NotFound if there is no such record."""
        ...

    # the change feed

    async def feed(self, position: int = 0, limit: int = 0) -> FeedPage:
        """Changes from ``position`` on (0: the oldest kept), at most ``limit`` (0, and at most: ``records_page_max``).

        ``next_position`` is the cursor to go on with, also after restarts.  Gone(oldest) if changes from there on have
        been trimmed, UsageError beyond the next one.
        """
        ...

    async def follow(self, stream: int, position: int = 0) -> FeedPage:
        """Open the feed as the caller's stream ``stream``: JSON lines of :class:`FeedEntry`, without gap or repeat.

        ``position`` 0: only what comes from now on.  Gives an empty page that says where it begins.  The stream fails
        with the text of an error (``rpc.failures.decode_failure``) when trimmed past, and never ends otherwise.
        """
        ...

    # what is kept

    async def gc(self, dry_run: bool = False, grace_s: float | None = None) -> GcReport:
        """Remove every record that nothing keeps (see ``Reason``) and that came more than ``grace_s`` seconds ago.

        ``grace_s`` None: ``record_grace_s``.  With ``dry_run`` nothing is removed.  BusyError if one is under way.
        """
        ...

    async def why(self, cid: str, grace_s: float | None = None) -> Why:
        """What keeps a record.  NotFound.  Looks at all records."""
        ...

    # artifacts

    async def begin_upload(self, size_bytes: int = 0, cid: str = "", media_type: str = "") -> Upload:
        """Begin to upload an artifact; with ``cid`` the one that is under way for it goes on where it was.

        AlreadyExists if the artifact ``cid`` is there; LimitExceeded(name="artifact_bytes_max" or "uploads_max").
        """
        ...

    async def upload(self, upload: str, offset: int, data: bytes) -> Upload:
        """Add ``data`` (at most ``artifact_part_bytes_max``) at ``offset``, durably; gives where to go on.

        Safe to repeat: what is there already is skipped.  Conflict(expected, actual) for an offset beyond what is
        there, NotFound(kind="upload"), LimitExceeded(name="artifact_bytes_max").
        """
        ...

    async def uploads(self) -> list[Upload]:
        """Uploads that were begun and not ended."""
        ...

    async def commit_upload(self, upload: str, cid: str = "") -> Artifact:
        """Make an artifact of all that was added; durable on return.  With ``cid`` safe to repeat.

        Conflict if it is not of the CID ``cid`` or the size that was said: then it is all dropped.
        """
        ...

    async def abort_upload(self, upload: str) -> bool:
        """Drop an upload; whether there was one."""
        ...

    async def artifact(self, cid: str) -> Artifact:
        """What is known of an artifact.  NotFound."""
        ...

    async def artifacts(self, after: str = "") -> list[Artifact]:
        """Artifacts by CID, those after the CID ``after``: ``records_page_max`` at once.

        An empty answer says that there are no more.
        """
        ...

    async def read_artifact(self, cid: str, offset: int = 0, length: int = 0) -> bytes:
        """Bytes from ``offset`` on: ``length``, or ``artifact_part_bytes_max`` if less; none at the end.

        Each part is verified.  NotFound, CorruptionError, UsageError beyond the end.
        """
        ...

    async def delete_artifact(self, cid: str) -> bool:
        """Remove an artifact; whether there was one."""
        ...

    # jobs

    async def seal(self, job: str) -> Sealed:
        """What was sealed when the job ended, sealing it now if that was not done yet.  Conflict while it runs."""
        ...

    async def verify(self, job: str) -> Sealed:
        """Read the job's output again and compare its digest with the sealed one.

        NotFound if the job was never sealed, CorruptionError if they differ, Gone(oldest) if output was trimmed away.
        """
        ...

    async def list(
        self, after: str = "", limit: int = 0, name: str = "", annotations: dict[str, str] | None = None
    ) -> list[RecordMeta]:
        """Records by their digests: the first ``limit`` (0, and at most: ``records_page_max``) after the CID ``after``.

        ``name``: only those of this name.  ``annotations``: only those that have all of these.  Fewer than asked for
        may come while there are more: only an empty answer says that there are no more.
        """
        ...


COMMANDS = Commands("records", RecordsApi)
