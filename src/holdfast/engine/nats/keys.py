"""The keys: all in memory, each one's newest value in a message of its own in their stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from ...errors import Conflict, CorruptionError, HoldfastError, StorageError
from ..base import Change, Item
from ..state import Append, Control, Operation
from .chain import Flight, Message
from .lane import Lane
from .link.connection import Link
from .link.streams import Stored, purge, remove
from .room import Room
from .tasks import Background
from .wire import GONE, KeyStamp, decode_key, encode_identity, encode_key

_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/")
_SPELLED = {byte: f"={byte:02X}" for byte in range(256) if byte not in _SAFE}
_AT_ONCE = 64
"""Changes packed before the answers to earlier ones are looked at again."""
_TOKEN_MAX = 180
_HEADERS_BYTES = 4_096
"""For what a message has besides its value: the key above all."""


def token_of(key: str) -> str:
    """A subject's token for ``key``: itself if it can be, else with ``=XX`` for what cannot; a digest if it is long."""
    raw = key.encode()
    token = raw.decode("latin-1").translate(_SPELLED)
    return token if len(token) <= _TOKEN_MAX else f"=={sha256(raw).hexdigest()}"


class _Value(NamedTuple):
    """A key's item, and what it is in the stream."""

    item: Item
    sequence: int
    parts: str
    """What the subjects of its parts begin with; empty if it has none."""
    size: int
    deleted: bool = False


