"""The SQL of blobs: the writer's side inside its transaction, and the reader's.

A blob is found by its *place*, the first 8 bytes of its digest as a number that sorts as they do: a quarter of the
index a whole digest would take, and of the pages a commit of random digests changes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from json import dumps
from zlib import crc32

from ...errors import CorruptionError, NotFound
from ..base import Blob, BlobStat

_HALF = 1 << 63
_ROW_BYTES = 120
"""What a row takes besides its content, roughly."""


def place_of(digest: bytes) -> int:
    """Where the index has it."""
    return int.from_bytes(digest[:8], "big") - _HALF


class Objects:
    """Blobs in the tables ``blob`` and ``blob_part``; the writer's side.

    See :class:`holdfast.engine.blobs.BlobKeeper` for what the methods give.
    """

    def __init__(self, connection: sqlite3.Connection, part_bytes: int, grown: Callable[[int], None]) -> None:
        """``grown`` is told of bytes added to the write-ahead log."""
        self._connection = connection
        self._execute = connection.execute
        self._part_bytes = part_bytes
        self._grown = grown
        abandoned = connection.execute("SELECT id FROM blob WHERE place IS NULL").fetchall()
        for (number,) in abandoned:  # their uploads ended with the process
            self._forget(number)

    def storing(self, blobs: Sequence[Blob]) -> Callable[[], list[bool]]:
        """Store those that are not there."""

        def run() -> list[bool]:
            known = {digest for _, digest in _ids(self._connection, [blob.digest for blob in blobs])}
            new, small = [], []
            for blob in blobs:
                new.append(blob.digest not in known)
                if new[-1]:
                    known.add(blob.digest)
                    if len(blob.data) > self._part_bytes:
                        self._insert_large(blob)
                    else:
                        small.append((place_of(blob.digest), blob.digest, len(blob.data), blob.meta, blob.data))
            self._connection.executemany(
                "INSERT INTO blob (place, digest, size, meta, data) VALUES (?, ?, ?, ?, ?)", small
            )
            self._grown(sum(len(row[3]) + row[2] + _ROW_BYTES for row in small))
            return new

        return run

    def _insert_large(self, blob: Blob) -> None:
        number = self.opening()()
        for part, start in enumerate(range(0, len(blob.data), self._part_bytes)):
            self.adding(number, part, blob.data[start : start + self._part_bytes])()
        self._name(number, blob.digest, len(blob.data), blob.meta)

    def opening(self) -> Callable[[], int]:
        """A row without a place."""

        def run() -> int:
            done = self._execute("INSERT INTO blob (digest, size, meta) VALUES (x'', 0, x'')")
            assert done.lastrowid is not None
            return done.lastrowid

        return run

    def adding(self, number: int, part: int, data: bytes) -> Callable[[], None]:
        """A row of its own for each part."""

        def run() -> None:
            self._execute(
                "INSERT INTO blob_part (blob, part, crc, data) VALUES (?, ?, ?, ?)", (number, part, crc32(data), data)
            )
            self._grown(len(data) + _ROW_BYTES)

        return run

    def publishing(self, number: int, digest: bytes, size: int, meta: bytes) -> Callable[[], bool]:
        """Give it its place."""

        def run() -> bool:
            if any(_ids(self._connection, [digest])):
                self._forget(number)
                return False
            self._name(number, digest, size, meta)
            return True

        return run

    def dropping(self, number: int) -> Callable[[], None]:
        """Remove the rows."""
        return lambda: self._forget(number)

    def annotating(self, metas: Sequence[tuple[bytes, bytes]]) -> Callable[[], list[bool]]:
        """Replace metas."""

        def run() -> list[bool]:
            ids = {digest: number for number, digest in _ids(self._connection, [digest for digest, _ in metas])}
            self._connection.executemany(
                "UPDATE blob SET meta = ? WHERE id = ?",
                [(meta, ids[digest]) for digest, meta in metas if digest in ids],
            )
            self._grown(sum(len(meta) for _, meta in metas) + _ROW_BYTES * len(metas))
            return [digest in ids for digest, _ in metas]

        return run

    def erasing(self, digests: Sequence[bytes]) -> Callable[[], list[bool]]:
        """Remove blobs."""

        def run() -> list[bool]:
            ids = {digest: number for number, digest in _ids(self._connection, digests)}
            gone = []
            for digest in digests:
                number = ids.pop(digest, None)
                gone.append(number is not None)
                if number is not None:
                    self._forget(number)
            self._grown(_ROW_BYTES * len(digests))
            return gone

        return run

    def _name(self, number: int, digest: bytes, size: int, meta: bytes) -> None:
        self._execute(
            "UPDATE blob SET place = ?, digest = ?, size = ?, meta = ? WHERE id = ?",
            (place_of(digest), digest, size, meta, number),
        )

    def _forget(self, number: int) -> None:
        self._execute("DELETE FROM blob_part WHERE blob = ?", (number,))
        self._execute("DELETE FROM blob WHERE id = ?", (number,))


def _ids(connection: sqlite3.Connection, digests: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """The row numbers of those that are there."""
    wanted = set(digests)
    for number, digest in connection.execute(
        "SELECT id, digest FROM blob WHERE place IN (SELECT value FROM json_each(?))", (_places(digests),)
    ):
        if digest in wanted:
            yield number, digest


def _places(digests: Sequence[bytes]) -> str:
    return dumps([place_of(digest) for digest in digests])


def read_stats(connection: sqlite3.Connection, digests: Sequence[bytes]) -> list[BlobStat | None]:
    """What is known of each."""
    found = {
        digest: BlobStat(digest, size, meta)
        for digest, size, meta in connection.execute(
            "SELECT digest, size, meta FROM blob WHERE place IN (SELECT value FROM json_each(?))", (_places(digests),)
        )
    }
    return [found.get(digest) for digest in digests]


def read_contents(
    connection: sqlite3.Connection, digests: Sequence[bytes], max_bytes: int
) -> list[bytes | CorruptionError | None]:
    """The first so many blobs that fit, at least one, each whole and verified."""
    connection.execute("BEGIN")
    try:
        sizes = {
            digest: (number, size)
            for number, digest, size in connection.execute(
                "SELECT id, digest, size FROM blob WHERE place IN (SELECT value FROM json_each(?))", (_places(digests),)
            )
        }
        places = [sizes.get(digest, (0, 0)) for digest in _fitting(digests, sizes, max_bytes)]
        data = dict(
            connection.execute(
                "SELECT id, data FROM blob WHERE id IN (SELECT value FROM json_each(?))",
                (dumps([number for number, _ in places if number]),),
            ).fetchall()
        )
        for number, size in places:
            if number and data[number] is None:
                data[number] = _joined(connection, number, size)
    finally:
        connection.execute("ROLLBACK")
    return [
        _verified(digest, data[number]) if number else None
        for digest, (number, _) in zip(digests, places, strict=False)
    ]


def _fitting(digests: Sequence[bytes], sizes: dict[bytes, tuple[int, int]], max_bytes: int) -> Iterator[bytes]:
    for position, digest in enumerate(digests):
        max_bytes -= sizes.get(digest, (0, 0))[1]
        if position and max_bytes < 0:
            return
        yield digest


def _joined(connection: sqlite3.Connection, number: int, size: int) -> bytes:
    parts = connection.execute("SELECT data FROM blob_part WHERE blob = ? ORDER BY part", (number,))
    return b"".join([data for (data,) in parts])[:size]


def _verified(digest: bytes, data: bytes) -> bytes | CorruptionError:
    if not isinstance(data, bytes):
        return _damaged(digest, "bytes", type(data).__name__)
    actual = sha256(data).digest()
    return data if actual == digest else _damaged(digest, digest.hex(), actual.hex())


def _damaged(digest: bytes, expected: str, got: str) -> CorruptionError:
    return CorruptionError(where=f"blob {digest.hex()}", expected=expected, got=got)


def read_range(connection: sqlite3.Connection, digest: bytes, offset: int, length: int) -> bytes:
    """Part of a blob, verified by what it lies in."""
    connection.execute("BEGIN")
    try:
        rows = connection.execute("SELECT id, digest, data FROM blob WHERE place = ?", (place_of(digest),)).fetchall()
        for number, found, data in rows:
            if found == digest and data is not None:
                whole = _verified(digest, data)
                if isinstance(whole, CorruptionError):
                    raise whole
                return whole[offset : offset + length]
            if found == digest:
                return _range_of_parts(connection, number, digest, offset, length)
    finally:
        connection.execute("ROLLBACK")
    raise NotFound(kind="blob", name=digest.hex())


def _range_of_parts(connection: sqlite3.Connection, number: int, digest: bytes, offset: int, length: int) -> bytes:
    """All parts of a blob have the length of the first, the last one aside."""
    (part_bytes,) = connection.execute(
        "SELECT length(data) FROM blob_part WHERE blob = ? AND part = 0", (number,)
    ).fetchone() or (1,)
    first = offset // part_bytes
    pieces = []
    for part, crc, data in connection.execute(
        "SELECT part, crc, data FROM blob_part WHERE blob = ? AND part BETWEEN ? AND ? ORDER BY part",
        (number, first, (offset + length - 1) // part_bytes),
    ):
        if crc32(data) != crc:
            raise _damaged(digest, f"checksum {crc:#010x} of part {part}", f"{crc32(data):#010x}")
        pieces.append(data)
    start = offset - first * part_bytes
    out = b"".join(pieces)[start : start + length]
    if len(out) != length:
        raise _damaged(digest, f"{length} bytes at {offset}", f"{len(out)}")
    return out


def read_page(connection: sqlite3.Connection, after: bytes, limit: int) -> list[BlobStat]:
    """Blobs by digest."""
    place = place_of(after) if after else -_HALF
    found: list[BlobStat] = []
    for row in connection.execute(
        "SELECT digest, size, meta FROM blob WHERE place >= ? ORDER BY place, digest", (place,)
    ):
        if row[0] > after:
            if len(found) >= limit:
                break
            found.append(BlobStat(*row))
    return found


def check_blobs(connection: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with them: every part's checksum, every small blob's digest."""
    for digest, data in connection.execute(
        "SELECT digest, data FROM blob WHERE place IS NOT NULL AND data IS NOT NULL"
    ):
        if sha256(data).digest() != digest:
            yield f"blob {digest.hex()}: the digest does not match"
    for digest, part, crc, data in connection.execute(
        "SELECT blob.digest, part, crc, blob_part.data FROM blob_part JOIN blob ON blob.id = blob_part.blob"
    ):
        if crc32(data) != crc:
            yield f"blob {digest.hex()}, part {part}: the checksum does not match"
