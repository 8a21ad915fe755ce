"""JSON, or JSON lines, cut into records as it comes; which of the two it is shows by itself."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from ...errors import HoldfastError, LimitExceeded, UsageError
from ...limits import LIMITS


class Piece(NamedTuple):
    """One record of a source, or what stands in its place."""

    line: int
    """Where it begins, from 1."""
    end: int
    """Bytes of the source up to its end."""
    body: bytes
    error: HoldfastError | None = None


class Format(Enum):
    """What a source holds."""

    AUTO = "auto"
    """Not known yet."""
    LINES = "lines"
    """A record on each line."""
    JSON = "json"
    """One document: a record, or an array of them."""


class Splitter:
    """Feed it what is read of one source, ask for pieces, say when it ends.

    With ``AUTO``, a first line that is a whole JSON value other than an array, or no beginning of one, makes it lines;
    otherwise it is one document, as long as it is not above ``record_item_bytes_max`` and turns out to be JSON.
    """

    def __init__(self, format: Format = Format.AUTO) -> None:
        self.format = format
        self._forced = format is Format.JSON
        self._data = bytearray()
        self._start = 0
        self._scanned = 0
        self._line = 0
        self._taken = 0
        """Bytes of the source before :attr:`_data`."""
        self._skipping = False
        self._ended = False
        self._first = True
        self._begun = False
        """The first line was looked at, and may begin a document."""
        self._document: list[Piece] = []

    def feed(self, data: bytes) -> None:
        """More of the source."""
        if self._start:
            del self._data[: self._start]
            self._taken += self._start
            self._scanned -= self._start
            self._start = 0
        self._data += data
        if self._first:
            self._drop_mark()

    def _drop_mark(self) -> None:
        """The byte order mark that some programs begin with is no part of a record; it may come in pieces."""
        if len(self._data) < len(BOM_UTF8) and BOM_UTF8.startswith(self._data) and not self._ended:
            return
        self._first = False
        if self._data.startswith(BOM_UTF8):
            del self._data[: len(BOM_UTF8)]
            self._taken += len(BOM_UTF8)

    def end(self) -> None:
        """The source has ended."""
        self._ended = True
        if self._first:
            self._drop_mark()

    def __iter__(self) -> Iterator[Piece]:
        while (piece := self.next_piece()) is not None:
            yield piece

    def next_piece(self) -> Piece | None:
        """The next record; None until more was fed, or at the end."""
        if self._first:
            return None
        if self.format is Format.AUTO:
            self._decide()
        if self.format is Format.LINES:
            return self._next_line()
        if self.format is Format.JSON:
            self._read_document()
            return self._document.pop() if self._document else None
        return None

    # which it is

    def _decide(self) -> None:
        """Look at the first line that is not blank, and at all of it if that begins a document."""
        size = len(self._data)
        if not self._begun:
            line, newline, _ = bytes(self._data).lstrip().partition(b"\n")
            if not newline and not self._ended and size <= LIMITS.record_item_bytes_max:
                return
            self._begun = True
            if not line or not _may_begin_document(line):
                self.format = Format.LINES
                return
        if size > LIMITS.record_item_bytes_max:
            self.format = Format.LINES
        elif self._ended:
            self.format = Format.LINES if _parsed(bytes(self._data)) is None else Format.JSON

    def _read_document(self) -> None:
        limit = LIMITS.record_item_bytes_max
        if len(self._data) - self._start > limit and self._forced:
            size = len(self._data)
            self._start = len(self._data)
            self._forced = False
            self._document = [Piece(1, size, b"", _too_large(size))]
            return
        if not self._ended or len(self._data) == self._start:
            return
        text = bytes(self._data[self._start :])
        end = self._taken + len(self._data)
        line = 1 + text[: len(text) - len(text.lstrip())].count(b"\n")
        self._start = len(self._data)
        value = _parsed(text)
        if isinstance(value, list):
            self._document = [_element(item, line, end) for item in reversed(value)]
        elif text.strip():
            self._document = [Piece(line, end, text.strip())]

    # lines

    def _next_line(self) -> Piece | None:
        data, limit = self._data, LIMITS.record_item_bytes_max
        while True:
            at = data.find(b"\n", max(self._start, self._scanned))
            if at < 0:
                self._scanned = len(data)
                if len(data) - self._start > limit:
                    return self._skip_rest()
                if not self._ended:
                    return None
                at = len(data)
                if self._start >= at:
                    return None
            line = bytes(data[self._start : at])
            self._start = min(at + 1, len(data))
            piece = self._finished_line(line)
            if piece is not None:
                return piece

    def _finished_line(self, line: bytes) -> Piece | None:
        if self._skipping:
            self._skipping = False
            return None
        self._line += 1
        end = self._taken + self._start
        if len(line) > LIMITS.record_item_bytes_max:
            return Piece(self._line, end, b"", _too_large(len(line)))
        text = line.strip()
        return Piece(self._line, end, text) if text else None

    def _skip_rest(self) -> Piece | None:
        """The line is too long already: let go of it, and of the rest as that comes."""
        size = len(self._data) - self._start
        self._start = self._scanned = len(self._data)
        if self._skipping:
            return None
        self._skipping = True
        self._line += 1
        return Piece(self._line, self._taken + self._start, b"", _too_large(size))


def _too_large(size: int) -> LimitExceeded:
    limit = LIMITS.record_item_bytes_max
    return LimitExceeded(name="record_item_bytes_max", limit=limit, value=size)


def _may_begin_document(line: bytes) -> bool:
    """Whether the line is an array, or is cut off where more could follow."""
    try:
        return isinstance(json.loads(line), list)
    except json.JSONDecodeError as error:
        return error.pos >= len(error.doc.rstrip())
    except (ValueError, RecursionError):
        return False


def _parsed(text: bytes) -> object:
    """The document, if it is an object or an array."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _element(value: object, line: int, end: int) -> Piece:
    if not isinstance(value, dict):
        return Piece(line, end, b"", UsageError(f"record: a JSON object was expected, found {value!r:.60}", "record"))
    return Piece(line, end, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
