"""Logs: positions, batches, reading, closing, deleting, and the whole of it again after a restart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...errors import AlreadyExists, ClosedError, Conflict, Gone, LimitExceeded, NotFound, UsageError
from ...limits import LIMITS
from ..base import Engine, Entry, Hole, LogStat, Run
from .support import EngineFactory, cells, payload, read_all, scenario


class LogContract:
    """What a log does without anybody following it."""

    @scenario
    async def test_a_new_log_is_empty(self, engine: Engine) -> None:
        assert await engine.log.create("b") == LogStat("b", "bytes", 0, 0, closed=False, stored_bytes=0, hole_bytes=0)
        made = await engine.log.create("e", mode="entries")
        assert made == LogStat("e", "entries", 1, 1, closed=False, stored_bytes=0, hole_bytes=0)
        assert await engine.log.read("b", 0) == await engine.log.read("e", 1) == []

    @scenario
    async def test_a_name_is_used_once(self, engine: Engine) -> None:
        results = await asyncio.gather(*(engine.log.create("a") for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results if isinstance(result, Exception)] == [AlreadyExists] * 2
        with pytest.raises(AlreadyExists):
            await engine.log.create("a", mode="entries")

    @pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "x" * (LIMITS.engine_key_length_max + 1)])
    def test_bad_names_are_refused(self, engine_factory: EngineFactory, name: str) -> None:
        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            try:
                with pytest.raises(UsageError, match="name"):
                    await engine.log.create(name)
            finally:
                await engine.stop()

        asyncio.run(main())

    @scenario
    async def test_a_bad_mode_is_refused(self, engine: Engine) -> None:
        mode: Any = "lines"
        with pytest.raises(UsageError, match="mode"):
            await engine.log.create("a", mode=mode)

    @scenario
    async def test_any_other_name_goes(self, engine: Engine) -> None:
        names = ["job/1/out put", "-", ".", "%", "_", "é", "\N{GRINNING FACE}", "A", "a", "'; --", "\U0010ffff"]
        for name in names:
            await engine.log.create(name)
        assert [stat.name for stat in await engine.log.list()] == sorted(names)

    @scenario
    async def test_append_gives_the_new_tail(self, engine: Engine) -> None:
        await engine.log.create("b")
        assert await engine.log.append("b", b"hello") == 5
        assert await engine.log.append("b", b"!", tag=3) == 6
        assert cells(await engine.log.read("b", 0), 0) == [(byte, 0) for byte in b"hello"] + [(b"!"[0], 3)]

    @scenario
    async def test_entries_are_counted_from_one(self, engine: Engine) -> None:
        await engine.log.create("e", mode="entries")
        assert await engine.log.append("e", [b"a", b"", b"ccc"], tag=2) == 4
        assert await engine.log.append("e", (b"d",)) == 5
        assert await engine.log.read("e", 1) == [
            Entry(1, b"a", 2),
            Entry(2, b"", 2),
            Entry(3, b"ccc", 2),
            Entry(4, b"d"),
        ]
        assert await engine.log.read("e", 3) == [Entry(3, b"ccc", 2), Entry(4, b"d")]
        assert (await engine.log.stat("e")).stored_bytes == 5

    @scenario
    async def test_places_are_given_in_the_order_of_the_calls(self, engine: Engine) -> None:
        await engine.log.create("b")
        waits = [engine.log.append("b", b"%d," % number) for number in range(300)]
        assert (await engine.log.stat("b")).tail == sum(len(b"%d," % number) for number in range(300))
        ends = [await wait for wait in reversed(waits)]
        assert ends == sorted(ends, reverse=True)
        assert payload(await read_all(engine.log, "b", 0)) == b"".join(b"%d," % number for number in range(300))

    @scenario
    async def test_an_acknowledged_append_is_read(self, engine: Engine) -> None:
        await engine.log.create("e", mode="entries")
        position = 1
        for level in ("disk", "os", "memory") * 5:
            end = await engine.log.append("e", [level.encode()], ack=level)
            assert await engine.log.read("e", position) == [Entry(position, level.encode())]
            position = end

    @scenario
    async def test_nothing_to_append(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.create("e", mode="entries")
        await engine.log.append("b", b"x")
        assert await engine.log.append("b", b"") == 1
        assert await engine.log.append("e", []) == 1

    @scenario
    async def test_what_cannot_be_appended(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.create("e", mode="entries")
        bad: list[tuple[str, Any, dict[str, Any]]] = [
            ("b", "text", {}),
            ("b", [b"x"], {}),
            ("e", b"x", {}),
            ("e", ["x"], {}),
            ("b", b"x", {"tag": 16}),
            ("b", b"x", {"tag": -1}),
            ("b", b"x", {"ack": "paper"}),
        ]
        for name, data, options in bad:
            with pytest.raises(UsageError):
                await engine.log.append(name, data, **options)
        with pytest.raises(LimitExceeded, match="append_bytes_max"):
            await engine.log.append("b", bytes(LIMITS.append_bytes_max + 1))
        with pytest.raises(NotFound):
            await engine.log.append("c", b"x")
        assert [stat.tail for stat in await engine.log.list()] == [0, 1]

    @scenario
    async def test_what_was_passed_may_change_afterwards(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.create("e", mode="entries")
        data, batch = bytearray(b"one"), [b"one"]
        waits = [engine.log.append("b", data), engine.log.append("e", batch)]  # type: ignore[arg-type]
        data[:] = b"two"
        batch[0] = b"two"
        await asyncio.gather(*waits)
        assert payload(await engine.log.read("b", 0)) == payload(await engine.log.read("e", 1)) == b"one"

    @scenario
    async def test_the_expected_tail_is_compared(self, engine: Engine) -> None:
        await engine.log.create("b")
        waits = [engine.log.append("b", b"ab", expected_tail=0), engine.log.append("b", b"c", expected_tail=2)]
        with pytest.raises(Conflict) as caught:
            await engine.log.append("b", b"d", expected_tail=2)
        assert (caught.value.expected, caught.value.actual) == (2, 3)
        with pytest.raises(Conflict):
            await engine.log.skip("b", 1, expected_tail=4)
        assert [await wait for wait in waits] == [2, 3]
        assert payload(await engine.log.read("b", 0)) == b"abc"

    @scenario
    async def test_cancelling_the_wait_does_not_undo(self, engine: Engine) -> None:
        async def wait() -> None:
            await engine.log.append("b", b"kept")

        await engine.log.create("b")
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await engine.log.append("b", b"!") == 5
        assert payload(await engine.log.read("b", 0)) == b"kept!"

    @scenario
    async def test_holes(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", b"ab")
        waits = [engine.log.skip("b", 10), engine.log.append("b", b"cd")]
        assert [await wait for wait in waits] == [12, 14]
        assert await engine.log.read("b", 0) == [Run(0, b"ab"), Hole(2, 10), Run(12, b"cd")]
        assert await engine.log.read("b", 5) == [Hole(5, 7), Run(12, b"cd")]
        stat = await engine.log.stat("b")
        assert (stat.tail, stat.stored_bytes, stat.hole_bytes) == (14, 4, 10)

    @scenario
    async def test_what_cannot_be_skipped(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.create("e", mode="entries")
        for name, length in (("b", 0), ("b", -1), ("b", 1 << 70), ("e", 1)):
            with pytest.raises(UsageError):
                await engine.log.skip(name, length)
        assert [stat.tail for stat in await engine.log.list()] == [0, 1]

    @scenario
    async def test_a_read_is_bounded(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", bytes(range(100)))
        await engine.log.append("b", bytes(range(100, 200)), tag=1)
        for size in (1, 7, 100, 199):
            got = payload(await engine.log.read("b", 3, max_bytes=size))
            assert 1 <= len(got) <= size
            assert got == bytes(range(3, 3 + len(got)))
        with pytest.raises(UsageError):
            await engine.log.read("b", 0, max_bytes=0)

    @scenario
    async def test_a_read_gives_at_least_one_entry(self, engine: Engine) -> None:
        await engine.log.create("e", mode="entries")
        await engine.log.append("e", [b"x" * 10, b"y" * 10, b"z"])
        assert await engine.log.read("e", 1, max_bytes=5) == [Entry(1, b"x" * 10)]
        assert await engine.log.read("e", 1, max_bytes=20) == [Entry(1, b"x" * 10), Entry(2, b"y" * 10)]
        assert await engine.log.read("e", 2, max_bytes=15) == [Entry(2, b"y" * 10), Entry(3, b"z")]
        assert await engine.log.read("e", 3, max_bytes=1) == [Entry(3, b"z")]

    @scenario
    async def test_reading_where_nothing_is(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", b"abc")
        assert await engine.log.read("b", 3) == []
        with pytest.raises(UsageError):
            await engine.log.read("b", 4)
        with pytest.raises(UsageError):
            await engine.log.read("b", -1)
        with pytest.raises(NotFound):
            await engine.log.read("c", 0)

    @scenario
    async def test_trimming(self, engine: Engine) -> None:
        await engine.log.create("b")
        for text in (b"abc", b"def", b"ghi"):
            await engine.log.append("b", text)
        await engine.log.trim("b", 4)
        await engine.log.trim("b", 2)
        with pytest.raises(Gone) as caught:
            await engine.log.read("b", 3)
        assert caught.value.oldest == 4
        assert payload(await engine.log.read("b", 4)) == b"efghi"
        stat = await engine.log.stat("b")
        assert (stat.oldest, stat.tail, stat.stored_bytes) == (4, 9, 5)
        with pytest.raises(UsageError):
            await engine.log.trim("b", 10)
        await engine.log.trim("b", 9)
        assert await engine.log.read("b", 9) == []
        assert await engine.log.append("b", b"j") == 10
        assert payload(await engine.log.read("b", 9)) == b"j"

    @scenario
    async def test_trimming_entries(self, engine: Engine) -> None:
        await engine.log.create("e", mode="entries")
        await engine.log.append("e", [b"x" * number for number in range(10)])
        await engine.log.trim("e", 4)
        stat = await engine.log.stat("e")
        assert (stat.oldest, stat.tail, stat.stored_bytes) == (4, 11, sum(range(3, 10)))
        assert (await engine.log.read("e", 4))[0] == Entry(4, b"xxx")
        await engine.log.trim("e", 11)
        assert (await engine.log.stat("e")).stored_bytes == 0

    @scenario
    async def test_trimmed_holes_are_still_counted(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", b"ab")
        await engine.log.skip("b", 10)
        await engine.log.append("b", b"cd")
        await engine.log.trim("b", 7)
        assert await engine.log.read("b", 7) == [Hole(7, 5), Run(12, b"cd")]
        await engine.log.trim("b", 13)
        stat = await engine.log.stat("b")
        assert (stat.oldest, stat.stored_bytes, stat.hole_bytes) == (13, 1, 10)

    @scenario
    async def test_a_closed_log_takes_nothing_more(self, engine: Engine) -> None:
        await engine.log.create("b")
        last = engine.log.append("b", b"last")
        closing = [asyncio.ensure_future(engine.log.close("b")) for _ in range(2)]
        await asyncio.gather(*closing)
        assert await last == 4
        await engine.log.close("b")
        for refused in (engine.log.append("b", b"x"), engine.log.append("b", b""), engine.log.skip("b", 1)):
            with pytest.raises(ClosedError):
                await refused
        stat = await engine.log.stat("b")
        assert (stat.closed, stat.tail) == (True, 4)
        assert payload(await engine.log.read("b", 0)) == b"last"
        await engine.log.trim("b", 2)
        assert payload(await engine.log.read("b", 2)) == b"st"

    @scenario
    async def test_a_deleted_log_is_gone(self, engine: Engine) -> None:
        await engine.log.create("b")
        await engine.log.append("b", b"old")
        await engine.log.delete("b")
        for refused in (engine.log.delete, engine.log.stat, engine.log.close):
            with pytest.raises(NotFound):
                await refused("b")
        with pytest.raises(NotFound):
            await engine.log.append("b", b"x")
        with pytest.raises(NotFound):
            await engine.log.trim("b", 0)
        assert await engine.log.list() == []
        assert (await engine.log.create("b", mode="entries")).tail == 1
        await engine.log.append("b", [b"new"])
        assert await engine.log.read("b", 1) == [Entry(1, b"new")]

    @scenario
    async def test_appends_before_a_delete_are_done(self, engine: Engine) -> None:
        await engine.log.create("b")
        waits = [engine.log.append("b", b"x") for _ in range(10)]
        await engine.log.delete("b")
        assert [await wait for wait in waits] == list(range(1, 11))

    @scenario
    async def test_listing(self, engine: Engine) -> None:
        for name in ("b/2", "a", "b/10", "b", "c"):
            await engine.log.create(name)
        assert [stat.name for stat in await engine.log.list()] == ["a", "b", "b/10", "b/2", "c"]
        assert [stat.name for stat in await engine.log.list("b/")] == ["b/10", "b/2"]
        assert await engine.log.list("d") == []
        assert await engine.log.list("b/2") == [await engine.log.stat("b/2")]

    def test_everything_is_there_after_a_restart(self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            await _fill(engine)
            before = [(stat, await read_all(engine.log, stat.name, stat.oldest)) for stat in await engine.log.list()]
            await engine.stop()
            await engine.stop()
            engine = engine_factory()
            await engine.start()
            after = [(stat, await read_all(engine.log, stat.name, stat.oldest)) for stat in await engine.log.list()]
            assert [stat for stat, _ in after] == [stat for stat, _ in before]
            for (stat, old), (_, new) in zip(before, after, strict=True):
                assert cells(new, stat.oldest) == cells(old, stat.oldest)
            with pytest.raises(ClosedError):
                await engine.log.append("closed", b"x")
            assert await engine.log.append("trimmed", b"z") == 1001
            with pytest.raises(Gone):
                await engine.log.read("trimmed", 776)
            await engine.stop()

        asyncio.run(main())

    def test_stopping_finishes_what_waits(self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            log = engine.log
            await log.create("b")
            waits = [log.append("b", bytes(1000)) for _ in range(100)]
            await engine.stop()
            assert [await wait for wait in waits] == [1000 * (number + 1) for number in range(100)]
            with pytest.raises(ClosedError):
                await log.append("b", b"x")
            with pytest.raises(ClosedError):
                await log.create("c")
            engine = engine_factory()
            await engine.start()
            assert (await engine.log.stat("b")).tail == 100_000
            await engine.stop()

        asyncio.run(main())

    @scenario
    async def test_it_can_be_probed(self, engine: Engine) -> None:
        await engine.probe()


async def _fill(engine: Engine) -> None:
    log = engine.log
    await log.create("empty")
    await log.create("closed")
    await log.append("closed", b"done", tag=15)
    await log.close("closed")
    await log.create("trimmed")
    for number in range(100):
        await log.append("trimmed", bytes([number]) * 10, tag=number % 3, ack="os" if number % 2 else "memory")
    await log.trim("trimmed", 777)
    await log.create("all trimmed")
    await log.append("all trimmed", b"x" * 50)
    await log.trim("all trimmed", 50)
    await log.create("holes")
    await log.skip("holes", 5)
    await log.append("holes", b"abc")
    await log.skip("holes", 7)
    await log.trim("holes", 6)
    await log.create("deleted")
    await log.append("deleted", b"x")
    await log.delete("deleted")
    await log.create("messages", mode="entries")
    for number in range(50):
        await log.append("messages", [b"m%d" % other for other in range(number % 5 + 1)], tag=number % 2)
    await log.trim("messages", 33)
