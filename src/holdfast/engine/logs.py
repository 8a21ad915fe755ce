"""The :class:`~holdfast.engine.base.Log` of the engines that keep a node's logs themselves.

Everything the contract says about positions, order, visibility and followers is decided here, on the event
loop; a :class:`~holdfast.engine.store.Store` below it makes things durable and finds what is no longer in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from ..errors import (
    AlreadyExists,
    ClosedError,
    Conflict,
    CorruptionError,
    Gone,
    HoldfastError,
    LimitExceeded,
    NotFound,
    UsageError,
)
from ..limits import LIMITS, Limits
from . import checks
from .base import AckLevel, LogMode, LogStat, Piece, Producer
from .extents import Extent
from .following import Follower, read_when_stored
from .producers import check_next, check_room, repetition
from .state import Append, Control, LogState, Rider
from .store import Store
from .tails import Tails


class Logs:
    """Implements :class:`~holdfast.engine.base.Log` over ``store``."""

    def __init__(
        self, store: Store, states: Iterable[LogState] = (), *, limits: Limits = LIMITS, evict: bool = True
    ) -> None:
        """``evict``: whether what is durable may leave the memory when there is too much of it."""
        self._store = store
        self._submit = store.submit
        self._loop = asyncio.get_running_loop()
        self._states = {state.name: state for state in states}
        self._creating: set[str] = set()
        self._limits = limits
        self._tails = Tails(limits, evict=evict)
        self._pending_bytes = 0
        self._stopped = False

    # -- changing ---------------------------------------------------------------------------------------------

    async def create(self, name: str, *, mode: LogMode = "bytes", meta: bytes = b"") -> LogStat:
        """Make an empty log, durable on return.  AlreadyExists if there is one of that name."""
        checks.check_key(name, "name")
        checks.check_mode(mode)
        checks.check_meta(meta)
        self._claim(name)
        stat: LogStat = await self._change(
            None,
            self._store.creating(name, mode, meta),
            partial(self._created, name, mode, meta),
            undo=partial(self._creating.discard, name),
        )
        return stat

    def _created(self, name: str, mode: LogMode, meta: bytes, log_id: int) -> LogStat:
        self._creating.discard(name)
        first = checks.first_position(mode)
        state = self._states[name] = LogState(log_id, name, mode, oldest=first, tail=first, meta=meta)
        return state.stat()

    async def fork(self, name: str, source: str, position: int, *, meta: bytes = b"") -> LogStat:
        """See :meth:`holdfast.engine.base.Log.fork`."""
        checks.check_key(name, "name")
        checks.check_position(position)
        checks.check_meta(meta)
        state = self._state(source)
        self.check_readable(state, position)
        self._claim(name)
        stat: LogStat = await self._change(
            state,
            self._store.forking(state, name, position, meta),
            self._forked,
            undo=partial(self._creating.discard, name),
        )
        return stat

    def _forked(self, state: LogState) -> LogStat:
        self._creating.discard(state.name)
        self._states[state.name] = state
        self._tails.cost_bytes += state.cache.cost_bytes
        return state.stat()

    def _claim(self, name: str) -> None:
        """Take a name for a log that is being made."""
        if name in self._states or name in self._creating:
            raise AlreadyExists(f"log {name!r} exists already", kind="log", name=name)
        self._creating.add(name)

    def append(
        self,
        name: str,
        data: bytes | Sequence[bytes],
        *,
        count: int | None = None,
        tag: int = 0,
        expected_tail: int | None = None,
        ack: AckLevel = "disk",
        meta: bytes | None = None,
        producer: Producer | None = None,
        close: bool = False,
    ) -> Awaitable[int]:
        """See :meth:`holdfast.engine.base.Log.append`; every error comes through the awaitable."""
        future: asyncio.Future[int] = self._loop.create_future()
        try:
            level = checks.check_ack(ack)
            rider = None
            if meta is not None or producer is not None or close:
                rider = self._rider(name, meta, producer, close)
                if rider.refusal is not None:
                    self._place(_bare(self._state(name), level, future, rider))
                    return future
            state = self._appendable(name, expected_tail)
            if producer is not None:
                self._check_next(state, producer)
            extent = checks.extent_of(state.mode, state.tail, data, tag, count)
            if extent.end > extent.position or rider is not None:
                self._append(Append(state, extent, level, future, rider))
            else:
                future.set_result(state.tail)
        except HoldfastError as error:
            future.set_exception(error)
        return future

    def _rider(self, name: str, meta: bytes | None, producer: Producer | None, close: bool) -> Rider:
        """With a refusal if the append must not be made; Fenced if it never can be."""
        if meta is not None:
            checks.check_meta(meta)
        refusal = None
        if producer is not None:
            state = self._state(name)
            refusal = repetition(state.producer(checks.check_producer(producer).id), producer, state.tail)
        return Rider(meta, producer, close) if refusal is None else Rider(refusal=refusal)

    def _check_next(self, state: LogState, producer: Producer) -> None:
        known = state.producer(producer.id)
        check_next(known, producer)
        if known is None and state.producers is not None:
            check_room(state.producers, self._limits.log_producers_max)

    async def annotate(self, name: str, meta: bytes) -> None:
        """Replace the log's meta, durable on return; in line with its appends, and on closed logs too."""
        state = self._state(name)
        future: asyncio.Future[int] = self._loop.create_future()
        self._append(_bare(state, 2, future, Rider(meta=checks.check_meta(meta))))
        await future

    async def producer(self, name: str, producer_id: str) -> Producer | None:
        """The last append of this producer that has its place in the log; it may not be stored yet.  NotFound."""
        return self._state(name).producer(checks.check_key(producer_id, "producer_id"))

    def skip(self, name: str, length: int, *, expected_tail: int | None = None) -> Awaitable[int]:
        """Record a hole of ``length`` bytes at the tail of a bytes-mode log; as :meth:`append` otherwise."""
        future: asyncio.Future[int] = self._loop.create_future()
        try:
            state = self._appendable(name, expected_tail)
            if state.mode != "bytes":
                raise UsageError(f"log {name!r} holds entries; only bytes can be skipped", field="name")
            if length < 1:
                raise UsageError(f"length: must be at least 1, not {length}", field="length")
            end = checks.check_position(state.tail + length, "length")
            self._append(Append(state, Extent(state.tail, end, 0, 0, None), 2, future))
        except HoldfastError as error:
            future.set_exception(error)
        return future

    def _appendable(self, name: str, expected_tail: int | None) -> LogState:
        state = self._states.get(name)
        if state is None or state.deleting:
            raise NotFound(kind="log", name=name)
        if state.closing:
            raise ClosedError(f"log {name!r} is closed")
        if expected_tail is not None and expected_tail != state.tail:
            raise Conflict(
                f"log {name!r}: expected tail {expected_tail}, found {state.tail}", expected_tail, state.tail
            )
        return state

    def _append(self, append: Append) -> None:
        pending = self._pending_bytes + append.cost
        if pending > self._limits.engine_pending_bytes_max and self._pending_bytes:
            raise LimitExceeded(
                "too much is waiting to be stored; await earlier appends first",
                name="engine_pending_bytes_max",
                limit=self._limits.engine_pending_bytes_max,
                value=pending,
            )
        self._place(append)

    def _place(self, append: Append) -> None:
        if self._stopped:
            raise ClosedError("the engine was stopped")
        self._pending_bytes += append.cost
        extent = append.extent
        if extent.end > extent.position:
            self._tails.cost_bytes += extent.cost
        append.state.assign(append)
        self._submit(append)

    async def trim(self, name: str, position: int) -> None:
        """Forget all below ``position``, durable on return; UsageError beyond the tail."""
        state = self._state(name)
        checks.check_position(position)
        if position > state.tail:
            raise UsageError(f"position: {position} is beyond the tail {state.tail} of log {name!r}", field="position")
        if position > state.oldest:
            await self._change(state, self._store.trimming(state, position), partial(self._trimmed, state, position))

    def _trimmed(self, state: LogState, position: int, freed_bytes: int) -> None:
        state.stored_bytes -= freed_bytes
        state.oldest = max(state.oldest, position)
        self._tails.cost_bytes -= state.cache.drop_below(position)

    async def close(self, name: str) -> None:
        """No more appends; followers end after the last piece.  Idempotent, durable on return."""
        state = self._state(name)
        if state.closed_level < 2:
            future: asyncio.Future[int] = self._loop.create_future()
            self._place(_bare(state, 2, future, Rider(close=True)))
            await future

    async def delete(self, name: str) -> None:
        """Remove the log; its followers get NotFound.  NotFound if there is none."""
        state = self._state(name)
        state.deleting = True
        await self._change(
            state, self._store.deleting(state), partial(self._deleted, state), undo=partial(self._undelete, state)
        )

    def _deleted(self, state: LogState, _result: None) -> None:
        del self._states[state.name]
        self._tails.forget(state)
        state.wake()

    def _undelete(self, state: LogState) -> None:
        state.deleting = False

    async def _change(
        self,
        state: LogState | None,
        run: Callable[[], Any],
        apply: Callable[[Any], Any],
        undo: Callable[[], None] | None = None,
    ) -> Any:
        control = Control(state, run, apply, self._loop.create_future(), undo=undo)
        try:
            self._check_running()
        except ClosedError:
            if undo is not None:
                undo()
            raise
        self._submit(control)
        return await control.future

    # -- what became of it (called by the store, on the event loop) -------------------------------------------

    def stored(self, operations: Iterable[Append | Control]) -> None:
        """``operations`` are durable, or as durable as they asked for."""
        touched: dict[LogState, None] = {}
        for operation in operations:
            if type(operation) is Append:
                extent = operation.extent
                self._pending_bytes -= operation.cost
                state = operation.state
                if operation.generation == state.generation:
                    state.durable = extent.end
                    operation.settled = True
                    if operation.rider is not None:
                        state.store(operation.rider, operation.level)
                    touched[state] = None
            elif isinstance(operation, Control):
                for state in touched:
                    state.advance()
                operation.succeed()
        for state in touched:
            state.advance()
        self._tails.touch(touched)

    def failed(self, operations: Iterable[Append | Control], error: HoldfastError) -> None:
        """Nothing of ``operations`` was stored; what is queued behind them on the same logs will fail too."""
        for operation in operations:
            if isinstance(operation, Append):
                self._pending_bytes -= operation.cost
            state = operation.state
            if state is not None and operation.generation == state.generation:
                before = state.cache.cost_bytes
                state.fail(error)
                self._tails.cost_bytes -= before - state.cache.cost_bytes
            if isinstance(operation, Control):
                operation.fail(error)

    # -- reading ----------------------------------------------------------------------------------------------

    async def read(self, name: str, position: int, *, max_bytes: int = 1 << 20) -> list[Piece]:
        """See :meth:`holdfast.engine.base.Log.read`."""
        state = self._state(name)
        checks.check_position(position)
        return await self.read_state(state, position, checks.check_max_bytes(max_bytes))

    async def read_when_stored(
        self, name: str, position: int, *, max_bytes: int = 1 << 20, within_s: float | None = None
    ) -> list[Piece]:
        """See :meth:`holdfast.engine.base.Log.read_when_stored`."""
        checks.check_position(position)
        return await read_when_stored(self, self._state(name), position, checks.check_max_bytes(max_bytes), within_s)

    async def read_state(self, state: LogState, position: int, max_bytes: int) -> list[Piece]:
        """:meth:`read` for a log that was looked up before."""
        self.check_readable(state, position)
        if position >= state.visible:
            return []
        if position >= state.cache.start:
            return state.cache.read(position, state.visible, max_bytes)
        pieces = await self._store.fetch(state, position, state.visible, max_bytes)
        if not pieces:
            self.check_readable(state, position)
            if state.deleting:  # the store may have let go of it before we hear that it is gone
                raise NotFound(kind="log", name=state.name)
            raise CorruptionError(
                f"log {state.name!r}: nothing is stored at position {position}, though the log reaches from "
                f"{state.oldest} to {state.tail}",
                where=f"log {state.name!r}, position {position}",
                expected="a run",
                got="nothing",
            )
        return pieces

    def check_readable(self, state: LogState, position: int) -> None:
        """NotFound, Gone or UsageError if nothing can ever be read at ``position``."""
        if state.deleting and self._states.get(state.name) is not state:
            raise NotFound(kind="log", name=state.name)
        if position < state.oldest:
            raise Gone(f"log {state.name!r}: the oldest kept position is {state.oldest}", oldest=state.oldest)
        if position > state.tail:
            raise UsageError(
                f"position: {position} is beyond the tail {state.tail} of log {state.name!r}", field="position"
            )
        self._check_running()

    def follow(self, name: str, position: int, *, max_bytes: int = 1 << 20) -> Follower:
        """See :meth:`holdfast.engine.base.Log.follow`."""
        checks.check_position(position)
        return Follower(self, self._states.get(name), name, position, checks.check_max_bytes(max_bytes))

    async def stat(self, name: str) -> LogStat:
        """The figures of one log.  NotFound if there is none."""
        return self._state(name).stat()

    async def list(self, prefix: str = "") -> Sequence[LogStat]:
        """The figures of all logs whose name starts with ``prefix``, by name."""
        names = sorted(name for name in self._states if name.startswith(prefix))
        return [self._states[name].stat() for name in names]

    def _state(self, name: str) -> LogState:
        state = self._states.get(name)
        if state is None or state.deleting:
            raise NotFound(kind="log", name=name)
        return state

    # -- the end ----------------------------------------------------------------------------------------------

    def _check_running(self) -> None:
        if self._stopped:
            raise ClosedError("the engine was stopped")

    def states(self) -> Iterable[LogState]:
        """All logs of now."""
        return self._states.values()

    def stop(self) -> None:
        """Refuse all from now on; followers get ClosedError.  What was queued is not touched."""
        self._stopped = True
        for state in self._states.values():
            state.wake()


def _bare(state: LogState, level: int, future: asyncio.Future[int], rider: Rider) -> Append:
    """An append of nothing but its rider."""
    return Append(state, Extent(state.tail, state.tail, 0, 0, b""), level, future, rider)
