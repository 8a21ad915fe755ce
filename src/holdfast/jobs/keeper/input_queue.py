"""Input on its way to the command: bounded, in order within each session, never interleaved.  Sans-I/O.

Within a session items carry sequence numbers from 1.  The next one expected goes on at once; a later one
waits for its elders up to ``hold_s`` and then goes on without them; an old one goes on at once, as does
anything without session or number.  What goes on joins one line, whose first item is carried out whole
before the next begins.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, NamedTuple

from ...errors import LimitExceeded

SESSIONS_MAX = 1_000
"""Sessions whose next number is remembered; the longest unused is forgotten first, which costs it one hold."""


class Item(NamedTuple):
    """One piece of input."""

    number: int
    """The queue's own count of items put, from 1: what receipts are about."""
    session: str
    sequence: int
    action: Any
    """What to do: opaque to the queue."""
    size_bytes: int
    held_until: float = 0.0


class _Session:
    """One sender's place."""

    __slots__ = ("expected", "held")

    def __init__(self) -> None:
        self.expected = 1
        self.held: dict[int, Item] = {}


class InputQueue:
    """Orders input; hands out the first of the line with :meth:`first`, and the next after :meth:`finish`.

    ``items_max`` and ``bytes_max`` bound what waits, held items included; ``hold_s`` is the longest wait
    of an item out of order.
    """

    def __init__(self, items_max: int, bytes_max: int, hold_s: float) -> None:
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._hold_s = hold_s
        self._line: deque[Item] = deque()
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._held: OrderedDict[int, Item] = OrderedDict()
        """Items out of order by number, and so by the time they give up waiting."""
        self._count = 0
        self.queued_bytes = 0
        """Bytes of all items waiting."""

    @property
    def items(self) -> int:
        """Items waiting, held ones included."""
        return len(self._line) + len(self._held)

    def put(self, action: Any, now: float, *, size_bytes: int = 0, session: str = "", sequence: int = 0) -> int:
        """Add one item; its number.  LimitExceeded, and nothing is added, if the queue is full."""
        self._check_room(size_bytes)
        self._count += 1
        item = Item(self._count, session, sequence, action, size_bytes, now + self._hold_s)
        self.queued_bytes += size_bytes
        if not session or sequence <= 0:
            self._line.append(item)
        else:
            self._place(item)
        return item.number

    def holds(self, number: int) -> bool:
        """Whether the item of this number waits for its elders."""
        return number in self._held

    def first(self) -> Item | None:
        """The item to carry out now, the same until :meth:`finish`."""
        return self._line[0] if self._line else None

    def finish(self) -> Item:
        """The first item has been carried out."""
        item = self._line.popleft()
        self.queued_bytes -= item.size_bytes
        return item

    def clear(self) -> list[Item]:
        """Forget all that waits, in the order it came; the command cannot be given any more."""
        items = sorted([*self._line, *self._held.values()])
        self._line.clear()
        self._held.clear()
        self._sessions.clear()
        self.queued_bytes = 0
        return items

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` has something to do."""
        for item in self._held.values():
            return item.held_until
        return None

    def handle_timer(self, now: float) -> None:
        """Let go on what has been held long enough, and with it all elders of the same session."""
        while self._held:
            item = next(iter(self._held.values()))
            if item.held_until > now:
                return
            session = self._sessions[item.session]
            for sequence in sorted(number for number in session.held if number <= item.sequence):
                self._release(session, sequence)
            session.expected = item.sequence + 1
            self._release_next(session)

    def _check_room(self, size_bytes: int) -> None:
        if self.items >= self._items_max:
            raise LimitExceeded(name="input_items_max", limit=self._items_max, value=self.items + 1)
        total = self.queued_bytes + size_bytes
        if total > self._bytes_max:
            raise LimitExceeded(name="input_bytes_max", limit=self._bytes_max, value=total)

    def _place(self, item: Item) -> None:
        session = self._session(item.session)
        if item.sequence > session.expected and item.sequence not in session.held:
            session.held[item.sequence] = item
            self._held[item.number] = item
            return
        self._line.append(item)
        if item.sequence == session.expected:
            session.expected += 1
            self._release_next(session)

    def _session(self, name: str) -> _Session:
        session = self._sessions.get(name)
        if session is None:
            session = self._sessions[name] = _Session()
            if len(self._sessions) > SESSIONS_MAX:
                self._forget_a_session()
        self._sessions.move_to_end(name)
        return session

    def _forget_a_session(self) -> None:
        for name, session in self._sessions.items():
            if not session.held:
                del self._sessions[name]
                return

    def _release_next(self, session: _Session) -> None:
        while session.expected in session.held:
            self._release(session, session.expected)
            session.expected += 1

    def _release(self, session: _Session, sequence: int) -> None:
        item = session.held.pop(sequence)
        del self._held[item.number]
        self._line.append(item)
