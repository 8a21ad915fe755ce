"""Artifacts at the client's end: files on their way, hashed, in parts; shared by both clients."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from typing import IO, Any, Self

from ...errors import CorruptionError, UsageError
from ...limits import LIMITS
from ...records.cid import RAW, cid_of_digest, digest_of_cid

OnPart = Callable[[int, int], object]
"""Called with the bytes done and those of all (0: not known)."""
Source = bytes | str | os.PathLike[str] | IO[bytes]
"""Bytes, the path of a file, or an open file, which may be a pipe."""
PART_BYTES = LIMITS.artifact_part_bytes_max
_HASH_BYTES = 1 << 20


class UploadFile:
    """What is uploaded, read part by part.  A context manager; closes what it opened itself.

    ``cid`` and ``size_bytes`` are known beforehand if it can be read twice, else empty and 0.
    """

    def __init__(self, source: Source) -> None:
        self.cid = ""
        self.size_bytes = 0
        self._own = isinstance(source, str | os.PathLike)
        self._file = _opened(source)
        self._first = 0
        self._hash = sha256()
        """Of what was read so far, if it can be read only once."""
        self._last = b""
        self._last_at = 0
        if self._file.seekable():
            self._first = self._file.tell()
            self._measure()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            self._file.close()

    def part(self, offset: int) -> bytes:
        """The bytes from ``offset`` on, as many as fit a part; none at the end.  UsageError if they are gone."""
        if self.cid:
            self._file.seek(self._first + offset)
            return self._file.read(PART_BYTES)
        if offset == self._last_at + len(self._last):
            self._last_at, self._last = offset, _read_full(self._file)
            self._hash.update(self._last)
        elif not self._last_at <= offset < self._last_at + len(self._last):
            raise UsageError("source: it cannot be read again, as it is a pipe", field="source")
        return self._last[offset - self._last_at :]

    def final_cid(self) -> str:
        """The name of all that was read."""
        return self.cid or cid_of_digest(self._hash.digest(), RAW)

    def _measure(self) -> None:
        digest = sha256()
        while data := self._file.read(_HASH_BYTES):
            digest.update(data)
            self.size_bytes += len(data)
        self.cid = cid_of_digest(digest.digest(), RAW)


def _opened(source: Source) -> IO[bytes]:
    if isinstance(source, str | os.PathLike):
        return open(source, "rb")
    if isinstance(source, bytes):
        from io import BytesIO

        return BytesIO(source)
    return source


def _read_full(file: IO[bytes]) -> bytes:
    """A whole part, as long as there is that much."""
    parts, left = [], PART_BYTES
    while left and (data := file.read(left)):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


class DownloadFile:
    """A file on its way in: ``PATH.part`` until it is whole and proven, then ``PATH``.  A context manager.

    A part file that is there already is gone on with.  UsageError for a device, a pipe or a directory.
    """

    def __init__(self, path: str | os.PathLike[str], cid: str) -> None:
        digest_of_cid(cid, RAW)  # refuse what is no name of an artifact before anything is made
        self._path = _regular(os.fspath(path))
        self._part = f"{self._path}.part"
        self._cid = cid
        self._hash = sha256()
        self.offset = 0
        """What is here."""
        self._file: IO[Any] = open(self._part, "a+b")  # noqa: SIM115 - closed by our own __exit__
        self._file.seek(0)
        while data := self._file.read(_HASH_BYTES):
            self._hash.update(data)
            self.offset += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, data: bytes) -> None:
        """The bytes that follow."""
        self._file.write(data)
        self._hash.update(data)
        self.offset += len(data)

    def finish(self) -> None:
        """All is here: prove it and give it its name.  CorruptionError, and the part file goes, if it is not it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        got = cid_of_digest(self._hash.digest(), RAW)
        if got != self._cid:
            os.unlink(self._part)
            raise CorruptionError(where=self._path, expected=self._cid, got=got)
        os.replace(self._part, self._path)


def _regular(path: str) -> str:
    """The file that ``path`` is, or leads to; UsageError for what giving a new file its name would destroy."""
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise UsageError(f"{path}: is there, and no regular file", field="path")
    return path
