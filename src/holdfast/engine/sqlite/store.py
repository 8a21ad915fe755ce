"""What the shared faces of logs and keys need of the writer and the reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ...errors import CorruptionError
from ..base import Blob, BlobStat, Change, Item, LogMode, Piece
from ..logs import Logs
from ..state import LogState, Operation
from .keys import read_item, read_snapshot
from .objects import read_contents, read_page, read_range, read_stats
from .reader import Reader, fetch
from .writer import Outcome, Writer


class SqliteStore:
    """Implements ``Store`` for logs, ``ValueStore`` for keys and ``BlobKeeper`` for blobs."""

    logs: Logs
    writer: Writer
    reader: Reader
    submit: Callable[[Operation], None]
    """The writer's own."""

    def settle(self, outcome: Outcome) -> None:
        """Pass on what became of a group."""
        if outcome.error is None:
            self.logs.stored(outcome.operations)
        else:
            self.logs.failed(outcome.operations, outcome.error)

    def creating(self, name: str, mode: LogMode, meta: bytes) -> Callable[[], int]:
        """Add it to the table of logs."""
        return lambda: self.writer.rows.create(name, mode, meta)

    def forking(self, source: LogState, name: str, position: int, meta: bytes) -> Callable[[], LogState]:
        """Add it to the table of logs, with shares in the rows of others."""
        return lambda: self.writer.rows.fork(source.id, name, source.mode, position, meta)

    def trimming(self, state: LogState, position: int) -> Callable[[], int]:
        """Move its oldest position; the rows go as maintenance."""

        def run() -> int:
            self._touched(state)
            return self.writer.rows.trim(state.id, state.mode, position)

        return run

    def deleting(self, state: LogState) -> Callable[[], None]:
        """Free its name; the rows go as maintenance."""

        def run() -> None:
            self._touched(state)
            self.writer.maintenance.deleted(state.id)
            self.writer.rows.delete(state.id)

        return run

    def _touched(self, state: LogState) -> None:
        """Rows of it, and of those it has shares in, may be due to be removed."""
        for log_id in (state.id, *(share.owner for share in state.shares)):
            self.writer.maintenance.trimmed(log_id)

    async def fetch(self, state: LogState, position: int, limit: int, max_bytes: int) -> list[Piece]:
        """Read rows: its own, or of whom it has a share in."""
        log_id = state.id
        for share in state.shares:
            if position < share.high:
                log_id, limit = share.owner, min(limit, share.high)
                break
        return await self.reader.call(
            lambda connection: fetch(connection, log_id, state.mode, position, limit, max_bytes)
        )

    def putting(self, key: str, value: bytes, revision: int | None) -> Callable[[], Change]:
        """Store the value."""
        return self.writer.keys.putting(key, value, revision)

    def removing(self, key: str, revision: int | None) -> Callable[[], Change | None]:
        """Remove the key."""
        return self.writer.keys.removing(key, revision)

    async def get(self, key: str) -> Item | None:
        """The key's item."""
        return await self.reader.call(partial(read_item, key=key))

    async def snapshot(self, prefix: str) -> tuple[int, list[Item]]:
        """The revision of the store and all items under ``prefix``."""
        return await self.reader.call(partial(read_snapshot, prefix=prefix))

    # -- blobs ------------------------------------------------------------------------------------------------

    def storing(self, blobs: Sequence[Blob]) -> Callable[[], list[bool]]:
        """Store those that are not there."""
        return self.writer.objects.storing(blobs)

    def opening(self) -> Callable[[], int]:
        """Begin one that comes in parts."""
        return self.writer.objects.opening()

    def adding(self, number: int, part: int, data: bytes) -> Callable[[], None]:
        """Store a part."""
        return self.writer.objects.adding(number, part, data)

    def publishing(self, number: int, digest: bytes, size: int, meta: bytes) -> Callable[[], bool]:
        """Make it a blob."""
        return self.writer.objects.publishing(number, digest, size, meta)

    def dropping(self, number: int) -> Callable[[], None]:
        """Forget its parts."""
        return self.writer.objects.dropping(number)

    def annotating(self, metas: Sequence[tuple[bytes, bytes]]) -> Callable[[], list[bool]]:
        """Replace metas."""
        return self.writer.objects.annotating(metas)

    def erasing(self, digests: Sequence[bytes]) -> Callable[[], list[bool]]:
        """Remove blobs."""
        return self.writer.objects.erasing(digests)

    async def blob_stats(self, digests: Sequence[bytes]) -> list[BlobStat | None]:
        """What is known of each."""
        return await self.reader.call(partial(read_stats, digests=digests))

    async def blob_contents(self, digests: Sequence[bytes], max_bytes: int) -> list[bytes | CorruptionError | None]:
        """The first so many blobs."""
        return await self.reader.call(partial(read_contents, digests=digests, max_bytes=max_bytes))

    async def blob_range(self, digest: bytes, offset: int, length: int) -> bytes:
        """Part of a blob."""
        return await self.reader.call(partial(read_range, digest=digest, offset=offset, length=length))

    async def blob_page(self, after: bytes, limit: int) -> list[BlobStat]:
        """Blobs by digest."""
        return await self.reader.call(partial(read_page, after=after, limit=limit))
