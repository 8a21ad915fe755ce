"""Following a log: every piece once, in order, through trims, closes, restarts of the reader and cancellations.

And reading what is only just being stored.
"""

from __future__ import annotations

import asyncio

import pytest

from ...errors import ClosedError, Gone, NotFound, UsageError
from ..base import Engine, Entry, Piece
from .support import EngineFactory, cells, collect, payload, scenario, step


class FollowContract:
    """What followers of a log get."""

    @scenario
    async def test_what_is_there_and_what_comes(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", b"old ")
        follower = engine.log.follow("b", 0)
        assert payload(await step(follower)) == b"old "
        waiting = asyncio.create_task(step(follower))
        await asyncio.sleep(0)
        assert not waiting.done()
        await engine.log.append("b", b"new")
        assert payload(await waiting) == b"new"

    @scenario
    async def test_the_end_comes_after_the_last_piece(self, engine: Engine) -> None:
        await engine.log.create("e", mode="entries")
        await engine.log.append("e", [b"1", b"2", b"3"])
        await engine.log.close("e")
        assert await collect(engine.log.follow("e", 2)) == [Entry(2, b"2"), Entry(3, b"3")]
        follower = engine.log.follow("e", 4)
        assert await collect(follower) == []
        with pytest.raises(StopAsyncIteration):
            await step(follower)

    @scenario
    async def test_final_append_and_close_racing_a_live_reader(self, engine: Engine) -> None:
        """Regression 7: last bytes before the end marker, always."""
        for number in range(20):
            name = f"race {number}"
            await engine.log.create(name)
            readers = [asyncio.create_task(collect(engine.log.follow(name, 0))) for _ in range(3)]
            if number % 2:
                await asyncio.sleep(0)
            waits = [engine.log.append(name, b"%d " % part) for part in range(number)]
            last = engine.log.append(name, b"last", ack=("disk", "os", "memory")[number % 3])
            await asyncio.gather(engine.log.close(name), *waits, last)
            for reader in readers:
                assert payload(await reader) == b"".join(b"%d " % part for part in range(number)) + b"last"

    @scenario
    async def test_ten_followers_through_trims(self, engine: Engine) -> None:
        """Regression 25: no gap, no repeat, no stop."""
        await engine.log.create("b")
        followers = [engine.log.follow("b", 0, max_bytes=1 + 40 * number) for number in range(10)]
        given: list[list[Piece]] = [[] for _ in followers]

        async def advance(number: int, position: int) -> None:
            while not given[number] or given[number][-1].end < position:
                given[number] += await step(followers[number])

        end = 0
        for part in range(30):
            end = await engine.log.append("b", bytes([part]) * 50, tag=part % 2)
            others = [asyncio.create_task(advance(number, end)) for number in range(10)]
            await asyncio.gather(*others)
            await engine.log.trim("b", end - part % 3)
        last = [asyncio.create_task(collect(follower)) for follower in followers]
        await engine.log.append("b", b"end")
        await engine.log.close("b")
        want = [(part, part % 2) for part in range(30) for _ in range(50)] + [(byte, 0) for byte in b"end"]
        for pieces, rest in zip(given, last, strict=True):
            assert cells(pieces + await rest, 0) == want

    @scenario
    async def test_a_reader_parked_while_retention_trims(self, engine: Engine) -> None:
        """Regression 8: Gone, never a silent skip."""
        await engine.log.create("b")
        await engine.log.append("b", bytes(range(200)))
        follower = engine.log.follow("b", 0, max_bytes=50)
        assert len(payload(await step(follower))) == 50
        await engine.log.trim("b", 50)
        assert payload(await step(follower)) == bytes(range(50, 100))
        await engine.log.trim("b", 101)
        for _ in range(2):
            with pytest.raises(Gone) as caught:
                await step(follower)
            assert caught.value.oldest == 101

    @scenario
    async def test_deleting_ends_all_followers_with_not_found(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", b"x")
        behind, live = engine.log.follow("b", 0), engine.log.follow("b", 1)
        waiting = asyncio.create_task(step(live))
        await asyncio.sleep(0)
        await engine.log.delete("b")
        await engine.log.create("b")
        await engine.log.append("b", b"another log")
        with pytest.raises(NotFound):
            await waiting
        for follower in (behind, live, engine.log.follow("unknown", 0)):
            with pytest.raises(NotFound):
                await step(follower)

    @scenario
    async def test_from_where_nothing_can_be(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", b"abc")
        await engine.log.trim("b", 2)
        with pytest.raises(Gone):
            await step(engine.log.follow("b", 1))
        with pytest.raises(UsageError):
            await step(engine.log.follow("b", 4))

    @scenario
    async def test_a_cancelled_step_loses_nothing(self, engine: Engine) -> None:
        await engine.log.create("e", mode="entries")
        follower = engine.log.follow("e", 1)
        given: list[Piece] = []
        for number in range(20):
            waiting = asyncio.create_task(step(follower))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            wait = engine.log.append("e", [b"%d" % number])
            if number % 2:
                await wait
            waiting.cancel()
            for result in await asyncio.gather(waiting, return_exceptions=True):
                given += result if isinstance(result, list) else []
            await wait
        await engine.log.close("e")
        given += await collect(follower)
        assert given == [Entry(number + 1, b"%d" % number) for number in range(20)]

    @scenario
    async def test_a_slow_follower_misses_nothing(self, engine: Engine) -> None:
        await engine.log.create("b")
        slow, fast = engine.log.follow("b", 0, max_bytes=700), engine.log.follow("b", 0)
        reading = asyncio.create_task(collect(fast))
        want = b""
        for number in range(200):
            want += bytes([number]) * 100
            engine.log.append("b", bytes([number]) * 100)
        await engine.log.close("b")
        assert payload(await reading) == payload(await collect(slow)) == want

    @scenario
    async def test_many_logs_at_once(self, engine: Engine) -> None:
        names = [f"log {number}" for number in range(20)]
        for name in names:
            await engine.log.create(name, mode="entries")
        readers = [asyncio.create_task(collect(engine.log.follow(name, 1))) for name in names]
        for number in range(20):
            for name in names:
                engine.log.append(name, [name.encode(), b"%d" % number], ack="os" if number % 2 else "disk")
        for name in names:
            await engine.log.close(name)
        for name, reader in zip(names, readers, strict=True):
            data = [piece.data for piece in await reader if isinstance(piece, Entry)]
            assert data == [part for number in range(20) for part in (name.encode(), b"%d" % number)]

    @scenario
    async def test_closing_the_iterator(self, engine: Engine) -> None:
        await engine.log.create("b")
        follower = engine.log.follow("b", 0)
        waiting = asyncio.create_task(step(follower))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await engine.log.append("b", b"x")
        close = getattr(follower, "aclose", None)
        if close is not None:
            await close()
            with pytest.raises(StopAsyncIteration):
                await step(follower)

    def test_stopping_the_engine_wakes_followers(self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            await engine.log.create("b")
            waiting = asyncio.create_task(collect(engine.log.follow("b", 0)))
            await asyncio.sleep(0)
            await engine.stop()
            with pytest.raises(ClosedError):
                await waiting

        asyncio.run(main())

    # -- reading what is being stored -------------------------------------------------------------------------

    @scenario
    async def test_what_is_being_stored_is_waited_for(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.create("e", mode="entries")
        waits = [engine.log.append("b", b"%d" % number) for number in range(5)]
        waits += [engine.log.append("e", [b"1", b"2"]), engine.log.append("e", [b"3"])]
        assert payload(await engine.log.read_when_stored("b", 4)) == b"4"
        assert payload(await engine.log.read_when_stored("b", 1, max_bytes=2)) == b"12"
        assert Entry(3, b"3") in await engine.log.read_when_stored("e", 3)
        await asyncio.gather(*waits)

    @scenario
    async def test_where_nothing_is_being_stored_nothing_is_waited_for(self, engine: Engine) -> None:
        await engine.log.create("b")
        assert await engine.log.read_when_stored("b", 0) == []
        await engine.log.append("b", b"abc")
        assert payload(await engine.log.read_when_stored("b", 1)) == b"bc"
        assert await engine.log.read_when_stored("b", 3) == []
        await engine.log.trim("b", 2)
        await engine.log.close("b")
        assert await engine.log.read_when_stored("b", 3) == []
        with pytest.raises(Gone):
            await engine.log.read_when_stored("b", 1)
        with pytest.raises(UsageError):
            await engine.log.read_when_stored("b", 4)
        with pytest.raises(NotFound):
            await engine.log.read_when_stored("unknown", 0)

    @scenario
    async def test_who_waits_for_what_is_being_stored_may_leave(self, engine: Engine) -> None:
        await engine.log.create("b")
        append = engine.log.append("b", b"x")
        leaving = asyncio.create_task(engine.log.read_when_stored("b", 0))
        staying = asyncio.create_task(engine.log.read_when_stored("b", 0))
        await asyncio.sleep(0)
        leaving.cancel()
        hasty = await engine.log.read_when_stored("b", 0, within_s=0)
        assert payload(hasty) in (b"", b"x")
        assert payload(await staying) == b"x"
        await append
