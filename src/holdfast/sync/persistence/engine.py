"""State kept in an engine: one log for the history, one key for the snapshot.

The key's value is what counts: it names the part of the log that belongs to it.  A commit appends to the log first and
then puts the key, so whatever cuts it off in between leaves entries that the key does not name: they are void, and the
channel stands as it was before.  So both change in one step, on every engine.
"""

from __future__ import annotations

from collections import deque
from hashlib import sha256
from typing import Final

from ...engine.base import Engine, Entry
from ...errors import AlreadyExists, CorruptionError, Gone, HoldfastError, NotFound, ProtocolError
from ..wire.protobuf import blob, bytes_field, fields, number, number_field, text, text_field
from .base import ChannelData, HistoryUpdate, Outcome, StoredMessage
from .snapshot import seal, unseal

_VERSION: Final = 1
_FIRST: Final = 1
"""The first position of a log of entries."""
_TRIM_AT: Final = 256
"""Entries at the start of a log that must be done with before it is trimmed: trimming costs a commit."""


class _Stored:
    """What we know of a channel's log and key."""

    __slots__ = ("meta", "order", "positions", "start", "tail", "void")

    def __init__(self) -> None:
        self.meta = b""
        self.start = _FIRST
        """Where reading begins."""
        self.tail = _FIRST
        """Where what the key names ends."""
        self.void: list[tuple[int, int]] = []
        """Ranges of the log that belong to commits that never came to their end."""
        self.positions: dict[str, int] = {}
        """Where in the log each message of the history is."""
        self.order: deque[tuple[int, str]] = deque()
        """The same, in the order of the log; what is no longer so stays until it comes first."""

    def copy(self) -> _Stored:
        other = _Stored()
        other.meta, other.start, other.tail, other.void = self.meta, self.start, self.tail, list(self.void)
        return other

    def encode(self) -> bytes:
        body = [number_field(1, _VERSION), number_field(2, self.start), number_field(3, self.tail)]
        body += [bytes_field(4, number_field(1, low) + number_field(2, high)) for low, high in self.void]
        return seal(b"".join((*body, bytes_field(5, self.meta))))


class EnginePersistence:
    """Keeps channels in ``engine``, durable on return; ``space`` keeps participants of one engine apart.

    One object at a time may use a space.  The names of channels are hashed: they may be anything.  A snapshot that is
    larger than ``value_bytes_max`` cannot be stored; the error says so, and a later, smaller one can.
    """

    def __init__(self, engine: Engine, space: str = "default") -> None:
        self._engine = engine
        self._space = space
        self._stored: dict[str, _Stored] = {}

    def _name(self, channel: str) -> str:
        return f"sync/{self._space}/{sha256(channel.encode()).hexdigest()}"

    # the five operations

    async def save_channel_meta(self, channel: str, meta: bytes) -> Outcome:
        return await self.commit(channel, meta, None)

    async def update_history(self, channel: str, update: HistoryUpdate) -> Outcome:
        return await self.commit(channel, None, update)

    async def commit(self, channel: str, meta: bytes | None, update: HistoryUpdate | None) -> Outcome:
        """Snapshot and history in one step."""
        try:
            stored = await self._open(channel)
            entries = [] if update is None else _entries(update)
            await self._put(channel, stored, entries, stored.meta if meta is None else meta)
        except HoldfastError as error:
            return str(error)
        if update is not None:
            await self._trim(channel, stored)
        return None

    async def load_channel(self, channel: str) -> ChannelData | str:
        self._stored.pop(channel, None)
        try:
            stored, messages = await self._read(channel)
        except HoldfastError as error:
            return str(error)
        self._stored[channel] = stored
        return ChannelData(stored.meta, tuple(messages.values()))

    async def drop_channel(self, channel: str) -> Outcome:
        """The key goes first: without it the log is void, whatever becomes of it."""
        name = self._name(channel)
        self._stored.pop(channel, None)
        try:
            await self._engine.kv.delete(name)
            await self._engine.log.delete(name)
        except NotFound:
            return None
        except HoldfastError as error:
            return str(error)
        return None

    async def set_retrieval_hint(self, message_id: str, hint: bytes) -> Outcome:
        for channel, stored in self._stored.items():
            if message_id in stored.positions:
                entry = seal(bytes_field(5, text_field(1, message_id) + bytes_field(2, hint)))
                try:
                    await self._put(channel, stored, [entry], stored.meta)
                except HoldfastError as error:
                    return str(error)
        return None

    # writing

    async def _open(self, channel: str) -> _Stored:
        if channel not in self._stored:
            self._stored[channel] = (await self._read(channel))[0]
        return self._stored[channel]

    async def _put(self, channel: str, stored: _Stored, entries: list[bytes], meta: bytes) -> None:
        """Append, then put the key; ``stored`` changes when both are done, so a failure leaves it as it was."""
        name = self._name(channel)
        after = stored.copy()
        after.meta = meta
        start = after.tail
        if entries:
            tail = await self._append(name, entries)
            start = tail - len(entries)
            if start > after.tail:
                after.void.append((after.tail, start))
            after.tail = tail
        await self._engine.kv.put(name, after.encode())
        stored.meta, stored.tail, stored.void = after.meta, after.tail, after.void
        for position, data in enumerate(entries, start):
            _apply(stored, position, data, {})

    async def _append(self, name: str, entries: list[bytes]) -> int:
        try:
            return await self._engine.log.append(name, entries)
        except NotFound:
            try:
                await self._engine.log.create(name, mode="entries")
            except AlreadyExists:
                pass
            return await self._engine.log.append(name, entries)

    async def _trim(self, channel: str, stored: _Stored) -> None:
        """Forget what is before the oldest message; a failure costs room, and the next commit tries again."""
        while stored.order and stored.positions.get(stored.order[0][1]) != stored.order[0][0]:
            stored.order.popleft()
        oldest = stored.order[0][0] if stored.order else stored.tail
        if oldest - stored.start < _TRIM_AT:
            return
        after = stored.copy()
        after.start = oldest
        after.void = [(low, high) for low, high in after.void if high > oldest]
        try:
            await self._engine.kv.put(self._name(channel), after.encode())
            stored.start, stored.void = after.start, after.void
            await self._engine.log.trim(self._name(channel), oldest)
        except HoldfastError:
            return

    # reading

    async def _read(self, channel: str) -> tuple[_Stored, dict[str, StoredMessage]]:
        """What the key names.  CorruptionError for what cannot be read whole."""
        name = self._name(channel)
        where = f"stored channel {channel!r}"
        stored = _Stored()
        messages: dict[str, StoredMessage] = {}
        item = await self._engine.kv.get(name)
        if item is None:
            return stored, messages
        _decode(stored, item.value, where)
        position = stored.start
        while position < stored.tail:
            try:
                pieces = await self._engine.log.read(name, position)
            except (NotFound, Gone) as error:
                raise CorruptionError(where=where, expected=f"a history to {stored.tail}", got=str(error)) from None
            if not pieces:
                raise CorruptionError(where=where, expected=f"a history to {stored.tail}", got=f"one to {position}")
            for piece in pieces:
                assert isinstance(piece, Entry)
                if piece.position < stored.tail and not _is_void(stored, piece.position):
                    _apply(stored, piece.position, unseal(piece.data, where), messages, sealed=False)
            position = pieces[-1].end
        return stored, messages


