"""The one face of everything that can be read, and perhaps written, as a durable stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from ..errors import NotFound
from .model import Added, Addition, Creation, Page, StreamInfo, Where

Action = Literal["read", "create", "append", "delete"]

READ_ONLY: frozenset[Action] = frozenset({"read"})
EVERYTHING: frozenset[Action] = frozenset({"read", "create", "append", "delete"})


class LiveReader(Protocol):
    """A cursor that waits at the tail."""

    @property
    def position(self) -> int:
        """Where the next part begins."""
        ...

    async def next(self) -> Page | None:
        """The next part, which is empty only if it says that the stream is finished; None after that.

        Waits at the tail.  Cancel-safe: a cancelled call loses nothing.  Raises NotFound or Gone when the
        stream is deleted, Gone(oldest) when what comes next was trimmed away or lost.
        """
        ...

    def close(self) -> None:
        """Let go; idempotent.  Must be called."""
        ...


class StreamStore(Protocol):
    """Streams under paths."""

    actions: frozenset[Action]
    """What can be done with them at all; other calls are never made."""

    def seen_by(self, identity: Any, peer: str) -> StreamStore:
        """The store as one caller, who was let in, may see and use it; None: a caller who may all."""
        ...

    async def resource(self, path: str) -> str:
        """The stream's one name for the policy, whichever alias ``path`` uses; NotFound may be raised here."""
        ...

    async def info(self, path: str) -> StreamInfo:
        """The stream as it stands; not counted as a use of it.  NotFound, Gone once deleted under its forks."""
        ...

    async def read(self, path: str, where: Where, max_bytes: int) -> Page:
        """What there is now at ``where``.  NotFound; Gone; UsageError for a position beyond the tail."""
        ...

    async def follow(self, path: str, where: Where, max_bytes: int) -> LiveReader:
        """A live reader from ``where`` on; raises as :meth:`read`."""
        ...

    async def create(self, path: str, creation: Creation) -> tuple[StreamInfo, bool]:
        """Make the stream, durable on return; whether it is new.

        One that is there already and was created alike is given back.  Raises Conflict if it was created
        otherwise, NotFound for the source of a fork, UsageError for a body, position or path that cannot be.
        """
        ...

    async def append(self, path: str, addition: Addition) -> Added:
        """Append, close, or both in one step, durable on return; all or nothing.

        Raises NotFound, Gone, ClosedError, Conflict (content type, sequence), Fenced, SequenceGap, UsageError.
        """
        ...

    async def delete(self, path: str) -> None:
        """Remove the stream, durable on return; under forks its path stays taken.  NotFound, Gone."""
        ...


class Mounts:
    """Which store has which paths: the longest mounted prefix decides, the rest belongs to ``root``."""

    def __init__(self, root: StreamStore, reserved: Sequence[str] = ()) -> None:
        """``reserved``: first segments nobody may use until something is mounted there."""
        self.root = root
        self._mounts: dict[str, StreamStore | None] = dict.fromkeys(reserved)

    def mount(self, segment: str, store: StreamStore) -> None:
        """Let ``store`` answer for all paths whose first segment is ``segment``; it gets the rest of the path."""
        self._mounts[segment] = store

    def is_reserved(self, path: str) -> bool:
        """Whether the path is not one of ``root``'s."""
        return path.partition("/")[0] in self._mounts

    def find(self, path: str) -> tuple[StreamStore, str]:
        """The store of ``path``, and the path within it.  NotFound under a reserved segment."""
        segment, _, rest = path.partition("/")
        if segment not in self._mounts:
            return self.root, path
        store = self._mounts[segment]
        if store is None:
            raise NotFound(kind="stream", name=path)
        return store, rest
