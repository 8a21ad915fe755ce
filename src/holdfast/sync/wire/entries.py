"""How a message is referred to on the wire: a history entry's bytes, the same in both dialects."""

from __future__ import annotations

from ...errors import LimitExceeded, ProtocolError
from ...limits import LIMITS
from ..model import HistoryEntry
from .protobuf import bytes_field, fields, text_field

_ENTRY_FIELDS_MAX = 64
"""It has three; others are of later versions."""


def entry_bytes(entry: HistoryEntry) -> bytes:
    """A history entry by itself, as messages and snapshots hold it."""
    message_id, hint, sender = entry
    data = text_field(1, message_id)
    if hint:
        data += bytes_field(2, hint)
    return data + text_field(3, sender) if sender else data


def read_entry(value: bytes, offset: int = 0) -> HistoryEntry:
    """:func:`entry_bytes` backwards; ``offset``: where it stands, for whoever is told of an error.

    ProtocolError, LimitExceeded.
    """
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
        raise too_long("history entry", "group_id_bytes_max", ids, max(len(parts[1]), len(parts[3])))
    if len(parts[2]) > hints:
        raise too_long("retrieval_hint", "group_hint_bytes_max", hints, len(parts[2]))
    if not parts[1]:
        raise ProtocolError("history entry: no message_id", "malformed", offset)
    try:
        return HistoryEntry(parts[1].decode(), parts[2], parts[3].decode())
    except UnicodeDecodeError:
        raise ProtocolError("history entry: no UTF-8", "malformed", offset) from None


def too_many(count: int) -> LimitExceeded:
    """A message holds more history entries or requests than it may."""
    return LimitExceeded(name="group_entries_max", limit=LIMITS.group_entries_max, value=count)


def too_long(what: str, name: str, limit: int, size: int) -> LimitExceeded:
    """``what`` has more bytes than the limit ``name``."""
    text = f"{what}: {size} bytes, over the limit {name} = {limit}"
    return LimitExceeded(text, name=name, limit=limit, value=size)
