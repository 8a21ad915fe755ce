"""The :class:`~holdfast.engine.base.BlobStore` of the engines that keep a node's blobs themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from hashlib import sha256
from typing import Any, Protocol

from ..errors import ClosedError, CorruptionError, LimitExceeded, NotFound, UsageError
from ..limits import LIMITS, Limits
from . import checks
from .base import AckLevel, Blob, BlobStat
from .state import Control

_DIGEST_BYTES = 32


class BlobKeeper(Protocol):
    """Where :class:`Blobs` keeps things; each ``…ing`` method gives what the store's side has to run."""

    def submit(self, operation: Control) -> None:
        """Queue it, in line with all others."""
        ...

    def storing(self, blobs: Sequence[Blob]) -> Callable[[], list[bool]]:
        """Store those that are not there; of each, whether it was new."""
        ...

    def opening(self) -> Callable[[], int]:
        """Begin a blob that comes in parts; gives a number for it."""
        ...

    def adding(self, number: int, part: int, data: bytes) -> Callable[[], None]:
        """Store part ``part`` of it."""
        ...

    def publishing(self, number: int, digest: bytes, size: int, meta: bytes) -> Callable[[], bool]:
        """Make it a blob, or drop it if there is one already; whether it was new."""
        ...

    def dropping(self, number: int) -> Callable[[], None]:
        """Forget its parts."""
        ...

    def annotating(self, metas: Sequence[tuple[bytes, bytes]]) -> Callable[[], list[bool]]:
        """Replace metas; of each, whether the blob is there."""
        ...

    def erasing(self, digests: Sequence[bytes]) -> Callable[[], list[bool]]:
        """Remove blobs; of each, whether it was there."""
        ...

    async def blob_stats(self, digests: Sequence[bytes]) -> list[BlobStat | None]:
        """What is known of each."""
        ...

    async def blob_contents(self, digests: Sequence[bytes], max_bytes: int) -> list[bytes | CorruptionError | None]:
        """The first so many blobs that fit, at least one, each whole and verified."""
        ...

    async def blob_range(self, digest: bytes, offset: int, length: int) -> bytes:
        """Part of a blob that is there and long enough, verified; NotFound."""
        ...

    async def blob_page(self, after: bytes, limit: int) -> list[BlobStat]:
        """Blobs by digest."""
        ...


class _Change(Control):
    """A change of blobs, which counts for the size of a commit."""

    __slots__ = ("size",)

    def __init__(self, run: Callable[[], Any], future: asyncio.Future[Any], *, level: int, size: int) -> None:
        super().__init__(None, run, _as_it_is, future, level=level)
        self.size = size


