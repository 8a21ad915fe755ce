"""Spill files: undelivered output on disk, and what they look like to a node that finds them later.

A segment is ``<start offset, 20 digits>.seg``, the bare bytes of output from that offset on.  If any of them
came from elsewhere than tag 0, ``<start>.tags`` beside it holds the changes: 8 bytes each, big endian, the
change's place in the segment times 16 plus the tag from there on.  Nothing else is needed to read a
directory of them, so they are worth something even when their keeper was killed.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple, Protocol

CHANGE_BYTES = 8
_START_DIGITS = 20
CHANGES_MAX = 65_536
"""A segment is closed at this many changes of tag, to bound what is held of it in memory."""


class Files(Protocol):
    """The few file operations spilling needs; another one is injected to make them fail."""

    def create(self, path: str) -> int:
        """A descriptor of the new, empty file ``path``, for reading and writing, mode 0600."""
        ...

    def open(self, path: str) -> int:
        """A descriptor of the file ``path``, for reading."""
        ...

    def write(self, fd: int, data: bytes, position: int) -> int:
        """How many bytes of ``data`` were written from ``position`` on, at least one, or OSError."""
        ...

    def read(self, fd: int, size: int, position: int) -> bytes:
        """Up to ``size`` bytes from ``position``."""
        ...

    def close(self, fd: int) -> None:
        """Close ``fd``."""
        ...

    def remove(self, path: str) -> None:
        """Remove the file ``path``; it is no error if it is gone."""
        ...


class RealFiles:
    """The file system of this machine."""

    __slots__ = ()

    def create(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def open(self, path: str) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def write(self, fd: int, data: bytes, position: int) -> int:
        return os.pwrite(fd, data, position)

    def read(self, fd: int, size: int, position: int) -> bytes:
        return os.pread(fd, size, position)

    def close(self, fd: int) -> None:
        os.close(fd)

    def remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


class Segment:
    """One spill file, ``[start, start + size)`` of the output."""

    __slots__ = ("changes", "changes_count", "has_tags", "path", "size", "start", "tag", "unreadable")

    def __init__(self, directory: str, start: int) -> None:
        self.start = start
        self.size = 0
        self.path = f"{directory}/{start:0{_START_DIGITS}d}.seg"
        self.changes: list[int] | None = []
        """The changes of tag while the segment grows; None once it is closed and they are only on disk."""
        self.changes_count = 0
        self.has_tags = False
        self.tag = 0
        """Tag of the segment's last byte."""
        self.unreadable = False
        """Whether reading it has failed."""

    @property
    def end(self) -> int:
        """Offset after the last byte."""
        return self.start + self.size

    @property
    def tags_path(self) -> str:
        """Where the changes of tag are written."""
        return tags_path_of(self.path)


def tags_path_of(path: str) -> str:
    """The file of tag changes beside the segment file ``path``."""
    return path[: -len(".seg")] + ".tags"


def pack_change(place: int, tag: int) -> bytes:
    """From ``place`` in the segment on, bytes carry ``tag``."""
    return (place << 4 | tag).to_bytes(CHANGE_BYTES, "big")


def unpack_changes(data: bytes) -> list[int]:
    """The packed changes in ``data``, up to where they end, are torn, or do not ascend, as after a power cut."""
    whole = len(data) - len(data) % CHANGE_BYTES
    changes: list[int] = []
    for at in range(0, whole, CHANGE_BYTES):
        change = int.from_bytes(data[at : at + CHANGE_BYTES], "big")
        if changes and change >> 4 <= changes[-1] >> 4:
            break
        changes.append(change)
    return changes


def run_at(changes: list[int], place: int, size: int) -> tuple[int, int]:
    """The tag of the byte at ``place`` and the place where the run of that tag ends, ``size`` at most."""
    after = bisect_right(changes, place << 4 | 15)
    tag = changes[after - 1] & 15 if after else 0
    end = changes[after] >> 4 if after < len(changes) else size
    return tag, min(end, size)


class Piece(NamedTuple):
    """A run of spilled output."""

    offset: int
    tag: int
    data: bytes


def read_segments(directory: str, piece_bytes_max: int = 1 << 20) -> Iterator[Piece]:
    """All spilled output in ``directory``, ascending, in pieces of one tag; a hole between two is a gap.

    For the node, after the keeper is gone.  Raises OSError if a file cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if _is_segment(name))
    except FileNotFoundError:
        return
    for name in names:
        yield from _read_segment(os.path.join(directory, name), int(name[: -len(".seg")]), piece_bytes_max)


def _is_segment(name: str) -> bool:
    start, _, kind = name.partition(".")
    return kind == "seg" and len(start) == _START_DIGITS and start.isascii() and start.isdigit()


def _read_segment(path: str, start: int, piece_bytes_max: int) -> Iterator[Piece]:
    changes: list[int] = []
    try:
        with open(tags_path_of(path), "rb") as file:
            changes = unpack_changes(file.read())
    except FileNotFoundError:
        pass
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        place = 0
        while place < size:
            tag, end = run_at(changes, place, size)
            data = file.read(min(end - place, piece_bytes_max))
            if not data:
                return
            yield Piece(start + place, tag, data)
            place += len(data)
