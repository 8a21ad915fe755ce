"""What the engine knows of each log beside its state: where in the stream it is, and what its next message says."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from ...base import LogMode, Producer
from ...checks import first_position
from ...state import LogState, Share
from ..wire import Stamp, Whole, shares_of

MODES: tuple[LogMode, ...] = ("bytes", "entries", "runs")
INLINE_BYTES = 1024
"""What is known of a log goes into the stamp up to this size, and into the data beyond."""
_THIN = 8
"""A message that changes nothing repeats all that is known if that is so many times smaller than its payload: then
the log's newest message is enough to know it at the next start."""
_PLACES_MAX = 256
"""Some messages further on is near enough, and ten thousand logs have as many of these."""


class Book(NamedTuple):
    """A log as of one of its messages."""

    end: int
    paid: int
    holes: int
    base: int
    """Sequence of the message that holds all that is known."""
    debt: int
    """Bytes of changes noted since then."""
    oldest: int
    oldest_paid: int
    oldest_holes: int
    holes_base: int
    own: int
    closed: bool
    gone: bool
    meta: bytes
    shares: tuple[Share, ...]

    @property
    def stored_bytes(self) -> int:
        """Payload kept."""
        return self.paid - self.oldest_paid

    @property
    def hole_bytes(self) -> int:
        """All holes ever recorded in it."""
        return self.holes - self.holes_base


def new_book(mode: LogMode, meta: bytes) -> Book:
    """Of a log that is made now."""
    first = first_position(mode)
    return Book(first, 0, 0, 0, 0, first, 0, 0, 0, first, closed=False, gone=False, meta=meta, shares=())


def book_of(stamp: Stamp, whole: Whole, base: int, debt: int) -> Book:
    """As found in the stream: the newest message's stamp, and what is known."""
    return Book(
        stamp.end,
        stamp.paid,
        stamp.holes,
        base,
        debt,
        whole.oldest,
        whole.oldest_paid,
        whole.oldest_holes,
        whole.holes_base,
        whole.own,
        whole.closed,
        whole.gone,
        whole.meta,
        shares_of(whole.shares),
    )


class Places:
    """Where in the stream some positions of a log are, so that others are found soon."""

    __slots__ = ("_positions", "_sequences")

    def __init__(self) -> None:
        self._positions: list[int] = []
        self._sequences: list[int] = []

    def add(self, position: int, sequence: int) -> None:
        """The message that begins at ``position`` is the first of its subject from ``sequence`` on."""
        index = bisect_left(self._positions, position)
        if index < len(self._positions) and self._positions[index] == position:
            self._sequences[index] = sequence
            return
        self._positions.insert(index, position)
        self._sequences.insert(index, sequence)
        if len(self._positions) > _PLACES_MAX:
            del self._positions[1::2], self._sequences[1::2]

    def around(self, position: int) -> tuple[int, int | None]:
        """The message with ``position`` is not before the first sequence given, and before the second, if any."""
        index = bisect_right(self._positions, position)
        low = self._sequences[index - 1] if index else 1
        return low, self._sequences[index] if index < len(self._sequences) else None


class Shelf:
    """One log in the stream."""

    __slots__ = (
        "flying",
        "id",
        "mode",
        "name",
        "overlay",
        "packed",
        "pins",
        "places",
        "purged",
        "read_up_to",
        "state",
        "stored",
    )

    def __init__(self, log_id: int, name: str, mode: LogMode, book: Book) -> None:
        self.id = log_id
        self.name = name
        self.mode: LogMode = mode
        self.state: LogState | None = None
        """As the face of all logs knows it; None if it is deleted."""
        self.stored = book
        """As of the last message that is stored."""
        self.packed = book
        """As of the last message that was sent."""
        self.overlay: dict[str, Producer] = {}
        """Producers in messages on their way."""
        self.flying = 0
        """Messages on their way."""
        self.pins: dict[int, int] = {}
        """Forks that have a share in it, and from which position on."""
        self.places = Places()
        self.read_up_to = 1
        """The sequence after the last message that was read back."""
        self.purged = first_position(mode)
        """What lies below is removed."""

    def estimate(self) -> int:
        """How large all that is known of it is, roughly."""
        producers = 0 if self.state is None or self.state.producers is None else len(self.state.producers)
        return 100 + len(self.name) + len(self.packed.meta) + 48 * producers + 24 * len(self.packed.shares)

    def whole(self, book: Book) -> Whole:
        """All that is known with ``book``."""
        producers = {} if self.state is None or self.state.producers is None else self.state.producers.stored()
        producers |= self.overlay
        return Whole(
            self.name,
            MODES.index(self.mode),
            book.oldest,
            book.oldest_paid,
            book.oldest_holes,
            book.holes_base,
            book.own,
            book.closed,
            book.gone,
            book.meta,
            list(producers.values()),
            book.shares,
        )

    def is_thin(self, payload: int) -> bool:
        """Whether all that is known is little beside ``payload`` bytes."""
        estimate = self.estimate()
        return estimate <= INLINE_BYTES and estimate * _THIN <= payload

    def land(self, book: Book) -> None:
        """A message is stored, and the log is at ``book`` with it."""
        self.stored = book
        self._landed()

    def rewind(self) -> None:
        """A message was not stored, nor will be what was sent after it."""
        self.packed = self.stored
        self.overlay.clear()
        self._landed()

    def _landed(self) -> None:
        self.flying -= 1
        if not self.flying:
            self.overlay.clear()

    def keep_from(self) -> int:
        """What lies below this position is of no use to anybody."""
        book = self.stored
        return min([book.end if book.gone else book.oldest, *self.pins.values()])


def pin(shelves: dict[int, Shelf], log_id: int, shares: Iterable[Share]) -> None:
    """``log_id`` has these shares and no others."""
    lows: dict[int, int] = {}
    for share in shares:
        lows[share.owner] = min(share.low, lows.get(share.owner, share.low))
    for owner, low in lows.items():
        if owner in shelves:
            shelves[owner].pins[log_id] = low


def unpin(shelves: dict[int, Shelf], log_id: int, before: Iterable[Share], after: Iterable[Share] = ()) -> list[Shelf]:
    """``log_id`` gives up shares; gives whose."""
    owners = {share.owner for share in before}
    touched = [shelves[owner] for owner in owners if owner in shelves]
    for shelf in touched:
        shelf.pins.pop(log_id, None)
    pin(shelves, log_id, after)
    return touched
