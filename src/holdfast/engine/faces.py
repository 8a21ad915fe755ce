"""The four primitives as engines show them that keep a node's state themselves: there from start to stop."""

from __future__ import annotations

from typing import Protocol

from ..errors import ClosedError
from .base import Bus
from .blobs import Blobs
from .logs import Logs
from .values import Values


class StoppableBus(Bus, Protocol):
    """A bus that ends with its engine."""

    def stop(self) -> None:
        """Refuse all from now on."""
        ...


class Faces:
    """What such an engine derives from."""

    def __init__(self) -> None:
        self._log: Logs | None = None
        self._kv: Values | None = None
        self._blobs: Blobs | None = None
        self._bus: StoppableBus | None = None

    @property
    def log(self) -> Logs:
        """The logs; ClosedError while it does not run."""
        if self._log is None:
            raise _not_running()
        return self._log

    @property
    def kv(self) -> Values:
        """The keys; ClosedError while it does not run."""
        if self._kv is None:
            raise _not_running()
        return self._kv

    @property
    def blobs(self) -> Blobs:
        """The blobs; ClosedError while it does not run."""
        if self._blobs is None:
            raise _not_running()
        return self._blobs

    @property
    def bus(self) -> Bus:
        """The bus; ClosedError while it does not run."""
        if self._bus is None:
            raise _not_running()
        return self._bus

    def _show(self, log: Logs, kv: Values, blobs: Blobs, bus: StoppableBus) -> None:
        """It runs."""
        self._log, self._kv, self._blobs, self._bus = log, kv, blobs, bus

    def _hide(self) -> None:
        """It runs no more: all is refused from now on, and who waits is told.  Idempotent."""
        for face in (self._bus, self._blobs, self._log, self._kv):
            if face is not None:
                face.stop()
        self._log = self._kv = self._blobs = self._bus = None


def _not_running() -> ClosedError:
    return ClosedError("the engine is not running")
