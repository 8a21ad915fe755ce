"""The memory engine: the contract without a disk.  Every change is done when the call that made it returns."""

from __future__ import annotations

from ...errors import ClosedError, StorageError
from ..blobs import Blobs
from ..bus import LocalBus
from ..logs import Logs
from ..values import Values
from .store import MemoryStore


class MemoryEngine:
    """Keeps all in memory, as long as the object lives: it can be stopped and started again, as a node is.

    ``max_bytes`` bounds the payload of all logs, values and blobs; what goes beyond fails with StorageError, as on
    a full disk.  Nothing it does takes time or depends on anything but its calls, so simulations that use
    it are deterministic.
    """

    def __init__(self, *, max_bytes: int | None = None) -> None:
        self._store = MemoryStore(max_bytes)
        self._log: Logs | None = None
        self._kv: Values | None = None
        self._blobs: Blobs | None = None
        self._bus: LocalBus | None = None

    @property
    def log(self) -> Logs:
        """The logs; ClosedError before :meth:`start`."""
        if self._log is None:
            raise ClosedError("the engine was not started")
        return self._log

    @property
    def kv(self) -> Values:
        """The keys; ClosedError before :meth:`start`."""
        if self._kv is None:
            raise ClosedError("the engine was not started")
        return self._kv

    @property
    def blobs(self) -> Blobs:
        """The blobs; ClosedError before :meth:`start`."""
        if self._blobs is None:
            raise ClosedError("the engine was not started")
        return self._blobs

    @property
    def bus(self) -> LocalBus:
        """The bus; ClosedError before :meth:`start`."""
        if self._bus is None:
            raise ClosedError("the engine was not started")
        return self._bus

    async def start(self) -> None:
        """Begin, or go on with what was there at :meth:`stop`."""
        if self._log is None:
            self._log = self._store.logs = Logs(self._store, self._store.states(), evict=False)
            self._kv = Values(self._store, self._store.revision)
            self._blobs = Blobs(self._store)
            self._bus = LocalBus()

    async def stop(self) -> None:
        """Let go; idempotent.  The content stays with the object."""
        if self._bus is not None:
            self._bus.stop()
            self._bus = None
        if self._log is not None and self._kv is not None:
            self._store.keep(self._log)
            self._log.stop()
            self._kv.stop()
            self._log = self._kv = None
        if self._blobs is not None:
            self._blobs.stop()
            self._blobs = None

    async def probe(self) -> None:
        """StorageError if ``max_bytes`` is reached."""
        if self._store.room_bytes <= 0:
            raise StorageError(f"the memory engine is full: max_bytes = {self._store.max_bytes}")
