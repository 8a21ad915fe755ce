"""What one commit of blobs changes, and the messages that it is stored as.

First come messages with data, then those of the index, which make it count: a commit is there when the last of them is.
A message of the index begins with a version (1 byte), whether more of this commit follow (1) and the sequence of the
first one of the commit (8); then comes its part of the entries.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final
from zlib import crc32

from ...base import Blob
from .index import (
    Index,
    Parts,
    Slice,
    annotating,
    erasing,
    large,
    place_of,
    placing,
    small,
    stat_of,
    with_meta,
)

_VERSION: Final = 1
_HEAD = struct.Struct("<BBQ")
PACK_BYTES: Final = 32 << 10
"""Small blobs share a message up to this; reading one of them reads it all."""
INDEX_BYTES: Final = 256 << 10
"""Of one message of the index."""


class Commit:
    """Changes to blobs, over those on their way before it; its messages begin at sequence ``first``."""

    def __init__(self, find: Callable[[bytes], bytes | None], first: int, part_bytes: int) -> None:
        """``find`` gives what is kept of a blob without this commit."""
        self.first = first
        self.growth_bytes = 0
        """Data and metas more than before."""
        self.uploaded: list[tuple[int, int, int]] = []
        """Parts of blobs that come in parts: whose, sequence and CRC-32."""
        self.ended: list[int] = []
        """Those of them that have come to their end, this or that."""
        self.freed: list[int] = []
        """Sequences of messages that are not needed when it is there."""
        self.changed: dict[bytes, bytes | None] = {}
        """What is kept of each blob that it changes."""
        self._before = find
        self._part_bytes = part_bytes
        self._data: list[list[bytes]] = []
        self._pack = -1
        self._pack_bytes = 0
        self._entries: list[bytes] = []

    def find(self, digest: bytes) -> bytes | None:
        """What is kept of it; None if there is none."""
        if digest in self.changed:
            return self.changed[digest]
        return self._before(digest)

    def store(self, blob: Blob) -> None:
        """Add a blob that is not there."""
        self.growth_bytes += len(blob.data) + len(blob.meta)
        self._place(blob.digest, blob.data, blob.meta)

    def move(self, digest: bytes, data: bytes) -> None:
        """Store a small blob again, in a message of this commit."""
        held = self.find(digest)
        assert held is not None
        self._place(digest, data, stat_of(digest, held).meta)

    def _place(self, digest: bytes, data: bytes, meta: bytes) -> None:
        if len(data) <= self._part_bytes:
            self._put(digest, small(self._slice(data), meta))
            return
        cut = range(0, len(data), self._part_bytes)
        parts = [self.add(data[start : start + self._part_bytes]) for start in cut]
        self._put(digest, large(Parts(len(data), self._part_bytes, parts), meta))

    def _slice(self, data: bytes) -> Slice:
        size = len(data)
        if self._pack < 0 or self._pack_bytes + size > PACK_BYTES:
            self._pack, self._pack_bytes = len(self._data), 0
            self._data.append([])
        place = Slice(self.first + self._pack, self._pack_bytes, size)
        self._data[self._pack].append(data)
        self._pack_bytes += size
        return place

    def add(self, data: bytes) -> tuple[int, int]:
        """Store ``data`` in a message of its own; gives its sequence and CRC-32."""
        self._data.append([data])
        return self.first + len(self._data) - 1, crc32(data)

    def name(self, digest: bytes, place: Parts, meta: bytes) -> None:
        """What is stored at ``place`` is a blob now."""
        self.growth_bytes += place.size + len(meta)
        self._put(digest, large(place, meta))

    def _put(self, digest: bytes, held: bytes) -> None:
        self.changed[digest] = held
        self._entries.append(placing(digest, held))

    def restate(self, digests: Iterable[bytes]) -> None:
        """Say again where they are."""
        for digest in digests:
            held = self.find(digest)
            if held is not None:
                self._entries.append(placing(digest, held))

    def annotate(self, digest: bytes, meta: bytes) -> bool:
        """Replace its meta; whether it is there."""
        held = self.find(digest)
        if held is None:
            return False
        self.growth_bytes += len(meta) - len(stat_of(digest, held).meta)
        self.changed[digest] = with_meta(held, meta)
        self._entries.append(annotating(digest, meta))
        return True

    def erase(self, digest: bytes) -> bool:
        """Remove it; whether it was there."""
        held = self.find(digest)
        if held is None:
            return False
        stat = stat_of(digest, held)
        self.growth_bytes -= stat.size + len(stat.meta)
        self.changed[digest] = None
        self._entries.append(erasing(digest))
        stored = self._before(digest)
        place = place_of(held)
        if isinstance(place, Parts) and (stored is None or place_of(stored) != place):
            self.freed += [sequence for sequence, _ in place.parts if sequence < self.first]
        return True

    def letters(self, data_subject: str, index_subject: str) -> list[tuple[str, bytes]]:
        """Subject and payload of its messages."""
        found = [(data_subject, b"".join(pieces)) for pieces in self._data]
        return found + [(index_subject, body) for body in self._index_bodies(self.first + len(found))]

    def _index_bodies(self, group: int) -> list[bytes]:
        entries = b"".join(self._entries)
        cut = range(0, len(entries), INDEX_BYTES)
        return [_HEAD.pack(_VERSION, at != cut[-1], group) + entries[at : at + INDEX_BYTES] for at in cut]

    def apply(self, index: Index) -> None:
        """Make the changes in ``index``; all is stored, and so is what was on its way before."""
        for digest, held in self.changed.items():
            if held is None:
                index.drop(digest)
            else:
                index.put(digest, held)
        index.freed += self.freed
        kept = {sequence for _, sequence, _ in self.uploaded}
        for held in self.changed.values():
            if held is not None and isinstance(place := place_of(held), Parts):
                kept.update(sequence for sequence, _ in place.parts)
        index.freed += [  # what came and went within this commit
            sequence
            for sequence in range(self.first, self.first + len(self._data))
            if sequence not in kept and sequence not in index.packs
        ]


def opening_body() -> bytes:
    """A message of the index that says nothing."""
    return _HEAD.pack(_VERSION, 0, 0)


class IndexReader:
    """Reads messages of the index into ``index``, commit by commit."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._group = 0
        self._pending: list[bytes] = []

    def read(self, body: bytes) -> None:
        """The next message.  What came before of a commit that never came to its end is void.  ValueError."""
        if len(body) < _HEAD.size:
            raise ValueError("a message of the index is cut")
        version, more, group = _HEAD.unpack_from(body)
        if version != _VERSION:
            raise ValueError(f"a message of the index of version {version}; this release knows {_VERSION}")
        if group != self._group:
            self._group, self._pending = group, []
        self._pending.append(body[_HEAD.size :])
        if not more:
            data, self._pending = b"".join(self._pending), []
            self._index.read(data)
