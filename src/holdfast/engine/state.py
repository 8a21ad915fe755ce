"""What a node knows of one log: positions, what waits to be stored, who waits to read.

Touched by the event loop only.  A position is *assigned* when append is called (``tail``), *durable* when the
store has it as the append's ack level asks, and *visible* when every append below it has reached its ack level.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ..errors import HoldfastError, from_wire, to_wire
from .base import LogMode, LogStat, Producer
from .extents import Extent, TailCache
from .producers import Producers

Result = TypeVar("Result")

LEVELS = {"memory": 0, "os": 1, "disk": 2}
"""The ack levels, by how much they outlive."""


def fresh(error: HoldfastError) -> HoldfastError:
    """A copy of ``error``: each waiter raises its own, so that their tracebacks stay apart."""
    return from_wire(to_wire(error))


class Losses:
    """Where the tail fell back to, each time something visible was lost (only ack="memory" can be)."""

    __slots__ = ("_falls", "count")

    _KEPT = 16

    def __init__(self) -> None:
        self.count = 0
        self._falls: list[tuple[int, int]] = []  # (number of the loss, position), both growing

    def add(self, position: int) -> None:
        """The log fell back to ``position``."""
        self.count += 1
        while self._falls and self._falls[-1][1] >= position:
            self._falls.pop()
        self._falls.append((self.count, position))
        if len(self._falls) > self._KEPT:  # a reader asleep for this long is told of a loss rather too often
            (_, lowest), (newer, _) = self._falls[:2]
            self._falls[:2] = [(newer, lowest)]

    def below(self, position: int, since: int) -> int | None:
        """The lowest fall to below ``position`` after the first ``since`` ones, if there was any."""
        for number, fall in self._falls:
            if number > since:
                return fall if fall < position else None
        return None


class Share(NamedTuple):
    """The positions ``low`` to ``high`` of a fork are stored with the log ``owner``."""

    owner: int
    low: int
    high: int


_NOTHING: deque[Append] = deque(maxlen=0)
"""What idle logs wait for, all of them together: an empty deque of its own would be half of what a log costs."""


class LogState:
    """One log; see the module's text."""

    __slots__ = (
        "cache",
        "closed",
        "closed_level",
        "closing",
        "deleting",
        "durable",
        "generation",
        "hole_bytes",
        "id",
        "losses",
        "meta",
        "mode",
        "name",
        "oldest",
        "pending",
        "poisoned",
        "producers",
        "shares",
        "stored_bytes",
        "stored_meta",
        "tail",
        "visible",
        "waiters",
    )

    def __init__(
        self, log_id: int, name: str, mode: LogMode, *, oldest: int, tail: int, meta: bytes = b"", closed: bool = False
    ) -> None:
        self.id = log_id
        self.name = name
        self.mode: LogMode = mode
        self.oldest = oldest
        self.tail = tail
        self.durable = tail
        self.visible = tail
        self.stored_bytes = 0
        self.hole_bytes = 0
        self.meta = self.stored_meta = meta
        self.producers: Producers | None = None
        self.closing = closed
        """No append is taken."""
        self.closed = closed
        """As readers see it."""
        self.closed_level = 2 if closed else 0
        """The ack level at which its end is stored; 0 if that is not."""
        self.deleting = False
        self.cache = TailCache(tail)
        self.pending: deque[Append] = _NOTHING
        self.waiters: list[asyncio.Future[None]] = []
        self.generation = 0
        """Grows with every failed commit; what was queued under an older one fails too."""
        self.losses = Losses()
        self.poisoned = -1
        """The last generation a commit of which failed; the store's own note, not used by the event loop."""
        self.shares: tuple[Share, ...] = ()
        """Where a fork's content is that it did not append itself, in order; the store's own note too."""

    def stat(self) -> LogStat:
        """The figures of now."""
        return LogStat(
            self.name,
            self.mode,
            self.oldest,
            self.tail,
            self.closed,
            self.stored_bytes,
            self.hole_bytes,
            self.meta,
        )

    def producer(self, name: str) -> Producer | None:
        """The last append of this producer."""
        return None if self.producers is None else self.producers.get(name)

    def assign(self, append: Append) -> None:
        """Give ``append`` its place at the tail."""
        extent = append.extent
        self.tail = extent.end
        self.stored_bytes += extent.size
        if extent.data is None:
            self.hole_bytes += extent.hole_length
        if append.rider is not None:
            self._board(append.rider)
        if extent.end > extent.position:
            self.cache.push(extent)
        if not self.pending:
            self.pending = deque()
        self.pending.append(append)
        if append.settled:
            self.advance()

    def _board(self, rider: Rider) -> None:
        if rider.close:
            self.closing = True
        if rider.producer is not None:
            if self.producers is None:
                self.producers = Producers()
            self.producers.assign(rider.producer)

    def advance(self) -> None:
        """Make visible what has reached its ack level, with all before it; wake who waits for that."""
        pending = self.pending
        before = self.visible
        while pending and pending[0].settled:
            append = pending.popleft()
            self.visible = end = append.extent.end
            if append.rider is not None:
                self._show(append.rider, append.future)
            if not append.future.done():
                append.future.set_result(end)
        if not pending:
            self.pending = _NOTHING
        if self.visible != before:
            self.wake()

    def _show(self, rider: Rider, future: asyncio.Future[int]) -> None:
        if rider.meta is not None:
            self.meta = rider.meta
        if rider.close:
            self.closed = True
            self.wake()
        if rider.refusal is not None and not future.done():
            future.set_exception(rider.refusal)

    def store(self, rider: Rider, level: int) -> None:
        """``rider`` is stored, as its append is."""
        if rider.meta is not None:
            self.stored_meta = rider.meta
        if rider.close:
            self.closed_level = max(self.closed_level, level, 1)
        if rider.producer is not None:
            assert self.producers is not None
            self.producers.store(rider.producer)

    def fail(self, error: HoldfastError) -> None:
        """Take back all that is not durable: its appends fail, and the log goes on from the durable tail."""
        self.generation += 1
        for extent in self.cache.truncate(self.durable):
            self.stored_bytes -= extent.size
            self.hole_bytes -= extent.hole_length
        self.tail = self.durable
        self.meta = self.stored_meta
        self.closing = self.closed = self.closed_level > 0
        if self.producers is not None:
            self.producers.fall_back()
        if self.visible > self.durable:
            self.visible = self.durable
            self.losses.add(self.durable)
        for append in self.pending:
            if not append.future.done():
                append.future.set_exception(fresh(error))
        self.pending = _NOTHING
        self.wake()

    def wake(self) -> None:
        """Let every waiter look again."""
        waiters = self.waiters
        if waiters:
            self.waiters = []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def changed(self) -> None:
        """Wait until something happened to the log.  Cancel-safe; leaves nothing behind."""
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            await waiter
        finally:
            if not waiter.done() or waiter.cancelled():
                self.waiters = [other for other in self.waiters if other is not waiter]


