"""Where a node's state lives: the contract in :mod:`~holdfast.engine.base`, and engines that keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from .base import Engine

KINDS = ("memory", "nats", "sqlite")


def open_engine(kind: str, directory: str = "", *, url: str = "", max_bytes: int | None = None) -> Engine:
    """An engine of ``kind``, not started yet.

    ``directory`` is where the ``sqlite`` one lives, ``url`` where the servers of the ``nats`` one are; what else that
    needs comes from the environment, see :mod:`holdfast.engine.nats.options`.  ``max_bytes`` bounds what it keeps.
    UsageError for an unknown kind, or one whose packages are not installed.  Only the engine asked for is imported.
    """
    if kind == "memory":
        from .memory import MemoryEngine

        return MemoryEngine(max_bytes=max_bytes)
    if kind == "nats":
        from .nats import open_nats
        from .nats.options import options_from

        return open_nats(options_from({"url": url}), max_bytes=max_bytes)
    if kind == "sqlite":
        from .sqlite import SqliteEngine

        if not directory:
            raise UsageError("directory: the sqlite engine needs one", field="directory")
        return SqliteEngine(directory, max_bytes=max_bytes)
    raise UsageError(f"engine: {kind!r} is not one of {', '.join(KINDS)}", field="engine")
