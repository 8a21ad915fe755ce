from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast.engine.checks import extent_of
from holdfast.engine.state import Append, LogState
from holdfast.engine.tails import Tails
from holdfast.limits import LIMITS

TINY = LIMITS._replace(engine_cache_bytes=15_000)


def on_loop(test: Callable[[], None]) -> None:
    async def main() -> None:
        test()

    asyncio.run(main())


def store(tails: Tails, log: LogState, size: int, *, durable: bool = True) -> None:
    """Append ``size`` bytes in pieces of 10, each of which the log's tail remembers by itself."""
    for _ in range(size // 10):
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        append = Append(log, extent_of("bytes", log.tail, bytes(10), 0), 2, future)
        log.assign(append)
        tails.cost_bytes += append.extent.cost
        if durable:
            append.settled = True
            log.durable = log.tail
            log.advance()
            tails.touch([log])


def logs(count: int) -> list[LogState]:
    return [LogState(number, str(number), "bytes", oldest=0, tail=0) for number in range(count)]


def total(states: list[LogState]) -> int:
    return sum(state.cache.cost_bytes for state in states)


def test_one_log_keeps_its_end_and_no_more() -> None:
    def test() -> None:
        (log,) = logs(1)
        tails = Tails(TINY, evict=True)
        store(tails, log, 10_000)
        assert 0 < tails.cost_bytes == log.cache.cost_bytes <= TINY.log_cache_bytes
        assert log.cache.start > 0

    on_loop(test)


def test_the_longest_idle_log_goes_first() -> None:
    def test() -> None:
        states = first, second, third = logs(3)
        tails = Tails(TINY._replace(engine_cache_bytes=0), evict=False)
        store(tails, first, 10)
        cost = tails.cost_bytes
        tails = Tails(TINY._replace(engine_cache_bytes=3 * cost), evict=True)
        tails.cost_bytes = cost
        tails.touch([first])
        store(tails, second, 10)
        store(tails, third, 10)
        store(tails, first, 10)  # is no longer the longest idle one
        assert [state.cache.cost_bytes for state in states] == [2 * cost, 0, cost]
        assert tails.cost_bytes == total(states) == 3 * cost

    on_loop(test)


def test_what_is_not_durable_stays_whatever_it_costs() -> None:
    def test() -> None:
        (log,) = logs(1)
        tails = Tails(TINY, evict=True)
        store(tails, log, 2_000, durable=False)
        before = tails.cost_bytes
        tails.touch([log])
        assert tails.cost_bytes == before > TINY.engine_cache_bytes

    on_loop(test)


def test_an_engine_that_has_nothing_else_evicts_nothing() -> None:
    def test() -> None:
        (log,) = logs(1)
        tails = Tails(TINY, evict=False)
        store(tails, log, 2_000)
        assert log.cache.start == 0
        assert tails.cost_bytes > TINY.engine_cache_bytes

    on_loop(test)


def test_a_log_that_is_no_more_costs_nothing() -> None:
    def test() -> None:
        states = first, second = logs(2)
        tails = Tails(TINY._replace(engine_cache_bytes=100_000), evict=True)
        store(tails, first, 20)
        store(tails, second, 20)
        tails.forget(first)
        assert tails.cost_bytes == second.cache.cost_bytes == total(states) - first.cache.cost_bytes

    on_loop(test)
