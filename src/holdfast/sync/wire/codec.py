"""Messages to bytes and back, in either dialect; docs/explanation/group-sync.md says where they come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ...errors import LimitExceeded, ProtocolError
from ...limits import LIMITS
from ..model import Dialect, HistoryEntry, Message
from .causal import CausalReader
from .entries import entry_bytes, too_long, too_many
from .layout import BLOOM, CAUSAL, CHANNEL, CONTENT, ID, LAMPORT, LAYOUTS, NAMES, REPAIRS, SENDER
from .protobuf import read_varint, skip, tag, varint

_NOT_KEPT = frozenset({BLOOM, REPAIRS})
_FIELDS_BESIDES = 64
"""A message may have as many requests, or fields of later versions, as entries; and so many other fields."""
_CACHED_TEXT_BYTES_MAX = 256
_CACHED_TEXTS_MAX = 1_024
"""Senders and channels known by their bytes."""
_CACHED_PACKETS_BYTES_MAX = 512 * 1024
"""Packets known by their bytes: what the network doubles, what is sent again and answers come just as before."""
_CACHED_PACKET_BYTES_MAX = 4_096
_CACHED_PACKET_MORE_BYTES = 1_024
"""About what a packet takes in memory beyond its own bytes."""

_new = tuple.__new__  # a NamedTuple's own constructor costs three times as much


class Decoded(NamedTuple):
    """A message, and its bytes as they are kept for rebroadcasts: without filter and repair requests."""

    message: Message
    kept: bytes


class Wire:
    """One dialect.  Keeps nothing but bounded caches: of packets, of history entries, of the last causal history.

    Participants of one process may share one.
    """

    __slots__ = (
        "_causal",
        "_known",
        "_packets",
        "_packets_bytes",
        "_slots",
        "_tags",
        "_texts",
        "dialect",
        "layout",
    )

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.layout = layout = LAYOUTS[dialect]
        self._tags = tuple(tag(number, 0 if slot == LAMPORT else 2) for slot, number in enumerate(layout.numbers))
        self._slots = {read_varint(key, 0)[0]: slot for slot, key in enumerate(self._tags)}
        self._known = {number: NAMES[slot] for slot, number in enumerate(layout.numbers)}
        self._causal = CausalReader(dialect, self._tags[CAUSAL][0])
        self._texts: dict[bytes | None, str] = {}
        self._packets: dict[bytes, Decoded] = {}
        self._packets_bytes = 0

    # to bytes

    def reference(self, entry: HistoryEntry) -> bytes:
        """``entry`` as a field of a message's causal history.  Others will refer to the message by the same bytes."""
        data = entry_bytes(entry)
        self._causal.remember(data, entry)
        return self._tags[CAUSAL] + varint(len(data)) + data

    def frame(
        self, message_id: bytes, channel: bytes, sender: bytes, lamport: int | None, causal: bytes, content: bytes
    ) -> tuple[bytes, bytes, bytes]:
        """A message in three parts: the filter goes between the first two, repair requests between the last two.

        ``causal`` is :meth:`reference` of each entry, joined.  Together the parts are what is kept of the message.
        """
        tags = self._tags
        id_field = tags[ID] + varint(len(message_id)) + message_id
        channel_field = tags[CHANNEL] + varint(len(channel)) + channel
        sender_field = tags[SENDER] + varint(len(sender)) + sender if sender else b""
        clock = b"" if lamport is None else tags[LAMPORT] + varint(lamport)
        if self.dialect == "spec":
            body = tags[CONTENT] + varint(len(content)) + content if content else b""
            return b"".join((sender_field, id_field, channel_field, clock, causal)), b"", body
        body = tags[CONTENT] + varint(len(content)) + content
        return b"".join((id_field, clock, causal, channel_field, body)), sender_field, b""

    def bloom_field(self, filter_bytes: bytes) -> bytes:
        """The filter as a field of a message."""
        return self._tags[BLOOM] + self._sized(filter_bytes)

    def repair_fields(self, entries: Iterable[HistoryEntry]) -> bytes:
        """Repair requests as fields of a message."""
        return b"".join([self._tags[REPAIRS] + self._sized(entry_bytes(entry)) for entry in entries])

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
        slots, reader = self._slots, self._causal
        position, end = 0, len(data)
        left = LIMITS.group_entries_max + _FIELDS_BESIDES
        while position < end:
            left -= 1
            if left < 0:
                raise too_many(LIMITS.group_entries_max + 1)
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
            if slot == LAMPORT:
                lamport, position = read_varint(data, position)
                continue
            if slot == CAUSAL:
                position = reader.read(data, start, causal)
                continue
            size = data[position]
            position += 1
            if size > 127:
                size, position = read_varint(data, position - 1)
            stop = position + size
            if stop > end:
                raise ProtocolError(f"{NAMES[slot]} is cut", "truncated", start)
            value = data[position:stop]
            position = stop
            if slot == REPAIRS:
                repairs.append(reader.known.get(value) or reader.entry(value, start))
            else:
                values[slot] = value
            if slot in _NOT_KEPT:
                cuts.append((start, stop))
        message = self._message(values, lamport, causal, repairs, b"".join(unknown))
        return _new(Decoded, (message, _without(data, cuts) if cuts else data))

    def _message(
        self,
        values: list[bytes | None],
        lamport: int | None,
        causal: list[HistoryEntry],
        repairs: list[HistoryEntry],
        unknown: bytes,
    ) -> Message:
        if len(repairs) > LIMITS.group_entries_max:
            raise too_many(len(repairs))
        content, texts = values[CONTENT], self._texts
        if lamport is None and (self.layout.lamport_required or not content):
            raise ProtocolError("no lamport_timestamp", "malformed", 0)
        if content is None and self.layout.lamport_required:
            raise ProtocolError("no content", "malformed", 0)
        if content and len(content) > LIMITS.group_content_bytes_max:
            limit = LIMITS.group_content_bytes_max
            raise LimitExceeded(name="group_content_bytes_max", limit=limit, value=len(content))
        return Message(
            _text(values, ID),
            texts.get(values[CHANNEL]) or self._known_text(values, CHANNEL),
            lamport,
            content or b"",
            texts.get(values[SENDER]) or self._known_text(values, SENDER),
            tuple(causal),
            values[BLOOM] or b"",
            tuple(repairs),
            unknown,
        )

    def _known_text(self, values: list[bytes | None], slot: int) -> str:
        """The text of a field that is the same in many messages."""
        text = _text(values, slot, required=slot != SENDER)
        value = values[slot]
        if value is not None and len(value) <= _CACHED_TEXT_BYTES_MAX:
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


def _text(values: list[bytes | None], slot: int, *, required: bool = True) -> str:
    value = values[slot]
    if not value:
        if required:
            raise ProtocolError(f"no {NAMES[slot]}", "malformed", 0)
        return ""
    if len(value) > LIMITS.group_id_bytes_max:
        raise too_long(NAMES[slot], "group_id_bytes_max", LIMITS.group_id_bytes_max, len(value))
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ProtocolError(f"{NAMES[slot]}: no UTF-8", "malformed", 0) from None


def _without(data: bytes, cuts: list[tuple[int, int]]) -> bytes:
    pieces = []
    position = 0
    for start, stop in cuts:
        pieces.append(data[position:start])
        position = stop
    pieces.append(data[position:])
    return b"".join(pieces)
