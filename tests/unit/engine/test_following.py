"""Reading what is being stored, on a store that takes as long as the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from holdfast.engine.base import Piece, Run
from holdfast.engine.logs import Logs
from holdfast.engine.memory.store import MemoryStore
from holdfast.engine.state import Append, Control
from holdfast.errors import ClosedError, Gone, NotFound, StorageError


class SlowStore(MemoryStore):
    """Stores at once until :meth:`hold`, and then what it is told to."""

    def __init__(self) -> None:
        super().__init__(None)
        self._held: list[Append | Control] | None = None

    def submit(self, operation: Append | Control) -> None:
        """Do it, or keep it."""
        if self._held is None:
            super().submit(operation)
        else:
            self._held.append(operation)

    def hold(self) -> None:
        """From now on nothing is stored."""
        self._held = []

    def let(self, count: int) -> None:
        """Store the next ``count`` operations."""
        assert self._held is not None
        due, self._held[:count] = self._held[:count], []
        for operation in due:
            super().submit(operation)

    def refuse(self) -> None:
        """Fail to store what waits."""
        assert self.logs is not None and self._held is not None
        due, self._held = self._held, []
        self.logs.failed(due, StorageError("full"))


def on_a_slow_store(test: Callable[[SlowStore, Logs], Awaitable[None]]) -> None:
    """``test`` with a log ``b`` that holds ``one ``; ``two `` and ``three`` are being stored."""

    async def main() -> None:
        store = SlowStore()
        store.logs = logs = Logs(store, evict=False)
        await logs.create("b")
        await logs.append("b", b"one ")
        store.hold()
        appends = [logs.append("b", b"two "), logs.append("b", b"three")]
        await test(store, logs)
        store.let(10)
        await asyncio.gather(*appends, return_exceptions=True)

    asyncio.run(main())


async def waiting(logs: Logs, position: int) -> asyncio.Task[list[Piece]]:
    """Somebody who waits for what is at ``position``."""
    task = asyncio.create_task(logs.read_when_stored("b", position))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    return task


def test_what_is_stored_is_given_without_waiting_for_more() -> None:
    async def test(_: SlowStore, logs: Logs) -> None:
        assert await logs.read_when_stored("b", 1) == [Run(1, b"ne ")]

    on_a_slow_store(test)


def test_each_is_given_its_own_as_soon_as_that_is_stored() -> None:
    async def test(store: SlowStore, logs: Logs) -> None:
        second, third = await waiting(logs, 4), await waiting(logs, 8)
        store.let(1)
        assert await second == [Run(4, b"two ")]
        await asyncio.sleep(0)
        assert not third.done()
        store.let(1)
        assert await third == [Run(8, b"three")]

    on_a_slow_store(test)


def test_what_takes_too_long_is_not_waited_for() -> None:
    async def test(store: SlowStore, logs: Logs) -> None:
        assert await logs.read_when_stored("b", 4, within_s=0) == []
        assert await logs.read_when_stored("b", 0, within_s=0) == [Run(0, b"one ")]
        store.let(1)
        assert await logs.read_when_stored("b", 4, within_s=0) == [Run(4, b"two ")]

    on_a_slow_store(test)


def test_what_is_not_stored_after_all_is_not_waited_for() -> None:
    async def test(store: SlowStore, logs: Logs) -> None:
        at_the_tail_then, beyond_it = await waiting(logs, 4), await waiting(logs, 8)
        store.refuse()
        assert await at_the_tail_then == []
        assert await beyond_it == []

    on_a_slow_store(test)


def test_what_takes_the_place_of_what_failed_is_given() -> None:
    async def test(store: SlowStore, logs: Logs) -> None:
        task = await waiting(logs, 4)
        store.refuse()
        again = logs.append("b", b"2")
        store.let(1)
        assert await task == [Run(4, b"2")]
        await again

    on_a_slow_store(test)


def test_a_log_that_is_trimmed_deleted_or_stopped_meanwhile_says_so() -> None:
    async def trimmed(store: SlowStore, logs: Logs) -> None:
        task = await waiting(logs, 4)
        trim = asyncio.create_task(logs.trim("b", 8))
        await asyncio.sleep(0)
        store.let(3)
        await trim
        with pytest.raises(Gone):
            await task

    async def deleted(store: SlowStore, logs: Logs) -> None:
        task = await waiting(logs, 4)
        delete = asyncio.create_task(logs.delete("b"))
        await asyncio.sleep(0)
        store.let(3)
        await delete
        with pytest.raises(NotFound):
            await task

    async def stopped(_: SlowStore, logs: Logs) -> None:
        task = await waiting(logs, 4)
        logs.stop()
        with pytest.raises(ClosedError):
            await task

    for test in (trimmed, deleted, stopped):
        on_a_slow_store(test)


def test_who_leaves_leaves_nothing_behind() -> None:
    async def test(_: SlowStore, logs: Logs) -> None:
        task = await waiting(logs, 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not [waiter for state in logs.states() for waiter in state.waiters]

    on_a_slow_store(test)
