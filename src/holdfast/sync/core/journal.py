"""What of a channel is not stored yet, and how its state becomes a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ..events import SaveFailed
from ..persistence.base import Write
from ..persistence.snapshot import (
    AbsentMeta,
    RequestMeta,
    ResponseMeta,
    SentMeta,
    WaitingMeta,
    absent_piece,
    join,
    request_piece,
    response_piece,
    sent_piece,
    waiting_piece,
)
from .parts.history import History
from .parts.incoming import Incoming, Waiting
from .parts.outgoing import Outgoing, Sent
from .parts.repair import Repair
from .shared import Shared


class Journaled(Protocol):
    """What of a channel is stored, and who is told."""

    name: str
    shared: Shared
    lamport: int
    history: History
    outgoing: Outgoing
    incoming: Incoming
    repair: Repair
    absent: dict[str, bool]


class Journal:
    """Gathers a channel's changes into writes: at most one under way, what failed goes with the next one."""

    __slots__ = ("_changed", "_channel", "_hints", "_under_way")

    def __init__(self, channel: Journaled) -> None:
        self._channel = channel
        self._changed = False
        self._hints: dict[str, bytes] = {}
        self._under_way: Write | None = None

    @property
    def unsaved(self) -> int:
        """History changes that are not stored yet."""
        under_way = self._under_way
        update = None if under_way is None else under_way.history
        return len(self._channel.history.pending) + (len(update.append) + len(update.evict) if update else 0)

    def touch(self) -> None:
        """Something of the snapshot changed, or will in this operation."""
        channel = self._channel
        shared = channel.shared
        shared.touched[channel.name] = None
        if shared.persistent and not self._changed:
            self._changed = True
            shared.unsaved[channel.name] = None

    def keep_hint(self, message_id: str, hint: bytes) -> None:
        """A hint is to be stored."""
        if self._channel.shared.persistent:
            self._hints[message_id] = hint
            self._channel.shared.unsaved[self._channel.name] = None

    def write(self) -> Write | None:
        """What to store now; None while a write is under way, or when there is nothing."""
        if self._under_way is not None:
            return None
        channel = self._channel
        meta = self._snapshot() if self._changed else None
        history = channel.history.update()
        hints = tuple(self._hints.items())
        if meta is None and history is None and not hints:
            return None
        self._changed = False
        self._hints = {}
        channel.shared.writes_made += 1
        self._under_way = Write(channel.name, channel.shared.writes_made, meta, history, hints)
        return self._under_way

    def saved(self, number: int, meta_error: str | None, history_error: str | None, hints_error: str | None) -> None:
        """How the write under way went; the outcome of another one is ignored."""
        write = self._under_way
        if write is None or write.number != number:
            return
        self._under_way = None
        channel = self._channel
        if write.meta is not None and meta_error is not None:
            self._changed = True
        if write.history is not None:
            if history_error is not None:
                channel.history.retry(write.history)
            else:
                for message_id in channel.history.confirm(write.history):
                    sent = channel.outgoing.items.get(message_id)
                    if sent is not None:
                        sent.piece = b""
        if hints_error is not None:
            self._hints = dict(write.hints) | self._hints
        error = meta_error or history_error or hints_error
        if error is not None:
            channel.shared.events.append(SaveFailed(channel.name, error))
        if self._changed or channel.history.pending or self._hints:
            channel.shared.unsaved[channel.name] = None

    # the snapshot

    def _snapshot(self) -> bytes:
        channel = self._channel
        return join(channel.name, channel.shared.wire.dialect, channel.lamport, list(self._pieces()))

    def _pieces(self) -> Iterator[bytes]:
        channel = self._channel
        shared, repair = channel.shared, channel.repair
        for sent in channel.outgoing.items.values():
            yield sent.piece or self._sent_piece(sent)
        for waiting in channel.incoming.waiting.values():
            yield waiting.piece or self._waiting_piece(waiting)
        for message_id, request in repair.requests.items():
            if not request.piece:
                due, since = shared.unix_ms(repair.requests_due.at(message_id) or 0.0), shared.unix_ms(request.since)
                request.piece = request_piece(RequestMeta(request.entry, due, since, request.attempts))
            yield request.piece
        for message_id, response in repair.responses.items():
            if not response.piece:
                due = shared.unix_ms(repair.responses_due.at(message_id) or 0.0)
                response.piece = response_piece(ResponseMeta(response.entry, due))
            yield response.piece
        for message_id, lost in channel.absent.items():
            yield absent_piece(AbsentMeta(message_id, lost))

    def _sent_piece(self, sent: Sent) -> bytes:
        """What is stored with the history is only named; it is stored when a write has confirmed it."""
        record = sent.record
        data = b"" if record.stored else record.data
        sent_ms = self._channel.shared.unix_ms(sent.sent_at)
        sent.piece = sent_piece(SentMeta(record.message_id, data, sent_ms, sent.attempts, sent.filters))
        return sent.piece

    def _waiting_piece(self, waiting: Waiting) -> bytes:
        received_ms = self._channel.shared.unix_ms(waiting.received_at)
        missing = tuple(sorted(waiting.missing))
        waiting.piece = waiting_piece(WaitingMeta(waiting.kept, missing, received_ms, waiting.lost))
        return waiting.piece
