"""Where each blob is, kept in memory; and the entries that say so, as they are stored.

Small blobs share a message (a *pack*), large ones have one for each part.  Neither says what it holds: that is in the
index, a sequence of entries, of which the last one about a blob counts.  An entry is

=====  ==========================================================================
bytes  meaning
=====  ==========================================================================
32     digest
4      length of what follows
1      kind: ``SMALL``, ``LARGE``, ``META`` (another meta), ``GONE`` (deleted)
 n     SMALL: sequence (8), offset (4), size (4), meta;
       LARGE: size (8), part size (4), parts (4), of each its sequence (8) and CRC-32 (4), meta;
       META: meta
=====  ==========================================================================

Numbers are unsigned and little-endian.  What is kept in memory of a blob is what follows the length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ...base import BlobStat

SMALL: Final = 1
LARGE: Final = 2
META: Final = 3
GONE: Final = 4
_ENTRY = struct.Struct("<32sI")
_SMALL = struct.Struct("<BQII")
_LARGE = struct.Struct("<BQII")
_PLACED = frozenset({SMALL, LARGE})
_META, _GONE = bytes((META,)), bytes((GONE,))
_PART = struct.Struct("<QI")
_BUCKETS = 4096
"""So that a page of a million blobs in order costs the sorting of a few hundred."""


class Slice(NamedTuple):
    """Where a small blob is."""

    sequence: int
    offset: int
    size: int


class Parts(NamedTuple):
    """Where a large blob is."""

    size: int
    part_bytes: int
    parts: Sequence[tuple[int, int]]
    """Sequence and CRC-32 of each."""


def small(place: Slice, meta: bytes) -> bytes:
    """What is kept of a small blob."""
    return _SMALL.pack(SMALL, *place) + meta


def large(place: Parts, meta: bytes) -> bytes:
    """What is kept of a large blob."""
    head = _LARGE.pack(LARGE, place.size, place.part_bytes, len(place.parts))
    return head + b"".join([_PART.pack(*part) for part in place.parts]) + meta


def place_of(held: bytes) -> Slice | Parts:
    """Where it is, by what is kept of it."""
    if held[0] == SMALL:
        return Slice(*_SMALL.unpack_from(held)[1:])
    _, size, part_bytes, count = _LARGE.unpack_from(held)
    return Parts(size, part_bytes, list(_PART.iter_unpack(held[_LARGE.size : _LARGE.size + count * _PART.size])))


def _place_length(held: bytes) -> int:
    if held[0] == SMALL:
        return _SMALL.size
    return _LARGE.size + int(_LARGE.unpack_from(held)[3]) * _PART.size


def stat_of(digest: bytes, held: bytes) -> BlobStat:
    """What is known of it, by what is kept of it."""
    kind, number, _, last = _SMALL.unpack_from(held)
    if kind == SMALL:
        return BlobStat(digest, last, held[_SMALL.size :])
    return BlobStat(digest, number, held[_place_length(held) :])


def with_meta(held: bytes, meta: bytes) -> bytes:
    """The same blob with another meta."""
    return held[: _place_length(held)] + meta


def placing(digest: bytes, held: bytes) -> bytes:
    """The entry that says where a blob is."""
    return _ENTRY.pack(digest, len(held)) + held


def annotating(digest: bytes, meta: bytes) -> bytes:
    """The entry that says what its meta is now."""
    return _ENTRY.pack(digest, 1 + len(meta)) + _META + meta


def erasing(digest: bytes) -> bytes:
    """The entry that says that it is gone."""
    return _ENTRY.pack(digest, 1) + _GONE


def entry_bytes(held: bytes) -> int:
    """Length of the entry that :func:`placing` makes."""
    return _ENTRY.size + len(held)


def entries(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Digest and what follows the length, of each entry in ``data``.  ValueError if that does not end with one."""
    position, end = 0, len(data)
    while position < end:
        if end - position < _ENTRY.size:
            raise ValueError("an entry is cut")
        digest, length = _ENTRY.unpack_from(data, position)
        position += _ENTRY.size + length
        if position > end or not length:
            raise ValueError("an entry is cut")
        yield digest, data[position - length : position]


class Pack:
    """A message that small blobs share."""

    __slots__ = ("count", "extent", "live", "members")

    def __init__(self) -> None:
        self.members: list[bytes] = []
        """Whoever was in it; ask the index who still is."""
        self.count = 0
        """How many still are."""
        self.live = 0
        """Bytes of those that are still there."""
        self.extent = 0
        """Bytes of the message, as far as we know of it."""


