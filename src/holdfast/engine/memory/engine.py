"""The memory engine: the contract without a disk.  Every change is done when the call that made it returns."""

from __future__ import annotations

from ...errors import StorageError
from ..blobs import Blobs
from ..bus import LocalBus
from ..faces import Faces
from ..logs import Logs
from ..values import Values
from .store import MemoryStore


class MemoryEngine(Faces):
    """Keeps all in memory, as long as the object lives: it can be stopped and started again, as a node is.

    ``max_bytes`` bounds the payload of all logs, values and blobs; what goes beyond fails with StorageError, as on
    a full disk.  Nothing it does takes time or depends on anything but its calls, so simulations that use
    it are deterministic.
    """

    def __init__(self, *, max_bytes: int | None = None) -> None:
        super().__init__()
        self._store = MemoryStore(max_bytes)

    async def start(self) -> None:
        """Begin, or go on with what was there at :meth:`stop`."""
        if self._log is None:
            self._store.logs = Logs(self._store, self._store.states(), evict=False)
            values = Values(self._store, self._store.revision)
            self._show(self._store.logs, values, Blobs(self._store), LocalBus())

    async def stop(self) -> None:
        """Let go; idempotent.  The content stays with the object."""
        if self._log is not None:
            self._store.keep(self._log)
        self._hide()

    async def probe(self) -> None:
        """StorageError if ``max_bytes`` is reached."""
        if self._store.room_bytes <= 0:
            raise StorageError(f"the memory engine is full: max_bytes = {self._store.max_bytes}")
