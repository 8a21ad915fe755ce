"""The family of streams with its ghosts kept in the engine's keys, so that a restart knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .family import Family

if TYPE_CHECKING:
    from ..engine.base import KeyValue

_GHOSTS = "stream-ghosts/"


class Ghosts(Family):
    """A :class:`Family` whose ghosts are stored: ``stream-ghosts/<path>``, with the source's path as value."""

    def __init__(self, kv: KeyValue) -> None:
        super().__init__()
        self._kv = kv

    async def load(self) -> None:
        """Read the ghosts of before; streams are added by who has them."""
        for item in await self._kv.list(_GHOSTS):
            path = item.key.removeprefix(_GHOSTS)
            self.add(path, item.value.decode() or None)
            self.haunt(path)

    async def store(self, path: str) -> None:
        """Make it a ghost, durable on return."""
        self.haunt(path)
        await self._kv.put(_GHOSTS + path, (self.source_of(path) or "").encode())

    async def let_go(self, path: str) -> None:
        """The stream is gone and has no forks; the ghosts that were only there for it go too."""
        for ghost in self.remove(path):
            await self._kv.delete(_GHOSTS + ghost)

    async def lay_to_rest(self) -> None:
        """Remove the ghosts that have no forks (any more): a crash came before that was done."""
        for item in await self._kv.list(_GHOSTS):
            path = item.key.removeprefix(_GHOSTS)
            if self.is_ghost(path) and not self.has_forks(path):
                await self._kv.delete(item.key)
                await self.let_go(path)
