"""Reading causal histories, most of which were read before: entries are known by their bytes, as is the last run."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from ...errors import ProtocolError
from ...limits import LIMITS
from ..model import Dialect, HistoryEntry
from .entries import read_entry, too_many
from .protobuf import read_varint

_RUN_MIN = 16
"""Shorter causal histories are read faster than they are looked for."""
_RUN_BYTES_MIN = 256
"""And so is what is left of a message, if it is no more than that."""
_CACHED_ENTRIES_MAX = 8_192
"""History entries known by their bytes: the same ones come again and again.  Reaching it only costs time."""
_CACHED_ENTRY_BYTES_MAX = 256


class _Run(NamedTuple):
    """The causal history of one message: the next one's usually begins somewhere within it."""

    data: bytes
    entries: list[HistoryEntry]
    starts: list[int]
    """Where each entry begins in ``data``, plus ``base``: so the list can be cut without being counted anew."""
    base: int


class CausalReader:
    """Reads the causal histories of one dialect, whose field begins with the byte ``key``."""

    __slots__ = ("_dialect", "_key", "_run", "known")

    def __init__(self, dialect: Dialect, key: int) -> None:
        self._dialect = dialect
        self._key = key
        self._run = _Run(b"", [], [], 0)
        self.known: dict[bytes, HistoryEntry] = {}
        """Entries by their bytes.  What is not there, :meth:`entry` reads."""

    def remember(self, value: bytes, entry: HistoryEntry) -> None:
        """``value`` is how ``entry`` comes."""
        if len(value) <= _CACHED_ENTRY_BYTES_MAX:
            if len(self.known) >= _CACHED_ENTRIES_MAX:
                self.known.clear()
            self.known[value] = entry

    def entry(self, value: bytes, offset: int) -> HistoryEntry:
        """The entry in ``value``, which is at ``offset``.  ProtocolError, LimitExceeded."""
        try:
            entry = read_entry(value, offset)
        except ProtocolError:
            # Older senders of this dialect put bare ids there.
            if self._dialect != "nim" or not 0 < len(value) <= LIMITS.group_id_bytes_max:
                raise
            try:
                entry = HistoryEntry(value.decode())
            except UnicodeDecodeError:
                raise ProtocolError("causal_history: neither entry nor id", "malformed", offset) from None
        self.remember(value, entry)
        return entry

    def read(self, data: bytes, start: int, causal: list[HistoryEntry]) -> int:
        """Read into ``causal`` the entries that follow each other in ``data`` from ``start`` on; where they end.

        ProtocolError, LimitExceeded.
        """
        if len(data) - start <= _RUN_BYTES_MIN:
            return self._read_few(data, start, causal)
        entries, starts, base, position = self._known_part(data, start)
        key, cache, end, shift = self._key, self.known, len(data), base - start
        for _ in range(LIMITS.group_entries_max + 1 - len(entries) - len(causal)):
            if position >= end or data[position] != key:
                break
            begin = position
            size = data[position + 1]
            position += 2
            if size > 127:
                size, position = read_varint(data, position - 1)
            stop = position + size
            if stop > end:
                raise ProtocolError("causal_history is cut", "truncated", begin)
            value = data[position:stop]
            entries.append(cache.get(value) or self.entry(value, begin))
            starts.append(begin + shift)
            position = stop
        else:
            raise too_many(LIMITS.group_entries_max + 1)
        if position == start:
            raise ProtocolError("a key in more bytes than it needs", "malformed", start)
        if len(entries) >= _RUN_MIN:
            self._run = _Run(data[start:position], entries, starts, base)
        causal += entries
        return position

    def _read_few(self, data: bytes, start: int, causal: list[HistoryEntry]) -> int:
        key, cache, end, position = self._key, self.known, len(data), start
        while position < end and data[position] == key:
            begin = position
            size = data[position + 1]
            position += 2
            if size > 127:
                size, position = read_varint(data, position - 1)
            stop = position + size
            if stop > end:
                raise ProtocolError("causal_history is cut", "truncated", begin)
            value = data[position:stop]
            causal.append(cache.get(value) or self.entry(value, begin))
            position = stop
        if position == start:
            raise ProtocolError("a key in more bytes than it needs", "malformed", start)
        if len(causal) > LIMITS.group_entries_max:
            raise too_many(len(causal))
        return position

    def _known_part(self, data: bytes, start: int) -> tuple[list[HistoryEntry], list[int], int, int]:
        """What the run at ``start`` has in common with the last one: all of that from one of its entries on, or none.

        Entries, where they begin, on what base, and where the rest of the run begins.
        """
        last = self._run
        size = data[start + 1]
        if last.data and size < 128:
            at = last.data.find(data[start : start + 2 + size])
            index = bisect_left(last.starts, last.base + at)
            if at >= 0 and index < len(last.starts) and last.starts[index] == last.base + at:
                common = len(last.data) - at
                if data[start : start + common] == last.data[at:]:
                    return last.entries[index:], last.starts[index:], last.base + at, start + common
        return [], [], 0, start
