"""Messages to bytes and back, in either dialect; docs/explanation/group-sync.md says where they come from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, NamedTuple

from ...errors import LimitExceeded, ProtocolError
from ...limits import LIMITS
from ..model import Dialect, HistoryEntry, Message
from .protobuf import bytes_field, fields, number_field, read_varint, skip, tag, text_field, varint

_SENDER, _ID, _CHANNEL, _LAMPORT, _CAUSAL, _BLOOM, _REPAIRS, _CONTENT = range(8)
_NAMES = (
    "sender_id",
    "message_id",
    "channel_id",
    "lamport_timestamp",
    "causal_history",
    "bloom_filter",
    "repair_request",
    "content",
)
_RUN_MIN = 16
"""Shorter causal histories are read faster than they are looked for."""
_RUN_BYTES_MIN = 256
"""And so is what is left of a message, if it is no more than that."""
_NOT_KEPT = frozenset({_BLOOM, _REPAIRS})
_FIELDS_BESIDES = 64
"""A message may have as many requests, or fields of later versions, as entries; and so many other fields."""
_ENTRY_FIELDS_MAX = 64
"""It has three; others are of later versions."""
_CACHED_ENTRIES_MAX = 8_192
"""History entries known by their bytes: the same ones come again and again.  Reaching it only costs time."""
_CACHED_ENTRY_BYTES_MAX = 256
_CACHED_TEXTS_MAX = 1_024
"""Senders and channels known by their bytes."""
_CACHED_PACKETS_BYTES_MAX = 512 * 1024
"""Packets known by their bytes: what the network doubles, what is sent again and answers come just as before."""
_CACHED_PACKET_BYTES_MAX = 4_096
_CACHED_PACKET_MORE_BYTES = 1_024
"""About what a packet takes in memory beyond its own bytes."""

_new = tuple.__new__  # a NamedTuple's own constructor costs three times as much


class Layout(NamedTuple):
    """Which number each field has in a dialect, and the order in which it is written."""

    dialect: Dialect
    numbers: tuple[int, ...]
    """In the order of the constants above."""
    lamport_required: bool


SPEC: Final = Layout("spec", (1, 2, 3, 10, 11, 12, 13, 20), lamport_required=False)
NIM: Final = Layout("nim", (7, 1, 4, 2, 3, 6, 13, 5), lamport_required=True)
_LAYOUTS = {"spec": SPEC, "nim": NIM}


class Decoded(NamedTuple):
    """A message, and its bytes as they are kept for rebroadcasts: without filter and repair requests."""

    message: Message
    kept: bytes


class _Run(NamedTuple):
    """The causal history of one message: the next one's usually begins somewhere within it."""

    data: bytes
    entries: list[HistoryEntry]
    starts: list[int]
    """Where each entry begins in ``data``, plus ``base``: so the list can be cut without being counted anew."""
    base: int


