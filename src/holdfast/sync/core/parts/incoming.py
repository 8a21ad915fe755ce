"""Messages that wait for what they depend on, and what is waited for."""

from __future__ import annotations

from ...model import HistoryEntry, Message
from .deadlines import Deadlines


class Waiting:
    """A message that cannot be delivered yet."""

    __slots__ = ("forced", "kept", "lost", "message", "missing", "piece", "received_at")

    def __init__(self, message: Message, kept: bytes, missing: set[str], received_at: float) -> None:
        self.message = message
        self.kept = kept
        self.missing = missing
        self.received_at = received_at
        self.forced = False
        """It has waited out its time once, for messages that are here but wait themselves."""
        self.lost: tuple[str, ...] = ()
        """What was given up for it."""
        self.piece = b""
        """As the snapshot has it; empty: not made yet."""


class Missing:
    """A message that is waited for; ``waiting`` are the ids of those that wait for it."""

    __slots__ = ("entry", "waiting")

    def __init__(self, entry: HistoryEntry) -> None:
        self.entry = entry
        self.waiting: list[str] = []


class Incoming:
    """A graph in two dictionaries, so that a delivery finds what it unblocks without looking at the rest."""

    __slots__ = ("_due", "_lost_s", "held_bytes", "missing", "waiting")

    def __init__(self, lost_s: float) -> None:
        self._lost_s = lost_s
        self.held_bytes = 0
        """Of the messages that wait."""
        self.waiting: dict[str, Waiting] = {}
        self.missing: dict[str, Missing] = {}
        self._due = Deadlines()

    def expect(self, entry: HistoryEntry) -> None:
        """Wait for a message that nothing here depends on: somebody else has it."""
        if entry.message_id not in self.missing:
            self.missing[entry.message_id] = Missing(entry)

    def add(self, waiting: Waiting, missing: tuple[HistoryEntry, ...]) -> None:
        """Keep a message until all of ``missing`` are met."""
        message_id = waiting.message.message_id
        self.waiting[message_id] = waiting
        self.held_bytes += len(waiting.kept)
        for entry in missing:
            self.expect(entry)
            self.missing[entry.message_id].waiting.append(message_id)
        if self._lost_s:
            self._due.set(message_id, waiting.received_at + self._lost_s)

    def meet(self, message_id: str, *, lost: bool = False) -> list[Waiting]:
        """``message_id`` is here, or given up: those that wait for nothing any more, taken out."""
        missing = self.missing.pop(message_id, None)
        if missing is None:
            return []
        ready = []
        for name in missing.waiting:
            waiting = self.waiting.get(name)
            if waiting is None or message_id not in waiting.missing:
                continue
            waiting.missing.discard(message_id)
            waiting.piece = b""
            if lost:
                waiting.lost += (message_id,)
            if not waiting.missing:
                del self.waiting[name]
                self.held_bytes -= len(waiting.kept)
                self._due.cancel(name)
                ready.append(waiting)
        return ready

    # time

    def next_deadline(self) -> float | None:
        """When the first has waited long enough."""
        return self._due.first()

    def take_due(self, now: float) -> list[str]:
        """The missing messages to give up now.

        What is here, waiting itself, is given its own time, once; that ends even if messages wait for each other.
        """
        given_up: dict[str, None] = {}
        while (message_id := self._due.take(now)) is not None:
            waiting = self.waiting[message_id]
            absent = [name for name in waiting.missing if name not in self.waiting or waiting.forced]
            given_up |= dict.fromkeys(sorted(absent))
            if len(absent) < len(waiting.missing):
                waiting.forced = True
                self._due.set(message_id, now + self._lost_s)
        return list(given_up)
