"""Who works on which record just now: what is pushed, deleted or collected by one is left alone by the others.

Without it a record could be answered as being there while its removal is on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Self


class Holds:
    """Takes digests alone, or shares them with others who only need them to stay.  Not fair; never deadlocks.

    All that is asked for at once is got at once, and nothing is held while waiting.
    """

    def __init__(self) -> None:
        self._taken: dict[bytes, asyncio.Future[None]] = {}
        self._shared: dict[bytes, int] = {}
        self._released: asyncio.Future[None] | None = None
        """Wakes those who wait for a share to be given back."""

    async def take(self, digests: Collection[bytes]) -> Hold:
        """Have ``digests`` alone; waits for whoever has one of them.  Cancel-safe."""
        while (other := self._other(digests, shares=True)) is not None:
            await asyncio.wait([other])
        return self._take(digests)

    def try_take(self, digests: Iterable[bytes]) -> Hold:
        """Have those of ``digests`` alone that nobody holds now."""
        return self._take([digest for digest in digests if digest not in self._taken and digest not in self._shared])

    def _take(self, digests: Collection[bytes]) -> Hold:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._taken.update(dict.fromkeys(digests, done))
        return Hold(self, digests, done)

    async def share(self, digest: bytes) -> Hold:
        """Keep ``digest`` from being taken; waits for whoever has it alone.  Cancel-safe."""
        while (other := self._other((digest,), shares=False)) is not None:
            await asyncio.wait([other])
        self._shared[digest] = self._shared.get(digest, 0) + 1
        return Hold(self, (digest,), None)

    def _other(self, digests: Collection[bytes], *, shares: bool) -> asyncio.Future[None] | None:
        """What to wait for before they can be had."""
        if self._taken:
            for digest in digests:
                if digest in self._taken:
                    return self._taken[digest]
        if shares and self._shared and not self._shared.keys().isdisjoint(digests):
            if self._released is None:
                self._released = asyncio.get_running_loop().create_future()
            return self._released
        return None

    def give_back(self, digests: Collection[bytes], done: asyncio.Future[None] | None) -> None:
        """Let go; see :meth:`Hold.release`."""
        if done is not None:
            for digest in digests:
                del self._taken[digest]
            done.set_result(None)
            return
        for digest in digests:
            self._shared[digest] -= 1
            if not self._shared[digest]:
                del self._shared[digest]
        if self._released is not None:
            self._released.set_result(None)
            self._released = None


class Hold:
    """Some digests, until released; a context manager."""

    __slots__ = ("_done", "_holds", "_released", "digests")

    def __init__(self, holds: Holds, digests: Collection[bytes], done: asyncio.Future[None] | None) -> None:
        self.digests = digests
        self._holds = holds
        self._done = done
        self._released = False

    def release(self) -> None:
        """Let go of them.  Idempotent."""
        if not self._released:
            self._released = True
            self._holds.give_back(self.digests, self._done)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