class Index:
    """Where each blob is."""

    def __init__(self) -> None:
        self.count = 0
        self.live_bytes = 0
        """What the entries of all there is would take."""
        self.used_bytes = 0
        """Data and metas of all there is."""
        self.packs: dict[int, Pack] = {}
        self.freed: list[int] = []
        """Sequences of messages that nothing is in any more; whoever deletes them takes them from here."""
        self.sparse: set[int] = set()
        """Packs most of which is not needed any more."""
        self._buckets: list[dict[bytes, bytes]] = [{} for _ in range(_BUCKETS)]

    def get(self, digest: bytes) -> bytes | None:
        """What is kept of it; None if there is none."""
        return self._buckets[_bucket(digest)].get(digest)

    def put(self, digest: bytes, held: bytes) -> None:
        """It is there now, or elsewhere than it was."""
        bucket = self._buckets[_bucket(digest)]
        before = bucket.get(digest)
        bucket[digest] = held
        if before is None:
            self.count += 1
            self._enter(digest, held)
        else:
            self._account(before, -1)
            length = _place_length(before)
            if before[:length] != held[:length]:
                self._leave(before)
                self._enter(digest, held)
        self._account(held, 1)

    def annotate(self, digest: bytes, meta: bytes) -> None:
        """It has another meta."""
        held = self.get(digest)
        if held is not None:
            self.put(digest, with_meta(held, meta))

    def drop(self, digest: bytes) -> None:
        """It is gone."""
        held = self._buckets[_bucket(digest)].pop(digest, None)
        if held is not None:
            self.count -= 1
            self._account(held, -1)
            self._leave(held)

    def read(self, data: bytes) -> None:
        """Follow entries as they were stored.  ValueError if they are none."""
        for digest, held in entries(data):
            kind = held[0]
            if kind in _PLACED:
                self.put(digest, held)
            elif kind == META:
                self.annotate(digest, held[1:])
            elif kind == GONE:
                self.drop(digest)
            else:
                raise ValueError(f"an entry of an unknown kind: {kind}")

    def page(self, after: bytes, limit: int) -> list[BlobStat]:
        """The first so many whose digest is greater than ``after``, by digest."""
        found: list[BlobStat] = []
        for number in range(_bucket(after) if after else 0, _BUCKETS):
            if len(found) >= limit:
                break
            bucket = self._buckets[number]
            found += [stat_of(digest, bucket[digest]) for digest in sorted(bucket) if digest > after]
        return found[:limit]

    def bucket(self, number: int) -> list[tuple[bytes, bytes]]:
        """The blobs of one bucket out of :attr:`buckets`, in no order."""
        return list(self._buckets[number].items())

    @property
    def buckets(self) -> int:
        """How many there are."""
        return _BUCKETS

    def messages(self) -> set[int]:
        """Sequences of all messages that something is in."""
        found = set(self.packs)
        for bucket in self._buckets:
            for held in bucket.values():
                if held[0] == LARGE:
                    place = place_of(held)
                    assert isinstance(place, Parts)
                    found.update(sequence for sequence, _ in place.parts)
        return found

    def _account(self, held: bytes, sign: int) -> None:
        _, number, _, last = _SMALL.unpack_from(held)
        size = last + len(held) - _SMALL.size if held[0] == SMALL else number + len(held) - _place_length(held)
        self.used_bytes += sign * size
        self.live_bytes += sign * (_ENTRY.size + len(held))

    def _enter(self, digest: bytes, held: bytes) -> None:
        kind, sequence, offset, size = _SMALL.unpack_from(held)
        if kind == SMALL:
            pack = self.packs.get(sequence)
            if pack is None:
                pack = self.packs[sequence] = Pack()
            pack.members.append(digest)
            pack.count += 1
            pack.live += size
            pack.extent = max(pack.extent, offset + size)

    def _leave(self, held: bytes) -> None:
        place = place_of(held)
        if isinstance(place, Parts):
            self.freed += [sequence for sequence, _ in place.parts]
            return
        pack = self.packs[place.sequence]
        pack.count -= 1
        pack.live -= place.size
        if not pack.count:
            del self.packs[place.sequence]
            self.sparse.discard(place.sequence)
            self.freed.append(place.sequence)
        elif 2 * pack.live < pack.extent:
            self.sparse.add(place.sequence)


def _bucket(digest: bytes) -> int:
    return digest[0] << 4 | digest[1] >> 4
