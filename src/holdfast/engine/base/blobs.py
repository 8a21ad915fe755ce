"""Bytes under their own name, and what every engine promises of them."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from typing import NamedTuple, Protocol

from ...errors import CorruptionError
from .ack import AckLevel


class Blob(NamedTuple):
    """Bytes named by their SHA-256."""

    digest: bytes
    """The 32 bytes of it."""
    data: bytes
    meta: bytes = b""
    """Whatever its owner keeps with it; nothing to the engine, and no part of the digest."""


class BlobStat(NamedTuple):
    """What is known of a blob without reading it."""

    digest: bytes
    size: int
    meta: bytes


class BlobStore(Protocol):
    """Immutable bytes under their SHA-256, each with a meta that can change."""

    async def put(
        self, digest: bytes, data: bytes | AsyncIterable[bytes], *, meta: bytes = b"", ack: AckLevel = "disk"
    ) -> bool:
        """Store a blob; whether it was new.  One that is there is left as it is, its meta too, at no cost.

        ``data`` of any length may come in parts; then it is there when the last one was stored, or not at all.
        Raises UsageError(field="digest") if that is not its digest, LimitExceeded, StorageError.
        """
        ...

    async def put_many(self, blobs: Sequence[Blob], *, ack: AckLevel = "disk") -> list[bool]:
        """:meth:`put` for many in one commit, all or none; takes its place in the order of commits when called."""
        ...

    async def get(self, digest: bytes, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes from ``offset`` on, ``length`` of them or as many as there are.

        Verified: as a whole if that is what is asked for, by the checksums of the parts it lies in if not.
        Raises NotFound(kind="blob"), CorruptionError, UsageError for an offset beyond the end.
        """
        ...

    async def get_many(
        self, digests: Sequence[bytes], *, max_bytes: int = 1 << 62
    ) -> list[bytes | CorruptionError | None]:
        """The blobs, each whole and verified, None where there is none, and the error of one that is damaged.

        Gives the first so many of them that fit ``max_bytes``, but at least one.
        """
        ...

    async def stat(self, digest: bytes) -> BlobStat:
        """What is known of one.  NotFound(kind="blob")."""
        ...

    async def stat_many(self, digests: Sequence[bytes]) -> list[BlobStat | None]:
        """What is known of some, None where there is none."""
        ...

    async def annotate_many(self, metas: Sequence[tuple[bytes, bytes]], *, ack: AckLevel = "disk") -> list[bool]:
        """Replace the metas of some blobs; of each, whether it is there."""
        ...

    async def delete(self, digest: bytes) -> bool:
        """Remove a blob; whether there was one.  Durable on return."""
        ...

    async def delete_many(self, digests: Sequence[bytes], *, ack: AckLevel = "disk") -> list[bool]:
        """:meth:`delete` for many in one commit."""
        ...

    async def list(self, after: bytes = b"", limit: int = 1_000) -> Sequence[BlobStat]:
        """What is known of the first ``limit`` blobs whose digest is greater than ``after``, by digest."""
        ...