class Keys:
    """Implements :class:`~holdfast.engine.values.ValueStore`, and packs for its stream."""

    def __init__(self, link: Link, lane: Lane, room: Room, settle: Callable[[Sequence[Operation]], None]) -> None:
        """``settle`` is told what is stored."""
        self._link = link
        self._lane = lane
        self._room = room
        self._settle = settle
        self._payload = link.max_payload - _HEADERS_BYTES
        self._values: dict[str, _Value] = {}
        self._flying: dict[str, _Value] = {}
        self._emitted: Flight | None = None
        self._dead: list[_Value] = []
        self._sent_revision = 0
        self.revision = 0
        """Of the newest stored change."""
        self._background = Background(link.limits.nats_reconnect_s)
        self.submit: Callable[[Operation], None] = lane.submit

    # -- what is there at the start ---------------------------------------------------------------------------

    def load(self, found: Sequence[Stored]) -> None:
        """Take over what is in the stream; CorruptionError if it is not ours."""
        parts: dict[str, list[Stored]] = {}
        root = self._link.subject("part")
        for stored in found:
            if stored.subject.startswith(root + "."):
                parts.setdefault(stored.subject.rsplit(".", 1)[0], []).append(stored)
        for stored in found:
            if stored.subject.startswith(self._link.subject("key") + "."):
                self._load(stored, parts)
        self.revision = self._sent_revision = max((value.item.revision for value in self._all()), default=0)
        self._bury()
        for subject in parts:
            self._purge(subject)

    def _all(self) -> list[_Value]:
        return [*self._values.values(), *self._dead]

    def _load(self, stored: Stored, parts: dict[str, list[Stored]]) -> None:
        where = f"{self._lane.stream}, message {stored.sequence}"
        stamp, key, data = decode_key(stored.data, where)
        subject = ""
        if stamp.parts:
            subject = self._parts(stamp.epoch, stamp.number)
            some = parts.pop(subject, [])
            data = b"".join([*(part.data for part in some), data])
        if len(data) != stamp.size:
            raise CorruptionError(where=where, expected=f"{stamp.size} bytes", got=f"{len(data)} bytes")
        deleted = bool(stamp.flags & GONE)
        item = Item(key, data, stamp.revision)
        value = _Value(item, stored.sequence, subject, len(data), deleted)
        if deleted:
            self._dead.append(value)
        else:
            self._values[key] = value

    def _parts(self, epoch: int, number: int) -> str:
        return self._link.subject("part", f"{epoch}-{number}")

    # -- the face ---------------------------------------------------------------------------------------------

    async def get(self, key: str) -> Item | None:
        """The key's item."""
        value = self._values.get(key)
        return None if value is None else value.item

    async def snapshot(self, prefix: str) -> tuple[int, list[Item]]:
        """All items under ``prefix``."""
        keys = sorted(key for key in self._values if key.startswith(prefix)) if prefix else sorted(self._values)
        return self.revision, [self._values[key].item for key in keys]

    def putting(self, key: str, value: bytes, revision: int | None) -> Callable[[], Change]:
        """See :class:`holdfast.engine.values.ValueStore`."""

        def run() -> Change:
            self._match(key, revision)
            return Change(self._emit(key, value, deleted=False))

        return run

    def removing(self, key: str, revision: int | None) -> Callable[[], Change | None]:
        """See :class:`holdfast.engine.values.ValueStore`."""

        def run() -> Change | None:
            if self._match(key, revision) is None:
                return None
            return Change(self._emit(key, b"", deleted=True), deleted=True)

        return run

    def _match(self, key: str, revision: int | None) -> _Value | None:
        value = self._flying.get(key) or self._values.get(key)
        if value is not None and value.deleted:
            value = None
        actual = 0 if value is None else value.item.revision
        if revision is not None and revision != actual:
            raise Conflict(f"key {key!r}: expected revision {revision}, found {actual}", revision, actual)
        return value

    def _emit(self, key: str, data: bytes, *, deleted: bool) -> Item:
        if not deleted and not self._room.fits(len(data)):
            raise StorageError(f"the nats engine is full: max_bytes = {self._room.max_bytes}")
        self._sent_revision += 1
        item = Item(key, data, self._sent_revision)
        messages, parts = self._messages(item, deleted=deleted)
        self._emitted = flight = self._lane.flight(messages)
        self._flying[key] = value = _Value(item, flight.last, parts, flight.size, deleted)
        self._room.take(self._lane.stream, flight.size)
        flight.settle = partial(self._landed, key, value)
        flight.undo = partial(self._fell_back, flight.size)
        return item

    def _messages(self, item: Item, *, deleted: bool) -> tuple[list[Message], str]:
        """What says that ``item`` is there or gone; and what the subjects of its parts begin with, if it has some."""
        epoch, number = identity = self._lane.next_identity
        key, data, revision = item
        subject = self._link.subject("key", token_of(key))
        size, flags = len(data), GONE if deleted else 0
        if size <= self._payload:
            stamp = KeyStamp(flags, epoch, number, revision, 0, size)
            return [Message(subject, "", encode_key(stamp, key, data))], ""
        chunks = [data[at : at + self._payload] for at in range(0, size, self._payload)]
        parts, mark = self._parts(epoch, number), encode_identity(identity)
        messages = [Message(f"{parts}.{place:06}", mark, chunk) for place, chunk in enumerate(chunks[:-1])]
        stamp = KeyStamp(flags, epoch, number, revision, len(messages), size)
        return [*messages, Message(subject, "", encode_key(stamp, key, chunks[-1]))], parts

    def _landed(self, key: str, value: _Value) -> None:
        before = self._values.pop(key, None)
        if before is not None:
            self._room.take(self._lane.stream, -before.size)
            if before.parts:
                self._purge(before.parts)
        if self._flying.get(key) is value:
            del self._flying[key]
        self.revision = value.item.revision
        self._bury()
        if value.deleted:
            self._dead.append(value)
        else:
            self._values[key] = value

    def _purge(self, parts: str) -> None:
        self._background.do(partial(purge, self._link, self._lane.stream, f"{parts}.*"))

    def _bury(self) -> None:
        """Remove what says that keys were deleted; not what has the newest revision, for that is known by it."""
        dead, self._dead = self._dead, [value for value in self._dead if value.item.revision == self.revision]
        for value in dead:
            if value.item.revision != self.revision:
                self._room.take(self._lane.stream, -value.size)
                self._background.do(partial(remove, self._link, self._lane.stream, value.sequence))

    def _fell_back(self, size: int) -> None:
        self._room.take(self._lane.stream, -size)
        self._flying.clear()
        self._sent_revision = self.revision

    # -- packing ----------------------------------------------------------------------------------------------

    async def pack(self) -> None:
        """The next changes."""
        queue, lane = self._lane.queue, self._lane
        for _ in range(min(len(queue), _AT_ONCE)):
            control = queue.popleft()
            assert isinstance(control, Control)
            self._emitted = None
            try:
                control.result = control.run()
            except HoldfastError as refusal:
                control.result = refusal
            flight, self._emitted = self._emitted, None
            if flight is None:
                lane.attach(control)
            else:
                flight.operations.append(control)
                await lane.send(flight)

    def settled(self, operations: Sequence[Operation]) -> None:
        """See :class:`~holdfast.engine.nats.lane.Packer`."""
        self._settle(operations)

    def failed(self, operations: Sequence[Operation], error: HoldfastError) -> None:
        """See :class:`~holdfast.engine.nats.lane.Packer`."""
        for operation in operations:
            assert not isinstance(operation, Append)
            operation.fail(error)

    async def idle(self) -> None:
        """Wait until nothing is left to be removed."""
        await self._background.idle()

    async def stop(self) -> None:
        """Leave what is to be removed to the next start."""
        await self._background.stop()
