"""Pages of a log: cut at holes, never skipping one."""

from __future__ import annotations

import pytest

from holdfast.durable.model import Page
from holdfast.durable.paging import LivePages, page_of, position_at, read_page
from holdfast.engine.base import Entry, Hole, LogStat, Run
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import Gone, UsageError
from tests.conftest import Run as RunTest

BYTES = LogStat("l", "bytes", oldest=10, tail=20, closed=False, stored_bytes=10, hole_bytes=0)
ENTRIES = LogStat("l", "entries", oldest=3, tail=8, closed=True, stored_bytes=10, hole_bytes=0)


def test_positions_count_from_nothing_in_either_mode() -> None:
    assert [position_at(BYTES, where) for where in ("start", "now", 15)] == [10, 20, 15]
    assert [position_at(ENTRIES, where) for where in ("start", "now", 2)] == [2, 7, 2]
    for stat, below, beyond in ((BYTES, 9, 21), (ENTRIES, 1, 8)):
        with pytest.raises(Gone):
            position_at(stat, below)
        with pytest.raises(UsageError):
            position_at(stat, beyond)


def test_a_page_ends_before_a_hole_and_the_next_is_gone() -> None:
    page = page_of(10, [Run(10, b"ab"), Run(12, b"c"), Hole(13, 4), Run(17, b"d")], BYTES)
    assert page == Page([b"ab", b"c"], 10, 13, 20, closed=False)
    assert not page.caught_up
    with pytest.raises(Gone) as caught:
        page_of(13, [Hole(13, 4), Run(17, b"d")], BYTES)
    assert caught.value.oldest == 17


def test_entries_are_messages() -> None:
    page = page_of(2, [Entry(3, b"1"), Entry(4, b"2")], ENTRIES)
    assert (page.chunks, page.end, page.tail, page.finished) == ([b"1", b"2"], 4, 7, False)
    assert page_of(4, [Entry(number, b"") for number in range(5, 8)], ENTRIES).finished


def test_a_hole_in_a_live_stream_is_said_where_it_is(run: RunTest) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        await engine.start()
        await engine.log.create("l")
        await engine.log.append("l", b"ab")
        await engine.log.skip("l", 5)
        await engine.log.append("l", b"cd")
        reader = LivePages(engine.log, "l", await engine.log.stat("l"), 0, 100)
        page = await reader.next()
        assert page is not None and page.chunks == [b"ab"] and not page.caught_up
        with pytest.raises(Gone) as caught:
            await reader.next()
        assert caught.value.oldest == 7 and reader.position == 2
        assert (await read_page(engine.log, "l", 7, 100)).chunks == [b"cd"]
        reader.close()
        await engine.stop()

    run(main())