class Rider(NamedTuple):
    """What an append brings besides its payload, which may be nothing then."""

    meta: bytes | None = None
    producer: Producer | None = None
    close: bool = False
    refusal: HoldfastError | None = None
    """What its waiter gets in the place of the tail, when all before it has reached its level."""


class Append:
    """An extent on its way into the store."""

    __slots__ = ("cost", "extent", "future", "generation", "level", "rider", "settled", "size", "state")

    def __init__(
        self, state: LogState, extent: Extent, level: int, future: asyncio.Future[int], rider: Rider | None = None
    ) -> None:
        self.state = state
        self.generation = state.generation
        self.extent = extent
        self.size = extent.size
        self.cost = extent.cost
        self.rider = rider
        if rider is not None and rider.meta is not None:
            self.size += len(rider.meta)
            self.cost += len(rider.meta)
        self.level = level
        self.future = future
        self.settled = level == 0
        """Whether it has reached its ack level by itself."""


class Control:
    """Any other change on its way into the store, in line with the appends.

    ``run`` happens on the store's side, inside its transaction, and may raise a HoldfastError before it
    changes anything; ``apply`` gets its result on the event loop once it is durable, whether or not anybody
    still waits for ``future``; ``undo`` is called there if it was not stored.
    """

    __slots__ = ("apply", "future", "generation", "level", "result", "run", "state", "undo")

    size = 0

    def __init__(
        self,
        state: LogState | None,
        run: Callable[[], Any],
        apply: Callable[[Any], Any],
        future: asyncio.Future[Any],
        *,
        undo: Callable[[], None] | None = None,
        level: int = 2,
    ) -> None:
        self.state = state
        self.generation = 0 if state is None else state.generation
        self.run = run
        self.apply = apply
        self.undo = undo
        self.future = future
        self.level = level
        self.result: Any = None

    def succeed(self) -> None:
        """It is durable, or ``run`` refused: apply the result, tell the waiter."""
        if isinstance(self.result, HoldfastError):
            self.fail(self.result)
            return
        value = self.apply(self.result)
        if not self.future.done():
            self.future.set_result(value)

    def fail(self, error: HoldfastError) -> None:
        """It was not stored."""
        if self.undo is not None:
            self.undo()
        if not self.future.done():
            self.future.set_exception(fresh(error))


Operation = Append | Control
