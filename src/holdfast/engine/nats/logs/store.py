"""What the shared face of logs needs of the stream."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from ....errors import Gone, StorageError, UsageError
from ...base import LogMode, Piece
from ...state import LogState, Operation, Share
from ..lane import Lane
from ..tasks import patiently
from .books import Book, Shelf, pin, unpin
from .finding import Finder, Weight
from .journal import Journal, also
from .reclaiming import Reclaimer


class NatsStore:
    """Implements :class:`~holdfast.engine.store.Store`."""

    def __init__(self, lane: Lane, journal: Journal, finder: Finder, reclaimer: Reclaimer) -> None:
        """Over the parts of the engine that are about logs."""
        self._lane = lane
        self._journal = journal
        self._finder = finder
        self._reclaimer = reclaimer
        self.submit: Callable[[Operation], None] = lane.submit

    def _shelf(self, log_id: int) -> Shelf:
        return self._journal.shelves[log_id]

    # -- changes ----------------------------------------------------------------------------------------------

    def creating(self, name: str, mode: LogMode, meta: bytes) -> Callable[[], int]:
        """Its first message; the id is that message's sequence."""
        return partial(self._journal.create, name, mode, meta)

    def forking(
        self, source: LogState, name: str, position: int, meta: bytes
    ) -> Callable[[], Coroutine[Any, Any, LogState]]:
        """A log with shares in the messages of others."""
        return lambda: self._fork(source, name, position, meta)

    async def _fork(self, source: LogState, name: str, position: int, meta: bytes) -> LogState:
        shelf = self._shelf(source.id)
        before = shelf.packed
        if position < before.oldest:
            raise Gone(oldest=before.oldest)
        weight = await self._weigh(source, position)
        if weight.inside:
            raise UsageError(f"position: {position} is inside a blob of log {source.name!r}", field="position")
        shares = _clipped(before.shares, before.oldest, position)
        low = max(before.own, before.oldest)
        if position > low:
            shares += (Share(source.id, low, position),)
        book = Book(
            position,
            weight.paid,
            weight.holes,
            base=0,
            debt=0,
            oldest=before.oldest,
            oldest_paid=before.oldest_paid,
            oldest_holes=before.oldest_holes,
            holes_base=before.oldest_holes,
            own=position,
            closed=False,
            gone=False,
            meta=meta,
            shares=shares,
        )
        made = self._journal.add(name, source.mode, book)
        assert self._journal.emitted is not None
        pin(self._journal.shelves, made.id, shares)
        also(self._journal.emitted, partial(_nothing), partial(_unpin, self._journal.shelves, made.id, shares))
        made.state = state_of(made)
        return made.state

    def trimming(self, state: LogState, position: int) -> Callable[[], Coroutine[Any, Any, int]]:
        """A message that says so; what is below is removed later."""
        return lambda: self._trim(state, position)

    async def _trim(self, state: LogState, position: int) -> int:
        shelf = self._shelf(state.id)
        shelf.state = state
        before = shelf.packed
        if position <= before.oldest:
            return 0
        weight = await self._weigh(state, position)
        shares = _clipped(before.shares, position, 1 << 62)
        book = before._replace(oldest=position, oldest_paid=weight.paid, oldest_holes=weight.holes, shares=shares)
        self._journal.note(shelf, book)
        assert self._journal.emitted is not None
        also(self._journal.emitted, partial(self._trimmed, shelf, before.shares, shares))
        return weight.paid - before.oldest_paid

    def _trimmed(self, shelf: Shelf, before: tuple[Share, ...], after: tuple[Share, ...]) -> None:
        if shelf.state is not None:
            shelf.state.shares = after
        self._reclaimer.mark([shelf, *unpin(self._journal.shelves, shelf.id, before, after)])

    def deleting(self, state: LogState) -> Callable[[], None]:
        """A message that says so; the others go later, as far as no fork has a share in them."""

        def run() -> None:
            shelf = self._shelf(state.id)
            before = shelf.packed
            self._journal.note(shelf, before._replace(gone=True, meta=b"", shares=()))
            assert self._journal.emitted is not None
            also(self._journal.emitted, partial(self._deleted, shelf, before.shares))

        return run

    def _deleted(self, shelf: Shelf, shares: tuple[Share, ...]) -> None:
        shelf.state = None
        self._reclaimer.mark([shelf, *unpin(self._journal.shelves, shelf.id, shares)])

    # -- reading ----------------------------------------------------------------------------------------------

    async def fetch(self, state: LogState, position: int, limit: int, max_bytes: int) -> list[Piece]:
        """From its own messages, or of whom it has a share in."""
        log_id = state.id
        for share in state.shares:
            if position < share.high:
                log_id, limit = share.owner, min(limit, share.high)
                break

        async def fetch() -> list[Piece] | None:
            shelf = self._journal.shelves.get(log_id)
            if shelf is None or state.deleting or position < state.oldest:
                return []
            return await self._finder.fetch(shelf, position, limit, max_bytes, self._lane.chain.settled + 1) or None

        return await patiently(fetch) or []

    async def _weigh(self, state: LogState, position: int) -> Weight:
        """What there is below ``position``, of all that was sent."""
        shelf = self._shelf(state.id)
        book = shelf.packed
        if position == book.oldest:
            return Weight(book.oldest_paid, book.oldest_holes, inside=False)
        if position == book.end:
            return Weight(book.paid, book.holes, inside=False)
        if position >= state.cache.start:
            return _weigh_cached(state, book, position)
        for share in book.shares:
            if position < share.high:
                shelf = self._shelf(share.owner)
                break
        weight = await patiently(lambda: self._finder.weigh(shelf, position, self._lane.chain.settled + 1))
        if weight is None:
            raise StorageError(f"log {state.name!r}: nothing is stored at position {position}")
        return weight


def _weigh_cached(state: LogState, book: Book, position: int) -> Weight:
    """From what is in memory above ``position``."""
    paid, holes = book.paid, book.holes
    for extent in state.cache.above(position):
        if extent.position >= book.end:
            break
        if extent.position >= position:
            paid -= extent.size
            holes -= extent.hole_length
        elif extent.data is None:
            holes -= extent.end - position
        else:
            head = extent.head(position)
            if head is None:
                return Weight(_paid_above(state, book, extent.position), holes, inside=True)
            paid -= extent.size - head.size
    return Weight(paid, holes, inside=False)


def _paid_above(state: LogState, book: Book, position: int) -> int:
    above = (extent.size for extent in state.cache.above(position) if extent.position < book.end)
    return book.paid - sum(above)


def _clipped(shares: tuple[Share, ...], low: int, high: int) -> tuple[Share, ...]:
    """The part of ``shares`` from ``low`` to ``high``."""
    return tuple(
        Share(share.owner, max(share.low, low), min(share.high, high))
        for share in shares
        if share.low < high and share.high > low
    )


def _unpin(shelves: dict[int, Shelf], log_id: int, shares: tuple[Share, ...]) -> None:
    unpin(shelves, log_id, shares)


def _nothing() -> None:
    return


def state_of(shelf: Shelf) -> LogState:
    """The state of a log as its shelf knows it."""
    book = shelf.stored if not shelf.flying else shelf.packed
    state = LogState(
        shelf.id, shelf.name, shelf.mode, oldest=book.oldest, tail=book.end, meta=book.meta, closed=book.closed
    )
    state.stored_bytes = book.stored_bytes
    state.hole_bytes = book.hole_bytes
    state.shares = book.shares
    return state
