"""Blobs on one JetStream stream: :class:`~holdfast.engine.blobs.BlobKeeper` over NATS.

Where each blob is, and its meta, is in memory, some 300 bytes and the meta for each; only the node that owns the
deployment changes blobs, so what it knows is so.  :mod:`.commit` says what is stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, Final

from ....errors import CorruptionError, HoldfastError, StorageError
from ....limits import LIMITS, Limits
from ...base import Blob, BlobStat
from ...state import Control, Operation
from ..chain import Message
from ..lane import Lane
from ..link.connection import Link
from ..wire import encode_identity
from .commit import INDEX_BYTES, Commit
from .index import Index, Parts, stat_of
from .loading import load
from .reader import Reader
from .upkeep import Upkeep

STREAM: Final = "blobs"
_HEADERS_BYTES: Final = 1 << 10
"""Room for the headers of a message, generously."""


class NatsObjects:
    """Keeps blobs in a stream of the deployment; everything happens on the event loop."""

    def __init__(self, link: Link, *, max_bytes: int | None = None, limits: Limits = LIMITS) -> None:
        """``max_bytes`` bounds data and metas together; beyond it storing fails as on a full disk."""
        self._link = link
        self._limits = limits
        self._max_bytes = max_bytes
        self._stream = link.stream(STREAM)
        self._data_subject = link.subject(STREAM, "data")
        self._index_subject = link.subject(STREAM, "index")
        self._index = Index()
        self._lane = Lane(link, self._stream)
        self._reader = Reader(link, self._stream, self._data_subject, self._index)
        self._upkeep = Upkeep(link, self._stream, self._index_subject, self._index, self._reader, self._change)
        self._upkeep_task: asyncio.Task[None] | None = None
        self._commit: Commit
        self._pending: deque[Commit] = deque()
        self._changed: dict[bytes, tuple[Commit, bytes | None]] = {}
        """Of what is on its way, the last about each blob."""
        self._uploads: dict[int, list[tuple[int, int]]] = {}
        self._numbers = count(1)
        self.after: Sequence[Lane] = ()
        """Other streams of the engine: what was queued there when a change was called is stored before it."""
        self._before: list[asyncio.Future[None]] = []

    async def start(self, *, epoch: int) -> None:
        """Own the stream, and know what is in it.  StorageError, CorruptionError.

        ``epoch`` names this ownership.  StorageError too if the server takes no messages as large as ours.
        """
        needed = max(self._limits.blob_part_bytes, INDEX_BYTES) + _HEADERS_BYTES
        if self._link.max_payload < needed:
            raise StorageError(
                f"NATS at {self._link.url}: max_payload = {self._link.max_payload}; blobs need {needed} at least"
            )
        loaded = await load(self._link, STREAM, self._data_subject, self._index_subject, epoch=epoch)
        index = self._index = loaded.blobs
        self._reader = Reader(self._link, self._stream, self._data_subject, index)
        await self._reader.open()
        self._upkeep = Upkeep(self._link, self._stream, self._index_subject, index, self._reader, self._change)
        self._upkeep.index_messages, self._upkeep.index_bytes = loaded.messages, loaded.size
        await self._lane.start(self, settled=loaded.last, epoch=epoch)
        self._upkeep_task = asyncio.create_task(self._upkeep.run(), name="nats-blobs-upkeep")

    async def stop(self, timeout_s: float) -> None:
        """Store what is queued, for so long at most, and end."""
        if self._upkeep_task is not None:
            self._upkeep_task.cancel()
            await asyncio.gather(self._upkeep_task, return_exceptions=True)
            self._upkeep_task = None
            await self._lane.stop(timeout_s)

    async def quiesce(self) -> None:
        """Wait until all room that can be given back has been."""
        await self._upkeep.idle()

    @property
    def lane(self) -> Lane:
        """The writer."""
        return self._lane

    @property
    def index(self) -> Index:
        """Where each blob is."""
        return self._index

    # what Blobs asks for

    def submit(self, operation: Control) -> None:
        """Queue it, in line with all others."""
        for lane in self.after:
            if lane.queue or lane.chain.flights:
                stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                stored.add_done_callback(_unheard)
                lane.submit(Control(None, lambda: None, lambda _: None, stored))
                self._before.append(stored)
        self._lane.submit(operation)

    def storing(self, blobs: Sequence[Blob]) -> Callable[[], list[bool]]:
        """Store those that are not there; there is room for all or for none."""

        def run() -> list[bool]:
            commit = self._commit
            new = []
            fresh: dict[bytes, Blob] = {}
            for blob in blobs:
                new.append(blob.digest not in fresh and commit.find(blob.digest) is None)
                if new[-1]:
                    fresh[blob.digest] = blob
            self._check_room(sum(len(blob.data) + len(blob.meta) for blob in fresh.values()))
            for blob in fresh.values():
                commit.store(blob)
            return new

        return run

    def opening(self) -> Callable[[], int]:
        """The next number."""

        def run() -> int:
            number = next(self._numbers)
            self._uploads[number] = []
            return number

        return run

    def adding(self, number: int, part: int, data: bytes) -> Callable[[], None]:
        """Store the part in a message of its own."""
        del part

        def run() -> None:
            loose = sum(len(parts) for parts in self._uploads.values()) * self._limits.blob_part_bytes
            self._check_room(len(data) + loose)
            self._commit.uploaded.append((number, *self._commit.add(data)))

        return run

    def publishing(self, number: int, digest: bytes, size: int, meta: bytes) -> Callable[[], bool]:
        """Make its parts a blob."""

        def run() -> bool:
            if self._commit.find(digest) is not None:
                self.dropping(number)()
                return False
            self._commit.ended.append(number)
            place = Parts(size, self._limits.blob_part_bytes, self._uploads[number])
            self._commit.name(digest, place, meta)
            return True

        return run

    def dropping(self, number: int) -> Callable[[], None]:
        """Delete its parts."""

        def run() -> None:
            self._commit.freed += [sequence for sequence, _ in self._uploads.get(number, ())]
            self._commit.ended.append(number)

        return run

    def annotating(self, metas: Sequence[tuple[bytes, bytes]]) -> Callable[[], list[bool]]:
        """Replace them."""
        return lambda: [self._commit.annotate(digest, meta) for digest, meta in metas]

    def erasing(self, digests: Sequence[bytes]) -> Callable[[], list[bool]]:
        """Remove them."""
        return lambda: [self._commit.erase(digest) for digest in digests]

    def _check_room(self, growth: int) -> None:
        if self._max_bytes is None:
            return
        pending = sum(commit.growth_bytes for commit in self._pending) + self._commit.growth_bytes
        if self._index.used_bytes + pending + growth > self._max_bytes:
            raise StorageError(f"the blobs are full: max_bytes = {self._max_bytes}")

    # reading

    async def blob_stats(self, digests: Sequence[bytes]) -> list[BlobStat | None]:
        """What is known of each."""
        return [None if (held := self._index.get(digest)) is None else stat_of(digest, held) for digest in digests]

    async def blob_contents(self, digests: Sequence[bytes], max_bytes: int) -> list[bytes | CorruptionError | None]:
        """The first so many blobs."""
        return await self._reader.contents(digests, max_bytes)

    async def blob_range(self, digest: bytes, offset: int, length: int) -> bytes:
        """Part of a blob."""
        return await self._reader.part(digest, offset, length)

    async def blob_page(self, after: bytes, limit: int) -> list[BlobStat]:
        """Blobs by digest."""
        return self._index.page(after, limit)

    # what the lane asks for

    async def pack(self) -> None:
        """Send off a commit with what is queued now, when what it comes after is stored."""
        queue, lane = self._lane.queue, self._lane
        left = len(queue)
        if self._before:
            before, self._before = self._before, []
            await asyncio.gather(*before, return_exceptions=True)
        commit = self._commit = Commit(self._find, lane.chain.next_sequence, self._limits.blob_part_bytes)
        operations: list[Operation] = []
        size = 0
        while left and size < self._limits.commit_bytes_max:
            left -= 1
            operation = queue.popleft()
            assert isinstance(operation, Control)
            try:
                operation.result = operation.run()
            except HoldfastError as error:
                operation.result = error
            operations.append(operation)
            size += operation.size
        stamp = encode_identity(lane.next_identity)
        letters = commit.letters(self._data_subject, self._index_subject)
        messages = [Message(subject, stamp, data) for subject, data in letters]
        self._pending.append(commit)
        self._changed.update({digest: (commit, held) for digest, held in commit.changed.items()})
        if not messages:
            self._settle(commit, [])
            for operation in operations:
                lane.attach(operation)
            return
        flight = lane.flight(messages)
        flight.operations = operations
        flight.settle = partial(self._settle, commit, messages)
        flight.undo = partial(self._undo, commit)
        await lane.send(flight)

    def _find(self, digest: bytes) -> bytes | None:
        """What is kept of a blob when all that is on its way is stored."""
        found = self._changed.get(digest)
        return self._index.get(digest) if found is None else found[1]

    def _settle(self, commit: Commit, messages: Sequence[Message]) -> None:
        """It is stored."""
        self._pending.remove(commit)
        commit.apply(self._index)
        for digest in commit.changed:
            if self._changed[digest][0] is commit:
                del self._changed[digest]
        for number, sequence, crc in commit.uploaded:
            self._uploads.setdefault(number, []).append((sequence, crc))
        for number in commit.ended:
            self._uploads.pop(number, None)
        for message in messages:
            if message.subject == self._index_subject:
                self._upkeep.index_messages += 1
                self._upkeep.index_bytes += len(message.data)
        self._upkeep.wake()

    def _undo(self, commit: Commit) -> None:
        """It is not, and neither is what came after it; what was stored of it is not needed."""
        self._pending.remove(commit)
        self._changed.clear()
        self._index.freed += range(commit.first, self._lane.chain.settled + 1)
        self._upkeep.wake()

    def settled(self, operations: Sequence[Operation]) -> None:
        """They are stored."""
        for operation in operations:
            assert isinstance(operation, Control)
            operation.succeed()

    def failed(self, operations: Sequence[Operation], error: HoldfastError) -> None:
        """They are not."""
        for operation in operations:
            assert isinstance(operation, Control)
            operation.fail(error)

    # changes of our own

    def _change(self, work: Callable[[Commit], Any]) -> asyncio.Future[Any]:
        """Have it made in line with all others."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.submit(Control(None, lambda: work(self._commit), lambda result: result, future))
        return future


def _unheard(future: asyncio.Future[None]) -> None:
    """What was not stored need not be waited for."""
    if not future.cancelled():
        future.exception()