class Wire:
    """One dialect.  Keeps nothing but bounded caches: of packets, of history entries, of the last causal history.

    Participants of one process may share one.
    """

    __slots__ = (
        "_cache",
        "_causal_key",
        "_known",
        "_packets",
        "_packets_bytes",
        "_run",
        "_slots",
        "_tags",
        "_texts",
        "dialect",
        "layout",
    )

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.layout = layout = _LAYOUTS[dialect]
        self._tags = tuple(tag(number, 0 if slot == _LAMPORT else 2) for slot, number in enumerate(layout.numbers))
        self._slots = {read_varint(key, 0)[0]: slot for slot, key in enumerate(self._tags)}
        self._known = {number: _NAMES[slot] for slot, number in enumerate(layout.numbers)}
        self._causal_key = self._tags[_CAUSAL][0]
        self._cache: dict[bytes, HistoryEntry] = {}
        self._texts: dict[bytes | None, str] = {}
        self._packets: dict[bytes, Decoded] = {}
        self._packets_bytes = 0
        self._run = _Run(b"", [], [], 0)

    # to bytes

    def reference(self, entry: HistoryEntry) -> bytes:
        """``entry`` as a field of a message's causal history.  Others will refer to the message by the same bytes."""
        data = _entry_bytes(entry)
        self._remember(data, entry)
        return self._tags[_CAUSAL] + varint(len(data)) + data

    def frame(
        self, message_id: bytes, channel: bytes, sender: bytes, lamport: int | None, causal: bytes, content: bytes
    ) -> tuple[bytes, bytes, bytes]:
        """A message in three parts: the filter goes between the first two, repair requests between the last two.

        ``causal`` is :meth:`reference` of each entry, joined.  Together the parts are what is kept of the message.
        """
        tags = self._tags
        id_field = tags[_ID] + varint(len(message_id)) + message_id
        channel_field = tags[_CHANNEL] + varint(len(channel)) + channel
        sender_field = tags[_SENDER] + varint(len(sender)) + sender if sender else b""
        clock = b"" if lamport is None else tags[_LAMPORT] + varint(lamport)
        if self.dialect == "spec":
            body = tags[_CONTENT] + varint(len(content)) + content if content else b""
            return b"".join((sender_field, id_field, channel_field, clock, causal)), b"", body
        body = tags[_CONTENT] + varint(len(content)) + content
        return b"".join((id_field, clock, causal, channel_field, body)), sender_field, b""

    def bloom_field(self, filter_bytes: bytes) -> bytes:
        """The filter as a field of a message."""
        return self._tags[_BLOOM] + self._sized(filter_bytes)

    def repair_fields(self, entries: Iterable[HistoryEntry]) -> bytes:
        """Repair requests as fields of a message."""
        return b"".join([self._tags[_REPAIRS] + self._sized(_entry_bytes(entry)) for entry in entries])

    def encode(self, message: Message) -> bytes:
        """The whole message; the unknown fields last."""
        head, middle, tail = self.frame(
            message.message_id.encode(),
            message.channel.encode(),
            message.sender_id.encode(),
            message.lamport,
            b"".join([self.reference(entry) for entry in message.causal]),
            message.content,
        )
        bloom = self.bloom_field(message.bloom) if message.bloom else b""
        return b"".join((head, bloom, middle, self.repair_fields(message.repairs), tail, message.unknown))

    @staticmethod
    def _sized(data: bytes) -> bytes:
        return varint(len(data)) + data

    # from bytes

    def decode(self, data: bytes) -> Decoded:
        """The message in ``data``.

        ProtocolError(reason, offset) if it is none of this dialect; LimitExceeded for what is larger than its limit.
        """
        size, packets = len(data), self._packets
        if size <= _CACHED_PACKET_BYTES_MAX:
            known = packets.get(data)
            if known is not None:
                return known
        elif size > LIMITS.group_wire_bytes_max:
            raise LimitExceeded(name="group_wire_bytes_max", limit=LIMITS.group_wire_bytes_max, value=size)
        try:
            decoded = self._decode(data)
        except IndexError:
            raise ProtocolError("a field is cut", "truncated", size) from None
        if size <= _CACHED_PACKET_BYTES_MAX:
            self._packets_bytes += size + _CACHED_PACKET_MORE_BYTES
            if self._packets_bytes > _CACHED_PACKETS_BYTES_MAX:
                packets.clear()
                self._packets_bytes = 0
            packets[data] = decoded
        return decoded

    def _decode(self, data: bytes) -> Decoded:
        values: list[bytes | None] = [None] * 8
        lamport: int | None = None
        causal: list[HistoryEntry] = []
        repairs: list[HistoryEntry] = []
        unknown: list[bytes] = []
        cuts: list[tuple[int, int]] = []
        slots, cache = self._slots, self._cache
        position, end = 0, len(data)
        left = LIMITS.group_entries_max + _FIELDS_BESIDES
        while position < end:
            left -= 1
            if left < 0:
                raise _too_many(LIMITS.group_entries_max + 1)
            start = position
            key = data[position]
            position += 1
            if key > 127:
                key, position = read_varint(data, start)
            slot = slots.get(key)
            if slot is None:
                position = self._skip_unknown(data, key, position, start)
                unknown.append(data[start:position])
                continue
            if slot == _LAMPORT:
                lamport, position = read_varint(data, position)
                continue
            if slot == _CAUSAL:
                position = self._read_run(data, start, causal)
                continue
            size = data[position]
            position += 1
            if size > 127:
                size, position = read_varint(data, position - 1)
            stop = position + size
            if stop > end:
                raise ProtocolError(f"{_NAMES[slot]} is cut", "truncated", start)
            value = data[position:stop]
            position = stop
            if slot == _REPAIRS:
                repairs.append(cache.get(value) or self._entry(value, start))
            else:
                values[slot] = value
            if slot in _NOT_KEPT:
                cuts.append((start, stop))
        message = self._message(values, lamport, causal, repairs, b"".join(unknown))
        return _new(Decoded, (message, _without(data, cuts) if cuts else data))

    def _read_run(self, data: bytes, start: int, causal: list[HistoryEntry]) -> int:
        """Read the history entries that follow each other from ``start`` on; where they end."""
        if len(data) - start <= _RUN_BYTES_MIN:
            return self._read_few(data, start, causal)
        entries, starts, base, position = self._known_part(data, start)
        key, cache, end, shift = self._causal_key, self._cache, len(data), base - start
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
            entries.append(cache.get(value) or self._entry(value, begin))
            starts.append(begin + shift)
            position = stop
        else:
            raise _too_many(LIMITS.group_entries_max + 1)
        if position == start:
            raise ProtocolError("a key in more bytes than it needs", "malformed", start)
        if len(entries) >= _RUN_MIN:
            self._run = _Run(data[start:position], entries, starts, base)
        causal += entries
        return position

    def _read_few(self, data: bytes, start: int, causal: list[HistoryEntry]) -> int:
        key, cache, end, position = self._causal_key, self._cache, len(data), start
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
            causal.append(cache.get(value) or self._entry(value, begin))
            position = stop
        if position == start:
            raise ProtocolError("a key in more bytes than it needs", "malformed", start)
        if len(causal) > LIMITS.group_entries_max:
            raise _too_many(len(causal))
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

    def _message(
        self,
        values: list[bytes | None],
        lamport: int | None,
        causal: list[HistoryEntry],
        repairs: list[HistoryEntry],
        unknown: bytes,
    ) -> Message:
        if len(repairs) > LIMITS.group_entries_max:
            raise _too_many(len(repairs))
        content, texts = values[_CONTENT], self._texts
        if lamport is None and (self.layout.lamport_required or not content):
            raise ProtocolError("no lamport_timestamp", "malformed", 0)
        if content is None and self.layout.lamport_required:
            raise ProtocolError("no content", "malformed", 0)
        if content and len(content) > LIMITS.group_content_bytes_max:
            limit = LIMITS.group_content_bytes_max
            raise LimitExceeded(name="group_content_bytes_max", limit=limit, value=len(content))
        return Message(
            _text(values, _ID),
            texts.get(values[_CHANNEL]) or self._known_text(values, _CHANNEL),
            lamport,
            content or b"",
            texts.get(values[_SENDER]) or self._known_text(values, _SENDER),
            tuple(causal),
            values[_BLOOM] or b"",
            tuple(repairs),
            unknown,
        )

    def _known_text(self, values: list[bytes | None], slot: int) -> str:
        """The text of a field that is the same in many messages."""
        text = _text(values, slot, required=slot != _SENDER)
        value = values[slot]
        if value is not None and len(value) <= _CACHED_ENTRY_BYTES_MAX:
            if len(self._texts) >= _CACHED_TEXTS_MAX:
                self._texts.clear()
            self._texts[value] = text
        return text

    def _skip_unknown(self, data: bytes, key: int, position: int, start: int) -> int:
        field = key >> 3
        if field in self._known:
            raise ProtocolError(
                f"{self._known[field]}: of another type than in dialect {self.dialect}", "dialect", start
            )
        if not field:
            raise ProtocolError("field number 0", "malformed", start)
        return skip(data, position, key & 7, start)

    def _entry(self, value: bytes, offset: int) -> HistoryEntry:
        try:
            entry = _read_entry(value, offset)
        except ProtocolError:
            # Older senders of this dialect put bare ids there.
            if self.dialect != "nim" or not 0 < len(value) <= LIMITS.group_id_bytes_max:
                raise
            try:
                entry = HistoryEntry(value.decode())
            except UnicodeDecodeError:
                raise ProtocolError("causal_history: neither entry nor id", "malformed", offset) from None
        self._remember(value, entry)
        return entry

    def _remember(self, value: bytes, entry: HistoryEntry) -> None:
        if len(value) <= _CACHED_ENTRY_BYTES_MAX:
            if len(self._cache) >= _CACHED_ENTRIES_MAX:
                self._cache.clear()
            self._cache[value] = entry


