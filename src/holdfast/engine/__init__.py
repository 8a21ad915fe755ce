"""Where a node's state lives: the contract in :mod:`~holdfast.engine.base`, and engines that keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from .base import Engine

KINDS = ("memory", "sqlite")


def open_engine(kind: str, directory: str = "", *, max_bytes: int | None = None) -> Engine:
    """An engine of ``kind``, not started yet; ``directory`` is where the ``sqlite`` one lives.

    ``max_bytes`` bounds what it keeps.  UsageError for an unknown kind.  Only the engine asked for is imported.
    """
    if kind == "memory":
        from .memory import MemoryEngine

        return MemoryEngine(max_bytes=max_bytes)
    if kind == "sqlite":
        from .sqlite import SqliteEngine

        if not directory:
            raise UsageError("directory: the sqlite engine needs one", field="directory")
        return SqliteEngine(directory, max_bytes=max_bytes)
    raise UsageError(f"engine: {kind!r} is not one of {', '.join(KINDS)}", field="engine")