def _consume(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _as_it_is(result: Any) -> Any:
    return result


class Blobs:
    """Implements :class:`~holdfast.engine.base.BlobStore` over ``keeper``."""

    def __init__(self, keeper: BlobKeeper, *, limits: Limits = LIMITS) -> None:
        self._keeper = keeper
        self._limits = limits
        self._pending_bytes = 0
        self._stopped = False

    async def put(
        self, digest: bytes, data: bytes | AsyncIterable[bytes], *, meta: bytes = b"", ack: AckLevel = "disk"
    ) -> bool:
        """See :meth:`holdfast.engine.base.BlobStore.put`."""
        _check_digest(digest)
        self._check_meta(meta)
        if isinstance(data, bytes):
            return (await self.put_many([Blob(digest, data, meta)], ack=ack))[0]
        level = checks.check_ack(ack)
        if (await self.stat_many([digest]))[0] is not None:
            return False
        return await self._put_parts(digest, data, meta, level)

    async def _put_parts(self, digest: bytes, data: AsyncIterable[bytes], meta: bytes, level: int) -> bool:
        number: int = await self._change(self._keeper.opening(), 1, 0)
        try:
            hasher, size, parts = sha256(), 0, 0
            pending = bytearray()
            part_bytes = self._limits.blob_part_bytes
            async for piece in data:
                hasher.update(piece)
                size += len(piece)
                pending += piece
                while len(pending) >= part_bytes:
                    await self._add(number, parts, bytes(pending[:part_bytes]))
                    del pending[:part_bytes]
                    parts += 1
            _check_match(digest, hasher.digest())
            if pending or not parts:
                await self._add(number, parts, bytes(pending))
            new: bool = await self._change(self._keeper.publishing(number, digest, size, meta), level, 0)
        except BaseException:
            self._drop(number)
            raise
        return new

    def _drop(self, number: int) -> None:
        """Nobody waits for it; if it cannot be done, the next start does it."""
        if not self._stopped:
            self._submit(self._keeper.dropping(number), 1, 0).add_done_callback(_consume)

    async def _add(self, number: int, part: int, data: bytes) -> None:
        await self._change(self._keeper.adding(number, part, data), 1, len(data))

    async def put_many(self, blobs: Sequence[Blob], *, ack: AckLevel = "disk") -> list[bool]:
        """See :meth:`holdfast.engine.base.BlobStore.put_many`."""
        level = checks.check_ack(ack)
        size = 0
        for blob in blobs:
            _check_digest(blob.digest)
            if type(blob.data) is not bytes:
                raise UsageError(f"data: must be bytes, not {type(blob.data).__name__}", field="data")
            self._check_meta(blob.meta)
            _check_match(blob.digest, sha256(blob.data).digest())
            size += len(blob.data) + len(blob.meta)
        if size > self._limits.append_bytes_max:
            limit = self._limits.append_bytes_max
            raise LimitExceeded(
                f"blobs: {size} bytes in one put, over the limit append_bytes_max = {limit}",
                name="append_bytes_max", limit=limit, value=size,
            )  # fmt: skip
        if not blobs:
            return []
        new: list[bool] = await self._change(self._keeper.storing(blobs), level, size)
        return new

    async def get(self, digest: bytes, offset: int = 0, length: int | None = None) -> bytes:
        """See :meth:`holdfast.engine.base.BlobStore.get`."""
        checks.check_position(offset, "offset")
        stat = await self.stat(digest)
        if offset > stat.size:
            raise UsageError(f"offset: {offset} is beyond the end of a blob of {stat.size} bytes", field="offset")
        left = stat.size - offset
        wanted = left if length is None else min(checks.check_position(length, "length"), left)
        if wanted == stat.size:
            (found,) = await self._keeper.blob_contents([digest], 1)
            if found is None:
                raise _not_found(digest)
            if isinstance(found, CorruptionError):
                raise found
            return found
        return await self._keeper.blob_range(digest, offset, wanted) if wanted else b""

    async def get_many(
        self, digests: Sequence[bytes], *, max_bytes: int = 1 << 62
    ) -> list[bytes | CorruptionError | None]:
        """See :meth:`holdfast.engine.base.BlobStore.get_many`."""
        self._check(digests)
        return await self._keeper.blob_contents(digests, checks.check_max_bytes(max_bytes)) if digests else []

    async def stat(self, digest: bytes) -> BlobStat:
        """What is known of one.  NotFound(kind="blob")."""
        (found,) = await self.stat_many([digest])
        if found is None:
            raise _not_found(digest)
        return found

    async def stat_many(self, digests: Sequence[bytes]) -> list[BlobStat | None]:
        """What is known of some, None where there is none."""
        self._check(digests)
        return await self._keeper.blob_stats(digests)

    async def annotate_many(self, metas: Sequence[tuple[bytes, bytes]], *, ack: AckLevel = "disk") -> list[bool]:
        """Replace the metas of some blobs; of each, whether it is there."""
        for digest, meta in metas:
            _check_digest(digest)
            self._check_meta(meta)
        size = sum(len(meta) for _, meta in metas)
        done: list[bool] = await self._change(self._keeper.annotating(metas), checks.check_ack(ack), size)
        return done

    async def delete(self, digest: bytes) -> bool:
        """Remove a blob; whether there was one.  Durable on return."""
        return (await self.delete_many([digest]))[0]

    async def delete_many(self, digests: Sequence[bytes], *, ack: AckLevel = "disk") -> list[bool]:
        """:meth:`delete` for many in one commit."""
        self._check(digests)
        gone: list[bool] = await self._change(self._keeper.erasing(digests), checks.check_ack(ack), 0)
        return gone

    async def list(self, after: bytes = b"", limit: int = 1_000) -> Sequence[BlobStat]:
        """What is known of the first ``limit`` blobs whose digest is greater than ``after``, by digest."""
        if after:
            _check_digest(after, "after")
        self._check(())
        return await self._keeper.blob_page(after, checks.check_position(limit, "limit"))

    def stop(self) -> None:
        """Refuse all from now on."""
        self._stopped = True

    async def _change(self, run: Callable[[], Any], level: int, size: int) -> Any:
        return await self._submit(run, level, size)

    def _submit(self, run: Callable[[], Any], level: int, size: int) -> asyncio.Future[Any]:
        self._check(())
        pending = self._pending_bytes + size
        if pending > self._limits.engine_pending_bytes_max and self._pending_bytes:
            raise LimitExceeded(
                "too much is waiting to be stored; await earlier puts first",
                name="engine_pending_bytes_max", limit=self._limits.engine_pending_bytes_max, value=pending,
            )  # fmt: skip
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if size:
            self._pending_bytes = pending
            future.add_done_callback(lambda _: self._settled(size))
        self._keeper.submit(_Change(run, future, level=level, size=size))
        return future

    def _settled(self, size: int) -> None:
        self._pending_bytes -= size

    def _check_meta(self, meta: bytes) -> None:
        checks.check_size(meta, "meta", "blob_meta_bytes_max", self._limits.blob_meta_bytes_max)

    def _check(self, digests: Sequence[bytes]) -> None:
        if self._stopped:
            raise ClosedError("the engine was stopped")
        for digest in digests:
            _check_digest(digest)


def _check_digest(digest: bytes, field: str = "digest") -> None:
    if type(digest) is not bytes or len(digest) != _DIGEST_BYTES:
        raise UsageError(f"{field}: must be the {_DIGEST_BYTES} bytes of a SHA-256, not {digest!r:.40}", field=field)


def _check_match(digest: bytes, actual: bytes) -> None:
    if digest != actual:
        raise UsageError(f"digest: {digest.hex()} was given, but the data has {actual.hex()}", field="digest")


def _not_found(digest: bytes) -> NotFound:
    return NotFound(kind="blob", name=digest.hex())