def _entries(update: HistoryUpdate) -> list[bytes]:
    found = []
    if update.evict:
        found.append(seal(b"".join([text_field(4, message_id) for message_id in update.evict])))
    for message in update.append:
        body = text_field(1, message.message_id) + bytes_field(2, message.data)
        if message.hint:
            body += bytes_field(3, message.hint)
        found.append(seal(body))
    return found


def _apply(
    stored: _Stored, position: int, data: bytes, messages: dict[str, StoredMessage], *, sealed: bool = True
) -> None:
    """What one entry of the log does to what is known of it, and to ``messages``."""
    values: dict[int, int | bytes] = {}
    for field, value, _, _ in fields(unseal(data, "entry") if sealed else data):
        if field == 4:
            message_id = text(value, "evicted", 0)
            stored.positions.pop(message_id, None)
            messages.pop(message_id, None)
        elif field == 5:
            parts = {inner: part for inner, part, _, _ in fields(blob(value, "hint", 0))}
            message_id = text(parts[1], "hinted", 0)
            if message_id in messages:
                messages[message_id] = messages[message_id]._replace(hint=blob(parts[2], "hint", 0))
        else:
            values[field] = value
    if 1 in values:
        message_id = text(values[1], "message_id", 0)
        stored.positions[message_id] = position
        stored.order.append((position, message_id))
        messages.pop(message_id, None)
        content, hint = blob(values[2], "data", 0), blob(values.get(3, b""), "hint", 0)
        messages[message_id] = StoredMessage(message_id, content, hint)


def _decode(stored: _Stored, data: bytes, where: str) -> None:
    version = 0
    try:
        for field, value, _, _ in fields(unseal(data, where)):
            if field == 1:
                version = number(value, "version", 0)
            elif field == 2:
                stored.start = number(value, "start", 0)
            elif field == 3:
                stored.tail = number(value, "tail", 0)
            elif field == 4:
                low, high = [number(part, "void", 0) for _, part, _, _ in fields(blob(value, "void", 0))]
                stored.void.append((low, high))
            elif field == 5:
                stored.meta = blob(value, "meta", 0)
    except (ProtocolError, ValueError) as error:
        raise CorruptionError(where=where, expected="what was stored", got=str(error)) from None
    if version != _VERSION:
        raise CorruptionError(where=where, expected=f"version {_VERSION}", got=str(version))


def _is_void(stored: _Stored, position: int) -> bool:
    return any(low <= position < high for low, high in stored.void)
