from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from holdfast.records.holds import Holds

Run = Callable[[Coroutine[Any, Any, Any]], Any]
A, B, C = b"a", b"b", b"c"


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_what_is_taken_waits_and_what_is_shared_does_not(run: Run) -> None:
    async def main() -> None:
        holds = Holds()
        first = await holds.take([A, B])
        second = asyncio.create_task(holds.take([B, C]))
        shared = asyncio.create_task(holds.share(A))
        free = await holds.take([C])
        await settled()
        assert not second.done()
        assert not shared.done()
        first.release()
        first.release()
        await settled()
        assert shared.done()
        assert not second.done(), "C is taken still"
        free.release()
        (await second).release()
        other = await holds.share(A)
        taking = asyncio.create_task(holds.take([A]))
        await settled()
        other.release()
        await settled()
        assert not taking.done()
        shared.result().release()
        (await taking).release()

    run(main())


def test_trying_takes_what_nobody_has(run: Run) -> None:
    async def main() -> None:
        holds = Holds()
        with await holds.take([A]), await holds.share(B), holds.try_take([A, B, C]) as hold:
            assert list(hold.digests) == [C]
        with holds.try_take([A, B, C]) as hold:
            assert list(hold.digests) == [A, B, C]

    run(main())


def test_a_wait_that_is_cancelled_takes_nothing(run: Run) -> None:
    async def main() -> None:
        holds = Holds()
        first = await holds.take([A])
        waiting = [asyncio.create_task(holds.take([A, B])), asyncio.create_task(holds.share(A))]
        await settled()
        for task in waiting:
            task.cancel()
        await settled()
        first.release()
        with holds.try_take([A, B]) as hold:
            assert list(hold.digests) == [A, B]

    run(main())


def test_many_at_once_never_overlap_and_all_come_through(run: Run) -> None:
    async def one(holds: Holds, seed: int, taken: set[int], shared: dict[int, int]) -> None:
        rng = random.Random(seed)
        for _ in range(20):
            wanted = rng.sample(range(6), rng.randint(1, 4))
            if rng.random() < 0.4:
                number = wanted[0]
                with await holds.share(bytes([number])):
                    assert number not in taken
                    shared[number] = shared.get(number, 0) + 1
                    await asyncio.sleep(0)
                    shared[number] -= 1
            else:
                with await holds.take([bytes([number]) for number in wanted]):
                    assert not taken & set(wanted)
                    assert not any(shared.get(number) for number in wanted)
                    taken |= set(wanted)
                    await asyncio.sleep(0)
                    taken -= set(wanted)

    async def main() -> None:
        holds, taken, shared = Holds(), set[int](), dict[int, int]()
        await asyncio.gather(*(one(holds, seed, taken, shared) for seed in range(30)))
        assert not holds._taken
        assert not holds._shared

    run(main())