def _text(values: list[bytes | None], slot: int, *, required: bool = True) -> str:
    value = values[slot]
    if not value:
        if required:
            raise ProtocolError(f"no {_NAMES[slot]}", "malformed", 0)
        return ""
    if len(value) > LIMITS.group_id_bytes_max:
        raise _too_long(_NAMES[slot], "group_id_bytes_max", LIMITS.group_id_bytes_max, len(value))
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ProtocolError(f"{_NAMES[slot]}: no UTF-8", "malformed", 0) from None


def _too_many(count: int) -> LimitExceeded:
    return LimitExceeded(name="group_entries_max", limit=LIMITS.group_entries_max, value=count)


def _too_long(what: str, name: str, limit: int, size: int) -> LimitExceeded:
    text = f"{what}: {size} bytes, over the limit {name} = {limit}"
    return LimitExceeded(text, name=name, limit=limit, value=size)


def _entry_bytes(entry: HistoryEntry) -> bytes:
    message_id, hint, sender = entry
    data = text_field(1, message_id)
    if hint:
        data += bytes_field(2, hint)
    return data + text_field(3, sender) if sender else data


def _read_entry(value: bytes, offset: int) -> HistoryEntry:
    parts: list[bytes] = [b"", b"", b"", b""]
    for count, (field, content, _, _) in enumerate(fields(value)):
        if count >= _ENTRY_FIELDS_MAX:
            raise ProtocolError(f"history entry: over {_ENTRY_FIELDS_MAX} fields", "malformed", offset)
        if field <= 3:
            if isinstance(content, int):
                raise ProtocolError("history entry: a number instead of bytes", "malformed", offset)
            parts[field] = content
    ids, hints = LIMITS.group_id_bytes_max, LIMITS.group_hint_bytes_max
    if max(len(parts[1]), len(parts[3])) > ids:
        raise _too_long("history entry", "group_id_bytes_max", ids, max(len(parts[1]), len(parts[3])))
    if len(parts[2]) > hints:
        raise _too_long("retrieval_hint", "group_hint_bytes_max", hints, len(parts[2]))
    if not parts[1]:
        raise ProtocolError("history entry: no message_id", "malformed", offset)
    try:
        return HistoryEntry(parts[1].decode(), parts[2], parts[3].decode())
    except UnicodeDecodeError:
        raise ProtocolError("history entry: no UTF-8", "malformed", offset) from None


def _without(data: bytes, cuts: list[tuple[int, int]]) -> bytes:
    pieces = []
    position = 0
    for start, stop in cuts:
        pieces.append(data[position:start])
        position = stop
    pieces.append(data[position:])
    return b"".join(pieces)


def entry_bytes(entry: HistoryEntry) -> bytes:
    """A history entry by itself, as snapshots hold it."""
    return _entry_bytes(entry)


def read_entry(data: bytes) -> HistoryEntry:
    """:func:`entry_bytes` backwards.  ProtocolError, LimitExceeded."""
    return _read_entry(data, 0)


def nim_filter(words: bytes, capacity: int, error_rate: float, hashes: int, bits: int) -> bytes:
    """The filter of dialect ``nim``: its words, little-endian, with its parameters."""
    return b"".join(
        (
            bytes_field(1, words),
            number_field(2, capacity),
            number_field(3, round(error_rate * 1_000_000)),
            number_field(4, hashes),
            number_field(5, bits),
        )
    )
