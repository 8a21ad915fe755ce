"""Where the memory engine keeps blobs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import count

from ...errors import CorruptionError, NotFound
from ..base import Blob, BlobStat


class MemoryObjects:
    """The blobs' side of :class:`~holdfast.engine.blobs.BlobKeeper`; mixed into the engine's store."""

    def __init__(self, take: Callable[[int], None]) -> None:
        """``take`` is asked for room in bytes, and given it back by a negative number."""
        self._take = take
        self._blobs: dict[bytes, Blob] = {}
        self._parts: dict[int, list[bytes]] = {}
        self._numbers = count(1)

    def storing(self, blobs: Sequence[Blob]) -> Callable[[], list[bool]]:
        """Store those that are not there; there is room for all or for none."""

        def run() -> list[bool]:
            fresh = {blob.digest: blob for blob in reversed(blobs) if blob.digest not in self._blobs}
            self._take(sum(map(_cost, fresh.values())))
            new = []
            for blob in blobs:
                new.append(blob.digest not in self._blobs)
                self._blobs.setdefault(blob.digest, blob)
            return new

        return run

    def opening(self) -> Callable[[], int]:
        """The next number."""

        def run() -> int:
            number = next(self._numbers)
            self._parts[number] = []
            return number

        return run

    def adding(self, number: int, part: int, data: bytes) -> Callable[[], None]:
        """Keep the part."""

        def run() -> None:
            self._take(len(data))
            self._parts[number].append(data)

        return run

    def publishing(self, number: int, digest: bytes, size: int, meta: bytes) -> Callable[[], bool]:
        """Join the parts."""

        def run() -> bool:
            data = b"".join(self._parts.pop(number))
            self._take(-len(data))
            return self.storing([Blob(digest, data, meta)])()[0]

        return run

    def dropping(self, number: int) -> Callable[[], None]:
        """Give their room back."""

        def run() -> None:
            self._take(-sum(map(len, self._parts.pop(number, []))))

        return run

    def annotating(self, metas: Sequence[tuple[bytes, bytes]]) -> Callable[[], list[bool]]:
        """Replace them."""

        def run() -> list[bool]:
            before = self._blobs
            found = [(before[digest], meta) for digest, meta in metas if digest in before]
            self._take(sum(len(meta) - len(blob.meta) for blob, meta in found))
            for blob, meta in found:
                before[blob.digest] = blob._replace(meta=meta)
            return [digest in before for digest, _ in metas]

        return run

    def erasing(self, digests: Sequence[bytes]) -> Callable[[], list[bool]]:
        """Remove them."""

        def run() -> list[bool]:
            gone = [self._blobs.pop(digest, None) for digest in digests]
            self._take(-sum(_cost(blob) for blob in gone if blob is not None))
            return [blob is not None for blob in gone]

        return run

    async def blob_stats(self, digests: Sequence[bytes]) -> list[BlobStat | None]:
        """What is known of each."""
        return [None if (blob := self._blobs.get(digest)) is None else _stat(blob) for digest in digests]

    async def blob_contents(self, digests: Sequence[bytes], max_bytes: int) -> list[bytes | CorruptionError | None]:
        """The first so many blobs."""
        found: list[bytes | CorruptionError | None] = []
        for digest in digests:
            blob = self._blobs.get(digest)
            max_bytes -= 0 if blob is None else len(blob.data)
            if found and max_bytes < 0:
                break
            found.append(None if blob is None else _verified(blob))
        return found

    async def blob_range(self, digest: bytes, offset: int, length: int) -> bytes:
        """Part of a blob."""
        blob = self._blobs.get(digest)
        if blob is None:
            raise NotFound(kind="blob", name=digest.hex())
        return blob.data[offset : offset + length]

    async def blob_page(self, after: bytes, limit: int) -> list[BlobStat]:
        """Blobs by digest."""
        ordered = sorted(self._blobs)
        start = bisect_right(ordered, after)
        return [_stat(self._blobs[digest]) for digest in ordered[start : start + limit]]


def _cost(blob: Blob) -> int:
    return len(blob.data) + len(blob.meta)


def _stat(blob: Blob) -> BlobStat:
    return BlobStat(blob.digest, len(blob.data), blob.meta)


def _verified(blob: Blob) -> bytes | CorruptionError:
    actual = sha256(blob.data).digest()
    if actual != blob.digest:
        return CorruptionError(where=f"blob {blob.digest.hex()}", expected=blob.digest.hex(), got=actual.hex())
    return blob.data
