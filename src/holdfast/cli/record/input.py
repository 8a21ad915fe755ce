"""Where a command takes its items from: arguments, files one after the other, standard input as it comes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from ...errors import HoldfastError, NotFound, UsageError
from .splitter import Format, Piece, Splitter

_READ_BYTES = 1 << 18


class Place(NamedTuple):
    """Where an item is from."""

    source: str
    line: int
    """0: it was an argument."""
    end: int
    """Bytes of all sources together up to its end."""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


class Item(NamedTuple):
    """What to do, or why it cannot be done."""

    place: Place
    value: bytes | str
    error: HoldfastError | None = None


class Source(Protocol):
    """Items, some now, some later."""

    size_bytes: int
    """Of all of it; 0: not known."""

    def next_item(self) -> Item | None:
        """The next one that is here; None: see :attr:`ended` and :attr:`descriptor`.  Does not wait for a pipe."""
        ...

    def fill(self) -> None:
        """Read more.  Blocks until there is some."""
        ...

    @property
    def descriptor(self) -> int:
        """What to wait for before :meth:`fill`; -1: nothing."""
        ...

    @property
    def ended(self) -> bool:
        """There is no more."""
        ...

    def close(self) -> None:
        """Have done with it."""
        ...


class Arguments:
    """Items that were given on the command line."""

    descriptor = -1
    size_bytes = 0

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self.ended = False

    def next_item(self) -> Item | None:
        for item in self._items:
            return item
        self.ended = True
        return None

    def fill(self) -> None:
        """There is nothing to read."""

    def close(self) -> None:
        """There is nothing open."""


class Files:
    """Files one after the other, ``-`` is standard input; ``make`` makes an item of what a splitter gives.

    All are opened and looked at before anything is done: a name that is wrong is told at once.
    """

    def __init__(self, names: tuple[str, ...], format: Format, make: Callable[[Place, Piece], Item]) -> None:
        self._make = make
        self._format = format
        self._names = [_name(name) for name in names]
        self._fds: list[int] = []
        self.size_bytes = 0
        try:
            for name in names:
                self._fds.append(_open(name))
            sizes = [_size(fd) for fd in self._fds]
        except OSError as error:
            self.close()
            raise UsageError(f"{error.filename or names[len(self._fds)]}: {error.strerror}", field="file") from None
        self.size_bytes = 0 if 0 in sizes else sum(sizes)
        self._at = 0
        self._before = 0
        """Bytes of the files before this one."""
        self._read = 0
        self._splitter = Splitter(format)

    @property
    def ended(self) -> bool:
        return self._at == len(self._fds)

    @property
    def descriptor(self) -> int:
        fd = self._fds[self._at]
        return -1 if stat.S_ISREG(os.fstat(fd).st_mode) else fd

    def next_item(self) -> Item | None:
        if self.ended:
            return None
        piece = self._splitter.next_piece()
        if piece is None:
            return None
        return self._make(Place(self._names[self._at], piece.line, self._before + piece.end), piece)

    def fill(self) -> None:
        try:
            data = os.read(self._fds[self._at], _READ_BYTES)
        except OSError as error:
            raise UsageError(f"{self._names[self._at]}: {error.strerror}", field="file") from None
        self._read += len(data)
        if data:
            self._splitter.feed(data)
        elif not self._ends:
            self._splitter.end()
            self._ends = True
        else:
            self._next_file()

    _ends = False

    def _next_file(self) -> None:
        """This one has given all it has."""
        os.close(self._fds[self._at])
        self._fds[self._at] = -1
        self._at += 1
        self._before += self._read
        self._read = 0
        self._ends = False
        self._splitter = Splitter(self._format)

    def close(self) -> None:
        for fd in self._fds:
            if fd > 0:
                os.close(fd)
        self._fds = []
        self._at = 0


def _name(name: str) -> str:
    return "<stdin>" if name == "-" else name


def _open(name: str) -> int:
    if name == "-":
        return os.dup(sys.stdin.fileno())
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise IsADirectoryError(21, "is a directory", name)
    return fd


def _size(fd: int) -> int:
    """Bytes from where it is read; 0: that cannot be said."""
    found = os.fstat(fd)
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def record_item(place: Place, piece: Piece) -> Item:
    """A record to be stored."""
    return Item(place, piece.body, piece.error)


def argument_item(name: str, resolve: Callable[[str], str]) -> Item:
    """A record that was named on the command line; one that ``resolve`` does not find fails by itself."""
    place = Place(name, 0, 0)
    try:
        return Item(place, resolve(name))
    except (NotFound, UsageError) as error:
        return Item(place, "", error)


def cid_item(place: Place, piece: Piece) -> Item:
    """A CID on a line, or what ``push`` and ``lookup`` print of one."""
    if piece.error is not None:
        return Item(place, "", piece.error)
    text = str(piece.body, "utf-8", "replace")
    if not text.startswith("{"):
        return Item(place, text)
    import json

    try:
        cid = json.loads(text).get("cid")
    except (ValueError, RecursionError):
        cid = None
    if not isinstance(cid, str):
        return Item(place, "", UsageError("cid: neither a CID nor a JSON object that has one", field="cid"))
    return Item(place, cid)
