"""Giving back room: messages nothing is in, packs that are mostly empty, an index that has grown long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ....errors import StorageError
from ..link.connection import Link
from ..link.streams import purge, remove
from .commit import INDEX_BYTES, PACK_BYTES, Commit
from .index import Index, Slice, entry_bytes, place_of
from .reader import Reader

_WINDOW: Final = 64
"""Deletions on their way at once."""
_SLACK_BYTES: Final = 1 << 20
_SLACK_MESSAGES: Final = 4_096
"""How far the index may grow beyond twice what it has to say before it is written anew."""
_BLOBS_PER_MESSAGE: Final = 16
"""Or beyond one message for so many blobs: more make a start slow, fewer have all written anew too often."""

Submit = Callable[[Callable[[Commit], Any]], "asyncio.Future[Any]"]
"""Have a change made in line with all others; gives what it returns, once stored."""


class Upkeep:
    """Gives back room in ``stream``, whenever it is told that something has changed."""

    def __init__(
        self, link: Link, stream: str, index_subject: str, index: Index, reader: Reader, submit: Submit
    ) -> None:
        self.index_messages = 0
        self.index_bytes = 0
        """What the index takes in the stream; whoever writes it adds to it."""
        self._link = link
        self._stream = stream
        self._index_subject = index_subject
        self._index = index
        self._reader = reader
        self._submit = submit
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()

    def wake(self) -> None:
        """Something has changed."""
        if self._index.freed or self._index.sparse or self._is_long():
            self._idle.clear()
            self._changed.set()

    async def idle(self) -> None:
        """Wait until there is nothing to do."""
        await self._idle.wait()

    async def run(self) -> None:
        """Do it until cancelled."""
        while True:
            if not (self._index.freed or self._index.sparse or self._is_long()):
                self._idle.set()
                await self._changed.wait()
            self._changed.clear()
            try:
                await self._remove()
                await self._fill_up()
                if self._is_long():
                    await self._rewrite()
            except StorageError:  # the servers are away, or full; what was not done is still known
                await asyncio.sleep(self._link.limits.nats_reconnect_s)

    async def _remove(self) -> None:
        """Delete messages that nothing is in."""
        freed = self._index.freed
        while freed:
            now = freed[:_WINDOW]
            await asyncio.gather(*[remove(self._link, self._stream, sequence) for sequence in now])
            del freed[: len(now)]

    async def _fill_up(self) -> None:
        """Store what is left in packs that are mostly empty again, together."""
        sparse = self._index.sparse
        while sparse:
            now: list[int] = []
            size = 0
            for sequence in list(sparse):
                size += self._index.packs[sequence].live
                if now and size > 4 * PACK_BYTES:
                    break
                now.append(sequence)
            messages = await self._reader.messages(now)
            sparse.difference_update(now)
            await self._submit(partial(self._move, messages))

    def _move(self, messages: dict[int, bytes | None], commit: Commit) -> None:
        for sequence, data in messages.items():
            pack = self._index.packs.get(sequence)
            if pack is None or data is None:
                continue
            for digest in list(pack.members):
                held = commit.find(digest)
                place = None if held is None else place_of(held)
                if isinstance(place, Slice) and place.sequence == sequence:
                    commit.move(digest, data[place.offset : place.offset + place.size])

    def _is_long(self) -> bool:
        index = self._index
        return (
            self.index_bytes > 2 * index.live_bytes + _SLACK_BYTES
            or self.index_messages
            > index.live_bytes // INDEX_BYTES + index.count // _BLOBS_PER_MESSAGE + _SLACK_MESSAGES
        )

    async def _rewrite(self) -> None:
        """Say again where everything is, between other commits; then what was said before is not needed."""
        first = await self._submit(_position)  # the index knows all that was said before this
        messages, size = self.index_messages, self.index_bytes
        digests: list[bytes] = []
        length = 0
        for number in range(self._index.buckets):
            for digest, held in self._index.bucket(number):
                digests.append(digest)
                length += entry_bytes(held)
            if length >= INDEX_BYTES:
                await self._submit(partial(_restate, digests))
                digests, length = [], 0
        await self._submit(partial(_restate, digests))
        await purge(self._link, self._stream, self._index_subject, below=first)
        self.index_messages -= messages
        self.index_bytes -= size


def _restate(digests: list[bytes], commit: Commit) -> None:
    commit.restate(digests)


def _position(commit: Commit) -> int:
    return commit.first
