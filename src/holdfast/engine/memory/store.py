"""Where the memory engine keeps logs and keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

from ...errors import Conflict, HoldfastError, StorageError, UsageError
from ..base import Change, Hole, Item, LogMode, Piece
from ..logs import Logs
from ..state import Append, Control, LogState
from .objects import MemoryObjects


class MemoryStore(MemoryObjects):
    """Implements :class:`~holdfast.engine.store.Store`, :class:`~holdfast.engine.values.ValueStore` and the blobs.

    The payload of the logs stays in their caches, which are never cut here.
    """

    def __init__(self, max_bytes: int | None) -> None:
        super().__init__(self._take)
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self.revision = 0
        self.logs: Logs | None = None
        self._ids = count(1)
        self._states: list[LogState] = []
        self._items: dict[str, Item] = {}

    @property
    def room_bytes(self) -> int:
        """How much more fits."""
        return 1 << 62 if self.max_bytes is None else self.max_bytes - self.used_bytes

    def states(self) -> Iterable[LogState]:
        """The logs of before the last stop."""
        return self._states

    def keep(self, logs: Logs) -> None:
        """Keep what ``logs`` holds for the next start."""
        self._states = list(logs.states())
        self.logs = None

    def submit(self, operation: Append | Control) -> None:
        """Do it at once."""
        try:
            if isinstance(operation, Append):
                self._take(operation.extent.size)
            else:
                operation.result = operation.run()
        except StorageError as error:
            self._settle(operation, error)
        except HoldfastError as error:
            assert isinstance(operation, Control)
            operation.result = error
            self._settle(operation, None)
        else:
            self._settle(operation, None)

    def _settle(self, operation: Append | Control, error: StorageError | None) -> None:
        assert self.logs is not None
        if error is None:
            self.logs.stored([operation])
        else:
            self.logs.failed([operation], error)

    def _take(self, size: int) -> None:
        if size > self.room_bytes:
            raise StorageError(f"the memory engine is full: max_bytes = {self.max_bytes}")
        self.used_bytes += size

    # -- logs -------------------------------------------------------------------------------------------------

    def creating(self, name: str, mode: LogMode, meta: bytes) -> Callable[[], int]:
        """The next id."""
        del name, mode, meta
        return lambda: next(self._ids)

    def forking(self, source: LogState, name: str, position: int, meta: bytes) -> Callable[[], LogState]:
        """Share the payload; in ``max_bytes`` it counts twice, since either log may be the one that stays."""

        def run() -> LogState:
            made = LogState(next(self._ids), name, source.mode, oldest=source.oldest, tail=position, meta=meta)
            cache = source.cache.fork(position) if position > source.oldest else made.cache
            if cache is None:
                raise UsageError(f"position: {position} is inside a blob of log {source.name!r}", field="position")
            made.cache = cache
            made.stored_bytes = payload_bytes(made, position)
            self._take(made.stored_bytes)
            pieces = cache.read(made.oldest, position, 1 << 62) if position > made.oldest else []
            made.hole_bytes = sum(piece.length for piece in pieces if isinstance(piece, Hole))
            return made

        return run

    def trimming(self, state: LogState, position: int) -> Callable[[], int]:
        """Give back the room of what is below ``position``."""

        def run() -> int:
            freed = payload_bytes(state, position)
            self.used_bytes -= freed
            return freed

        return run

    def deleting(self, state: LogState) -> Callable[[], None]:
        """Give back all room."""

        def run() -> None:
            self.used_bytes -= state.stored_bytes

        return run

    async def fetch(self, state: LogState, position: int, limit: int, max_bytes: int) -> list[Piece]:
        """Never called for what is there: it is all in the cache."""
        del state, position, limit, max_bytes
        return []

    # -- keys -------------------------------------------------------------------------------------------------

    def putting(self, key: str, value: bytes, revision: int | None) -> Callable[[], Change]:
        """Store the value."""

        def run() -> Change:
            before = self._match(key, revision)
            self._take(len(value) - (0 if before is None else len(before.value)))
            self.revision += 1
            item = self._items[key] = Item(key, value, self.revision)
            return Change(item)

        return run

    def removing(self, key: str, revision: int | None) -> Callable[[], Change | None]:
        """Remove the key."""

        def run() -> Change | None:
            before = self._match(key, revision)
            if before is None:
                return None
            del self._items[key]
            self.used_bytes -= len(before.value)
            self.revision += 1
            return Change(Item(key, b"", self.revision), deleted=True)

        return run

    def _match(self, key: str, revision: int | None) -> Item | None:
        item = self._items.get(key)
        actual = 0 if item is None else item.revision
        if revision is not None and revision != actual:
            raise Conflict(f"key {key!r}: expected revision {revision}, found {actual}", revision, actual)
        return item

    async def get(self, key: str) -> Item | None:
        """The key's item."""
        return self._items.get(key)

    async def snapshot(self, prefix: str) -> tuple[int, list[Item]]:
        """All items under ``prefix``."""
        return self.revision, [item for key, item in sorted(self._items.items()) if key.startswith(prefix)]


def payload_bytes(state: LogState, position: int) -> int:
    """The payload kept below ``position``."""
    if position <= state.oldest:
        return 0
    pieces = state.cache.read(state.oldest, position, 1 << 62)
    return sum(len(piece.data) for piece in pieces if not isinstance(piece, Hole) and piece.end <= position)
