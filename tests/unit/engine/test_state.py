from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.base import Producer
from holdfast.engine.checks import extent_of
from holdfast.engine.state import Append, Control, LogState, Losses, Rider, fresh
from holdfast.errors import Conflict, CorruptionError, Duplicate, StorageError


def on_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def state() -> LogState:
    return LogState(1, "a", "bytes", oldest=0, tail=0)


def append(log: LogState, data: bytes, level: int, rider: Rider | None = None) -> Append:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    made = Append(log, extent_of("bytes", log.tail, data, 0), level, future, rider)
    log.assign(made)
    return made


def test_visible_in_order_whatever_the_levels() -> None:
    async def test() -> None:
        log = state()
        first, second, third = append(log, b"ab", 2), append(log, b"c", 0), append(log, b"d", 1)
        assert (log.tail, log.visible, second.future.done()) == (4, 0, False)
        first.settled = True
        log.advance()
        assert (log.visible, first.future.result(), second.future.result()) == (3, 2, 3)
        assert not third.future.done()
        assert append(log, b"e", 0).future.done() is False
        third.settled = True
        log.advance()
        assert log.visible == log.tail == 5

    on_loop(test)


def test_memory_is_visible_at_once() -> None:
    async def test() -> None:
        log = state()
        assert append(log, b"ab", 0).future.result() == 2
        assert (log.visible, log.durable) == (2, 0)

    on_loop(test)


def test_failing_takes_back_what_is_not_durable() -> None:
    async def test() -> None:
        log = state()
        shown = append(log, b"shown", 0)
        failing = [append(log, b"abc", 2), append(log, b"d", 2)]
        log.fail(StorageError("full"))
        assert shown.future.result() == 5
        for one in failing:
            with pytest.raises(StorageError, match="full"):
                one.future.result()
        assert (log.tail, log.visible, log.stored_bytes, log.generation) == (0, 0, 0, 1)
        assert not log.pending
        assert log.losses.below(5, 0) == 0
        assert append(log, b"new", 2).extent.position == 0

    on_loop(test)


def test_what_an_append_brings_is_seen_when_it_is() -> None:
    async def test() -> None:
        log = state()
        producer = Producer("p", 0, 0)
        first = append(log, b"ab", 2)
        second = append(log, b"", 0, Rider(meta=b"m", producer=producer, close=True))
        again = append(log, b"", 0, Rider(refusal=Duplicate(sequence=0, position=2)))
        assert (log.closing, log.closed, log.meta, log.producer("p")) == (True, False, b"", producer)
        assert (second.size, second.cost - second.extent.cost) == (1, 1)
        waiting = asyncio.create_task(log.changed())
        await asyncio.sleep(0)
        first.settled = True
        log.advance()
        await waiting
        assert (log.closed, log.meta, second.future.result()) == (True, b"m", 2)
        with pytest.raises(Duplicate):
            again.future.result()

    on_loop(test)


def test_failing_takes_back_what_came_with_an_append() -> None:
    async def test() -> None:
        log = LogState(1, "a", "bytes", oldest=0, tail=0, meta=b"first")
        stored = append(log, b"ab", 1, Rider(meta=b"stored", producer=Producer("p", 0, 0)))
        assert stored.rider is not None
        log.store(stored.rider, 1)
        log.durable, stored.settled = 2, True
        log.advance()
        append(log, b"c", 0, Rider(meta=b"lost", producer=Producer("p", 0, 1), close=True))
        again = append(log, b"", 2, Rider(refusal=Duplicate()))
        assert (log.meta, log.closed) == (b"lost", True)
        log.fail(StorageError("full"))
        assert (log.meta, log.closing, log.closed, log.tail) == (b"stored", False, False, 2)
        assert log.producer("p") == Producer("p", 0, 0)
        with pytest.raises(StorageError):
            again.future.result()

    on_loop(test)


def test_an_end_that_is_stored_stays() -> None:
    async def test() -> None:
        log = state()
        rider = Rider(close=True)
        append(log, b"", 0, rider)
        assert (log.closed, log.closed_level) == (True, 0)
        log.store(rider, 0)
        log.fail(StorageError("full"))
        assert (log.closed, log.closed_level) == (True, 1)

    on_loop(test)


def test_waiting_leaves_nothing_behind() -> None:
    async def test() -> None:
        log = state()
        tasks = [asyncio.create_task(log.changed()) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(log.waiters) == 3
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        assert len(log.waiters) == 2
        log.wake()
        assert log.waiters == []
        await asyncio.gather(tasks[0], tasks[2])

    on_loop(test)


def test_a_control_is_applied_whether_or_not_anybody_waits() -> None:
    async def test() -> None:
        applied: list[int] = []
        undone: list[int] = []
        loop = asyncio.get_running_loop()

        def control() -> Control:
            return Control(None, int, applied.append, loop.create_future(), undo=lambda: undone.append(1))

        abandoned, refused, lost = control(), control(), control()
        abandoned.future.cancel()
        abandoned.result = 5
        abandoned.succeed()
        refused.result = Conflict("no", 1, 2)
        refused.succeed()
        lost.fail(StorageError("full"))
        assert (applied, undone) == ([5], [1, 1])
        with pytest.raises(Conflict) as caught:
            refused.future.result()
        assert (caught.value.expected, caught.value.actual) == (1, 2)
        with pytest.raises(StorageError):
            lost.future.result()

    on_loop(test)


def test_each_waiter_gets_an_error_of_its_own() -> None:
    error = CorruptionError(where="here", expected="a", got="b")
    copy = fresh(error)
    assert copy is not error
    assert isinstance(copy, CorruptionError)
    assert (str(copy), copy.details()) == (str(error), error.details())


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=40))
def test_losses(history: list[tuple[int, int]]) -> None:
    """A reader is told of the lowest fall below its position since it last looked."""
    losses, falls, looked = Losses(), [], 0
    for fall, position in history:
        losses.add(fall)
        falls.append(fall)
        want = min(falls[looked:])
        assert losses.below(position, looked) == (want if want < position else None)
        if position % 5 == 0:
            looked = losses.count
            assert losses.below(position, looked) is None


def test_losses_are_bounded() -> None:
    losses = Losses()
    for position in range(1000):
        losses.add(position)
    assert len(losses._falls) <= Losses._KEPT
    assert losses.below(1000, 0) == 0
    assert losses.below(1000, 998) == 998
    assert losses.below(1000, 999) == 999
