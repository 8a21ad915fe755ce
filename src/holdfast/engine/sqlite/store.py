"""What the shared faces of logs and keys need of the writer and the reader."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..base import Change, Item, LogMode, Piece
from ..logs import Logs
from ..state import LogState, Operation
from .keys import read_item, read_snapshot
from .reader import Reader, fetch
from .writer import Outcome, Writer


class SqliteStore:
    """Implements :class:`~holdfast.engine.store.Store` and :class:`~holdfast.engine.values.ValueStore`."""

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
