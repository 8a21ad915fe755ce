"""Records on every engine: what the store promises, with restarts in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from holdfast.engine.contract import EngineFactory
from holdfast.engine.sqlite import SqliteEngine
from holdfast.errors import (
    AlreadyExists,
    BusyError,
    Conflict,
    CorruptionError,
    Gone,
    HoldfastError,
    LimitExceeded,
    NotFound,
    StorageError,
    UsageError,
)
from holdfast.limits import DAY_S, LIMITS, MIB, Limits
from holdfast.records.canonical import canonical_json
from holdfast.records.cid import RAW, cid_of_digest, digest_of_cid, record_cid
from holdfast.records.model import FeedEntry
from holdfast.records.store import TOUCH_S, Pushed
from holdfast.records.testkit import RecordRoom

Run = Callable[[Coroutine[Any, Any, Any]], Any]
MakeRoom = Callable[..., RecordRoom]

MISSING = record_cid(b'{"missing":true}')


@pytest.fixture
def make_room(engine_factory: EngineFactory) -> MakeRoom:
    """Rooms on this test's own storage; ``max_bytes`` bounds it."""

    def make(limits: Limits = LIMITS, max_bytes: int | None = None) -> RecordRoom:
        return RecordRoom(lambda: engine_factory(max_bytes=max_bytes), limits)

    return make


@pytest.fixture
def room(make_room: MakeRoom) -> RecordRoom:
    return make_room()


def records(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"name": f"r{number}", **fields} for number in range(count)]


async def error_of(work: Coroutine[Any, Any, Any]) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        await work
    return caught.value


class TestStreams:
    def test_what_is_pushed_is_there_also_after_a_restart(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                given = records(300, text="<\u00e9>", number=1.5)
                cids = await room.push(*given)
                assert cids == [record_cid(canonical_json(record)) for record in given]
                for _ in range(2):
                    assert await room.pull(*cids) == given
                    assert await room.listed() == sorted(cids, key=digest_of_cid)
                    metas = [json.loads(answer) for answer in await room.store.lookup_many(cids)]  # type: ignore[arg-type]
                    assert [(meta["cid"], meta["name"]) for meta in metas] == [
                        (cid, record["name"]) for cid, record in zip(cids, given, strict=True)
                    ]
                    await room.restart()

        run(main())

    def test_pushing_again_is_free_and_says_so(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                texts = [b'{"a":1}', b'{"b":2}', b'{ "a": 1.0 }']
                first = await room.store.push_many(texts)
                assert [pushed.existed for pushed in first if isinstance(pushed, Pushed)] == [False, False, True]
                before = (await room.store.stat(first[0].cid)).pushed_at  # type: ignore[union-attr]
                room.clock.advance(TOUCH_S + 1)
                await room.restart()
                again = await room.store.push_many(texts)
                assert [pushed.existed for pushed in again if isinstance(pushed, Pushed)] == [True] * 3
                assert (await room.store.stat(first[0].cid)).pushed_at == before  # type: ignore[union-attr]
                assert [kind for kind, _, _ in await room.changes()] == ["pushed"] * 2

        run(main())

    def test_an_items_error_is_its_own(self, run: Run, make_room: MakeRoom) -> None:
        """Regression 18: two failing items in one push, and all the others are stored."""

        async def main() -> None:
            async with make_room(LIMITS._replace(record_bytes_max=1_000, record_meta_bytes_max=300)) as room:
                texts = [
                    *(b'{"n":0}', b"not json", b'{"n":1}', b"[]", b'{"n":2,"t":"%s"}' % (b"x" * 1_000)),
                    *(b'{"annotations":{"a":"%s"}}' % (b"x" * 400), b'{"n":3}', b'{"n":0}'),
                ]
                results = await room.store.push_many(texts)
                kinds = [type(result) for result in results]
                assert kinds == [
                    *(Pushed, UsageError, Pushed, UsageError, LimitExceeded, LimitExceeded, Pushed, Pushed),
                ]
                assert len(await room.listed()) == 3
                cids = [result.cid if isinstance(result, Pushed) else "nonsense" for result in results[:3]]
                pulled = await room.pull(cids[0], MISSING, cids[1], cids[2])
                assert [type(each) for each in pulled] == [dict, NotFound, UsageError, dict]
                looked = await room.store.lookup_many([MISSING, cids[2], "x", cids[0]])
                assert [type(each) for each in looked] == [NotFound, bytes, UsageError, bytes]
                assert await room.store.push_many([]) == []
                assert await room.pull() == []

        run(main())

    def test_deleting(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                cids = await room.push(*records(5))
                results = await room.store.delete_many([cids[1], MISSING, "x", cids[3], cids[1]])
                assert [type(each) for each in results] == [type(None), NotFound, UsageError, type(None), NotFound]
                await room.restart()
                assert set(await room.listed()) == {cids[0], cids[2], cids[4]}
                assert [type(each) for each in await room.pull(cids[1], cids[0])] == [NotFound, dict]
                assert (await room.push(records(5)[1])) == [cids[1]]
                assert [kind for kind, _, _ in await room.changes()] == [*["pushed"] * 5, *["deleted"] * 2, "pushed"]

        run(main())

    def test_large_records_come_a_few_at_a_time(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                large = [{"n": number, "t": "x" * 700_000} for number in range(4)]
                cids = await room.push(*large)
                parts = [answers async for answers in room.store.pull_many([cids[0], MISSING, *cids[1:]])]
                assert [len(part) for part in parts] == [2, 1, 1, 1]
                assert await room.pull(*cids) == large

        run(main())

    def test_the_same_from_many_at_once_is_stored_once(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                texts = [json.dumps(record).encode() for record in records(20)]
                results = await asyncio.gather(*(room.store.push_many(texts) for _ in range(8)))
                for place in range(20):
                    existed = [result[place].existed for result in results]  # type: ignore[union-attr]
                    assert existed.count(False) == 1
                assert len(await room.changes()) == 20
                size = await room.store.size()
                assert (size.records, size.record_bytes) == (20, sum(map(len, map(canonical_json, records(20)))))

        run(main())

    def test_a_full_disk_fails_items_and_takes_nothing_back(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(max_bytes=1 << 20) as room:
                kept = await room.push(*records(10))
                texts = [json.dumps({"n": number, "t": "x" * 9_000}).encode() for number in range(300)]
                results = await room.store.push_many(texts)
                assert {type(result) for result in results} == {StorageError}
                assert await room.pull(*kept) == records(10)
                assert len(await room.listed()) == 10
                await room.store.feed.read(0, 0)

        run(main())


class TestListing:
    def test_pages_and_filters(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(records_page_max=7)) as room:
                given = [
                    {
                        "name": "even" if number % 2 == 0 else "odd",
                        "n": number,
                        "annotations": {"third": str(number % 3)},
                    }
                    for number in range(40)
                ]
                cids = await room.push(*given)
                ordered = sorted(cids, key=digest_of_cid)
                assert await room.listed() == ordered
                assert [meta.cid for meta in await room.store.list(ordered[4], 3)] == ordered[5:8]
                assert len(await room.store.list("", 100)) == 7
                found: list[str] = []
                while page := await room.store.list(found[-1] if found else "", 2, "odd", {"third": "1"}):
                    found += [meta.cid for meta in page]
                wanted = [
                    cid
                    for cid, record in zip(cids, given, strict=True)
                    if record["n"] % 2 and record["n"] % 3 == 1  # type: ignore[operator]
                ]
                assert found == sorted(wanted, key=digest_of_cid)
                assert await room.store.list("", 0, "nobody") == []
                assert isinstance(await error_of(room.store.list("x", 0)), UsageError)

        run(main())


class TestTags:
    def test_a_tag_stands_for_one_record(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                one, two = await room.push({"n": 1}, {"n": 2})
                first = await room.store.tags.put("a/b:c", "v1", one)
                assert await room.store.tags.put("a/b:c", "v1", one) == first
                room.clock.advance(1)
                second = await room.store.tags.put("a/b:c", "v2", two)
                room.clock.advance(1)
                moved = await room.store.tags.put("a/b:c", "v1", two)
                await room.restart()
                tags = room.store.tags
                assert (tags.resolve("a/b:c", "v1"), tags.resolve("a/b:c")) == (moved, moved)
                assert tags.resolve("a/b:c", "v2") == second
                assert tags.list() == tags.list(cid=two) == tags.list(name="a/b:c") == [moved, second]
                assert tags.list(after="a/b:c:v1") == [second]
                assert tags.list(cid=one) == tags.list(name="a/b") == []
                assert await tags.remove("a/b:c", "v1") is True
                assert await tags.remove("a/b:c", "v1") is False
                await room.restart()
                assert room.store.tags.list() == [second]
                assert [change for change in await room.changes() if change[0] != "pushed"] == [
                    ("tagged", one, "a/b:c:v1"),
                    ("tagged", two, "a/b:c:v2"),
                    ("tagged", two, "a/b:c:v1"),
                    ("untagged", two, "a/b:c:v1"),
                ]

        run(main())

    def test_what_is_refused(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                (cid,) = await room.push({})
                tags = room.store.tags
                for name, version in (("", "v"), ("a", ""), ("a b", "v"), ("a", "v:1"), ("a", "v/1"), ("a\n", "v")):
                    assert isinstance(await error_of(tags.put(name, version, cid)), UsageError)
                assert isinstance(await error_of(tags.put("a", "v", MISSING)), NotFound)
                assert isinstance(await error_of(tags.put("a", "v", "x")), UsageError)
                with pytest.raises(NotFound) as caught:
                    tags.resolve("a", "v")
                assert (caught.value.kind, caught.value.name) == ("tag", "a:v")
                with pytest.raises(NotFound):
                    tags.resolve("a")

        run(main())

    def test_a_record_that_goes_takes_its_tags_along(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                one, two = await room.push({"n": 1}, {"n": 2})
                for version, cid in (("1", one), ("2", one), ("3", two)):
                    await room.store.tags.put("a", version, cid)
                await room.store.delete_many([one])
                await room.restart()
                assert [tag.version for tag in room.store.tags.list()] == ["3"]

        run(main())


class TestReferrers:
    def test_attach_list_and_detach(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                one, two = await room.push({"n": 1}, {"n": 2})
                referrers = room.store.referrers
                sign = await referrers.put(one, "signature", {"key": "k", "n": 1.5}, {"by": "me"}, "2025")
                assert await referrers.put(one, "signature", {"n": 1.5, "key": "k"}, {"by": "me"}, "2025") == sign
                scan = await referrers.put(one, "scan", {}, {}, "")
                other = await referrers.put(two, "signature", {"key": "k", "n": 1.5}, {"by": "me"}, "2025")
                assert other.cid != sign.cid
                await room.restart()
                referrers = room.store.referrers
                assert await referrers.list(one) == sorted([sign, scan], key=lambda each: each.cid)
                assert await referrers.list(one, type="scan") == await referrers.list(one, referrer=scan.cid) == [scan]
                assert await referrers.list(one, type="none") == []
                assert await referrers.list(two) == [other]
                assert len(referrers) == 3
                first = min(sign.cid, scan.cid)
                assert [each.cid for each in await referrers.list(one, after=first)] == [max(sign.cid, scan.cid)]
                for wrong in (other.cid, MISSING):
                    assert isinstance(await error_of(referrers.list(one, referrer=wrong)), NotFound)
                assert await referrers.remove(one, type="scan") == [scan.cid]
                assert await referrers.remove(one, referrer=other.cid) == []
                await room.store.delete_many([one])
                await room.restart()
                assert len(room.store.referrers) == 1
                assert isinstance(await error_of(room.store.referrers.list(one)), NotFound)
                assert await room.listed() == [two]
                assert len(await room.engine.blobs.list()) == 2, "no content of what was detached is left"
                kinds = [change for change in await room.changes() if change[0].startswith("referrer")]
                assert kinds == [
                    ("referrer_pushed", one, sign.cid),
                    ("referrer_pushed", one, scan.cid),
                    ("referrer_pushed", two, other.cid),
                    ("referrer_deleted", one, scan.cid),
                ]

        run(main())

    def test_what_is_refused(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            limits = LIMITS._replace(referrers_per_record_max=2, record_bytes_max=300)
            async with make_room(limits) as room:
                (cid,) = await room.push({})
                put = room.store.referrers.put
                assert isinstance(await error_of(put(MISSING, "t", {}, {}, "")), NotFound)
                assert isinstance(await error_of(put(cid, "", {}, {}, "")), UsageError)
                error = await error_of(put(cid, "t", {"x": "x" * 300}, {}, ""))
                assert error.details()["name"] == "record_bytes_max"
                for number in range(2):
                    await put(cid, "t", {"n": number}, {}, "")
                await put(cid, "t", {"n": 0}, {}, "")
                error = await error_of(put(cid, "t", {"n": 2}, {}, ""))
                assert error.details() == {"name": "referrers_per_record_max", "limit": 2, "value": 3}

        run(main())

    def test_what_is_detached_while_it_is_listed_is_not_called_damaged(
        self, run: Run, room: RecordRoom, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main() -> None:
            async with room:
                (one,) = await room.push({"n": 1})
                for number in range(3):
                    await room.store.referrers.put(one, "scan" if number else "sign", {"n": number}, {}, "")
                get_many = room.engine.blobs.get_many

                async def slow(*args: Any, **kwargs: Any) -> Any:
                    await room.store.referrers.remove(one, "scan")
                    return await get_many(*args, **kwargs)

                monkeypatch.setattr(room.engine.blobs, "get_many", slow)
                assert [each.type for each in await room.store.referrers.list(one)] == ["sign"]

        run(main())

    def test_a_referrer_that_is_pushed_as_a_record_is_both(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                (cid,) = await room.push({})
                made = await room.store.referrers.put(cid, "t", {"a": 1}, {}, "")
                (content,) = await room.pull(made.cid)
                assert isinstance(await error_of(room.store.stat(made.cid)), NotFound)
                assert await room.push(content) == [made.cid]
                assert set(await room.listed()) == {cid, made.cid}
                await room.store.delete_many([made.cid])
                assert await room.listed() == [cid]
                assert await room.store.referrers.list(cid) == [made]
                await room.push(content)
                await room.store.referrers.put(cid, "t", {"a": 1}, {}, "")
                await room.store.referrers.remove(cid)
                assert (await room.pull(made.cid)) == [content]
                await room.store.referrers.put(cid, "t", {"a": 1}, {}, "")
                await room.store.delete_many([cid, made.cid])
                assert await room.listed() == []

        run(main())


class TestFeed:
    def test_a_cursor_goes_on_where_it_was_over_restarts(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(records_page_max=10)) as room:
                cids = await room.push(*records(25))
                seen: list[FeedEntry] = []
                position = 0
                while True:
                    page = await room.store.feed.read(position, 4)
                    if not page.entries:
                        break
                    seen += page.entries
                    position = page.next_position
                    await room.restart()
                assert [entry.cid for entry in seen] == cids
                assert [entry.position for entry in seen] == list(range(1, 26))
                assert {entry.at for entry in seen} == {room.clock.wall()}
                assert len((await room.store.feed.read(0, 0)).entries) == 10
                assert isinstance(await error_of(room.store.feed.read(27, 1)), UsageError)
                assert isinstance(await error_of(room.store.feed.read(-1, 1)), UsageError)

        run(main())

    def test_followers_miss_nothing_and_see_nothing_twice(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                await room.push({"before": True})

                async def follow(position: int, count: int) -> list[FeedEntry]:
                    found: list[FeedEntry] = []
                    async for entries in room.store.feed.follow(position):
                        found += entries
                        if len(found) >= count:
                            break
                    return found

                followers = [
                    asyncio.create_task(follow(position, count)) for position, count in ((1, 61), (0, 60), (2, 60))
                ]
                await asyncio.sleep(0)
                given = records(60)
                for start in range(0, 60, 7):
                    await room.push(*given[start : start + 7])
                for entries in await asyncio.gather(*followers):
                    assert [entry.position for entry in entries] == list(range(62 - len(entries), 62))

        run(main())

    def test_tagging_alone_does_not_let_it_grow_for_ever(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(feed_entries_max=20)) as room:
                one, two = await room.push({"n": 1}, {"n": 2})
                for _ in range(20):
                    await room.store.tags.put("a", "1", one)
                    await room.store.tags.put("a", "1", two)
                page = await room.store.feed.read(0, 0)
                assert 20 <= len(page.entries) <= 22

        run(main())

    def test_a_feed_that_cannot_be_trimmed_fails_no_change(
        self, run: Run, make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(feed_entries_max=1)) as room:

                async def full(name: str, position: int) -> None:
                    raise StorageError("disk full")

                monkeypatch.setattr(room.engine.log, "trim", full)
                assert len(await room.push(*({"n": number} for number in range(5)))) == 5

        run(main())

    def test_pages_of_fewer_than_none_are_refused(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                for work in (room.store.feed.read(0, -1), room.store.list("", -1)):
                    error = await error_of(work)
                    assert error.details() == {"field": "limit"}

        run(main())

    def test_the_oldest_changes_go_and_those_who_want_them_are_told(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(feed_entries_max=20)) as room:
                for number in range(40):
                    await room.push({"n": number})
                error = await error_of(room.store.feed.read(1, 0))
                assert isinstance(error, Gone)
                page = await room.store.feed.read(0, 0)
                assert page.entries[0].position == page.oldest_position == error.oldest > 1
                assert 20 <= len(page.entries) <= 22
                follower = room.store.feed.follow(2)
                assert isinstance(await error_of(anext(follower)), Gone)

        run(main())


class TestCollection:
    def test_what_nothing_keeps_goes_after_its_grace(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                tagged, attached, loose, again = await room.push(*({"n": number} for number in range(4)))
                await room.store.tags.put("a", "1", tagged)
                made = await room.store.referrers.put(attached, "t", {}, {}, "")
                report = await room.collector.collect()
                assert (report.examined, report.removed, report.kept) == (5, 0, 5)
                room.clock.advance(DAY_S + TOUCH_S - 1)
                await room.restart()
                assert (await room.collector.collect()).removed == 0
                await room.push({"n": 3})
                room.clock.advance(2)
                dry = await room.collector.collect(dry_run=True)
                assert (dry.dry_run, dry.removed, dry.removed_cids, dry.kept) == (True, 1, [loose], 4)
                assert len(await room.listed()) == 4
                report = await room.collector.collect()
                assert (report.removed, report.removed_cids, report.removed_bytes) == (1, [loose], len('{"n":2}'))
                await room.restart()
                assert set(await room.listed()) == {tagged, attached, again}
                assert await room.store.referrers.list(attached) == [made]
                assert (await room.changes())[-1] == ("deleted", loose, "")
                assert (await room.collector.collect(grace_s=0)).removed_cids == [again]

        run(main())

    def test_why(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                (oldest,) = await room.push({"n": 0})
                (older,) = await room.push({"n": 1, "previous_record_cid": oldest})
                (newest,) = await room.push({"n": 2, "previous_record_cid": older})
                await room.push({"n": 3, "previous_record_cid": "latest"})
                await room.store.tags.put("a", "1", newest)
                made = await room.store.referrers.put(newest, "t", {}, {}, "")
                why = await room.collector.why(newest)
                assert (why.reasons, why.details[:2]) == (["tag", "referrer", "grace"], ["a:1", made.cid])
                why = await room.collector.why(oldest, grace_s=0)
                assert (why.reasons, why.details) == (["previous"], [older])
                report = await room.collector.collect(grace_s=0)
                assert report.removed == 1
                assert set(await room.listed()) == {oldest, older, newest}
                await room.store.tags.remove("a", "1")
                await room.store.referrers.remove(newest)
                assert (await room.collector.why(oldest, grace_s=0)).reasons == []
                assert (await room.collector.collect(grace_s=0)).removed == 3
                assert isinstance(await error_of(room.collector.why(oldest)), NotFound)

        run(main())

    def test_one_at_a_time_and_with_sensible_words(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                await room.push(*records(3))
                results = await asyncio.gather(*(room.collector.collect() for _ in range(3)), return_exceptions=True)
                assert sum(isinstance(result, BusyError) for result in results) in (0, 2)
                for grace_s in (-1.0, float("nan")):
                    assert isinstance(await error_of(room.collector.collect(grace_s=grace_s)), UsageError)

        run(main())

    def test_during_pushes_and_pulls_nothing_live_is_lost(self, run: Run, room: RecordRoom) -> None:
        """Regression 19, on real engines; ``tests/simulation/test_record_gc.py`` draws the orders."""

        async def main() -> None:
            async with room:
                kept: dict[str, Any] = {}
                busy = True

                async def push(number: int) -> None:
                    for round_ in range(8):
                        record = {"n": number, "round": round_ % 5, "previous_record_cid": next(iter(kept), "")}
                        while True:
                            (cid,) = await room.push(record)
                            try:
                                await room.store.tags.put(f"t{number}", str(round_), cid)
                            except NotFound:  # collected in between: nothing kept it
                                continue
                            break
                        kept[cid] = record

                async def pull() -> None:
                    while busy:
                        cids = list(kept)[-20:]
                        assert await room.pull(*cids) == [kept[cid] for cid in cids]
                        await asyncio.sleep(0)

                async def collect() -> int:
                    removed = 0
                    while busy:
                        await room.push({"loose": removed})
                        removed += (await room.collector.collect(grace_s=0)).removed
                        await asyncio.sleep(0)
                    return removed

                collecting, pulling = asyncio.create_task(collect()), asyncio.create_task(pull())
                await asyncio.gather(*map(push, range(6)))
                busy = False
                await pulling
                assert await collecting > 0
                await room.restart()
                assert await room.pull(*kept) == list(kept.values())
                await room.collector.collect(grace_s=0)
                assert set(await room.listed()) == set(kept)

        run(main())


class TestArtifacts:
    CONTENT = bytes(range(256)) * 40

    def cid(self, content: bytes = CONTENT) -> str:
        from hashlib import sha256

        return cid_of_digest(sha256(content).digest(), RAW)

    def test_in_parts_with_a_restart_after_each(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                upload = await room.domain.artifacts.begin(len(self.CONTENT), self.cid(), "text/plain")
                while upload.offset < len(self.CONTENT):
                    part = self.CONTENT[upload.offset : upload.offset + 3000]
                    await room.domain.artifacts.add(upload.id, upload.offset, part)
                    await room.restart()
                    upload = await room.domain.artifacts.begin(0, self.cid(), "")
                assert room.domain.artifacts.uploads() == [upload]
                made = await room.domain.artifacts.commit(upload.id, self.cid())
                assert (made.cid, made.size_bytes, made.media_type) == (self.cid(), len(self.CONTENT), "text/plain")
                await room.restart()
                artifacts = room.domain.artifacts
                assert artifacts.get(made.cid) == made
                assert artifacts.uploads() == []
                assert await artifacts.read(made.cid, 0, 0) == self.CONTENT
                assert await artifacts.read(made.cid, 5000, 300) == self.CONTENT[5000:5300]
                assert await artifacts.read(made.cid, len(self.CONTENT), 9) == b""
                assert isinstance(await error_of(artifacts.read(made.cid, len(self.CONTENT) + 1, 9)), UsageError)
                assert isinstance(await error_of(artifacts.begin(0, made.cid, "")), AlreadyExists)
                assert await artifacts.delete(made.cid) is True
                assert await artifacts.delete(made.cid) is False
                await room.restart()
                assert len(room.domain.artifacts) == 0
                assert await room.engine.log.list("records/upload/") == []

        run(main())

    def test_an_upload_waits_from_its_last_part_on_also_after_a_restart(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                upload = await room.domain.artifacts.begin(0, self.cid(), "")
                for offset in (0, 100, 200):
                    room.clock.advance(LIMITS.upload_retention_s * 0.7)
                    await room.domain.artifacts.add(upload.id, offset, self.CONTENT[offset : offset + 100])
                await room.restart()
                assert [one.offset for one in room.domain.artifacts.uploads()] == [300]
                room.clock.advance(LIMITS.upload_retention_s + 1)
                await room.restart()
                assert room.domain.artifacts.uploads() == []

        run(main())

    def test_they_are_listed_a_page_at_a_time(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(LIMITS._replace(records_page_max=2)) as room:
                artifacts = room.domain.artifacts
                for number in range(3):
                    upload = await artifacts.begin(0, "", "")
                    await artifacts.add(upload.id, 0, b"%d" % number)
                    await artifacts.commit(upload.id, "")
                first = artifacts.list("")
                second = artifacts.list(first[-1].cid)
                assert [len(first), len(second), len(artifacts.list(second[-1].cid))] == [2, 1, 0]
                assert {one.cid for one in (*first, *second)} == {self.cid(b"%d" % number) for number in range(3)}
                with pytest.raises(UsageError, match="after"):
                    artifacts.list("nonsense")

        run(main())

    def test_two_who_begin_the_same_at_once(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                artifacts = room.domain.artifacts

                async def upload() -> str:
                    begun = await artifacts.begin(0, self.cid(), "")
                    await artifacts.add(begun.id, 0, self.CONTENT)
                    return begun.id

                one, two = await asyncio.gather(upload(), upload())
                assert one == two
                assert (await artifacts.commit(one, self.cid())).cid == self.cid()

        run(main())

    def test_ending_an_upload_again_gives_what_it_was_made_into(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                artifacts = room.domain.artifacts
                upload = await artifacts.begin(0, self.cid(), "")
                await artifacts.add(upload.id, 0, self.CONTENT)
                both = await asyncio.gather(*(artifacts.commit(upload.id, self.cid()) for _ in range(2)))
                assert both == [artifacts.get(self.cid())] * 2
                assert await artifacts.commit(upload.id, self.cid()) == both[0]
                assert isinstance(await error_of(artifacts.commit(upload.id, "")), NotFound)

        run(main())

    def test_one_that_cannot_be_removed_is_still_there(
        self, run: Run, room: RecordRoom, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main() -> None:
            async with room:
                artifacts = room.domain.artifacts
                upload = await artifacts.begin(0, "", "")
                made = await artifacts.commit(upload.id, "")

                async def full(key: str) -> bool:
                    raise StorageError("disk full")

                with monkeypatch.context() as broken:
                    broken.setattr(room.engine.kv, "delete", full)
                    assert isinstance(await error_of(artifacts.delete(made.cid)), StorageError)
                assert artifacts.get(made.cid) == made
                assert await artifacts.delete(made.cid)

        run(main())

    def test_repeats_and_overlaps_are_taken_once_and_gaps_never(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                artifacts = room.domain.artifacts
                upload = await artifacts.begin(0, "", "")
                for offset, end, now in ((0, 100, 100), (0, 100, 100), (50, 150, 150), (20, 30, 150), (150, 200, 200)):
                    assert (await artifacts.add(upload.id, offset, self.CONTENT[offset:end])).offset == now
                error = await error_of(artifacts.add(upload.id, 300, b"x"))
                assert isinstance(error, Conflict)
                assert error.expected == 200
                made = await artifacts.commit(upload.id, "")
                assert made.cid == self.cid(self.CONTENT[:200])
                assert isinstance(await error_of(artifacts.add(upload.id, 200, b"x")), NotFound)
                second = await artifacts.begin(0, "", "")
                await artifacts.add(second.id, 0, self.CONTENT[:200])
                assert await artifacts.commit(second.id, made.cid) == made
                assert len(await room.engine.log.list("records/upload/")) == 1

        run(main())

    def test_a_part_whose_sender_has_gone_is_waited_for(self, run: Run, room: RecordRoom) -> None:
        async def main() -> None:
            async with room:
                artifacts = room.domain.artifacts
                upload = await artifacts.begin(0, "", "")
                await artifacts.add(upload.id, 0, self.CONTENT[:100])
                sending = asyncio.create_task(artifacts.add(upload.id, 100, self.CONTENT[100:200]))
                await asyncio.sleep(0)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                made = await artifacts.commit(upload.id, "")  # while that part may still be being stored
                assert made.cid == self.cid(self.CONTENT[:200])

        run(main())

    def test_a_part_that_is_never_stored_is_not_waited_for(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            async with make_room(max_bytes=2 * MIB) as room:
                artifacts = room.domain.artifacts
                upload = await artifacts.begin(0, "", "")
                await artifacts.add(upload.id, 0, self.CONTENT)
                await room.engine.log.create("filler")
                with pytest.raises(StorageError):
                    while True:
                        await room.engine.log.append("filler", bytes(100_000))
                sending = asyncio.create_task(artifacts.add(upload.id, len(self.CONTENT), bytes(400_000)))
                await asyncio.sleep(0)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                error = await error_of(artifacts.commit(upload.id, self.cid(b"another")))
                if isinstance(error, Conflict):  # it was known at once that the part does not fit
                    assert error.actual == self.cid()
                else:
                    assert isinstance(error, StorageError)
                    assert [one.offset for one in artifacts.uploads()] == [len(self.CONTENT)]

        run(main())

    def test_what_is_not_what_was_said_is_dropped(self, run: Run, make_room: MakeRoom) -> None:
        async def main() -> None:
            limits = LIMITS._replace(artifact_bytes_max=5_000, artifact_part_bytes_max=2_000, uploads_max=2)
            async with make_room(limits) as room:
                artifacts = room.domain.artifacts
                for said in ((3, ""), (0, self.cid())):
                    upload = await artifacts.begin(*said, "")
                    await artifacts.add(upload.id, 0, b"four")
                    assert isinstance(await error_of(artifacts.commit(upload.id, "")), Conflict)
                    assert artifacts.uploads() == []
                assert isinstance(await error_of(artifacts.begin(5_001, "", "")), LimitExceeded)
                one = await artifacts.begin(0, "", "")
                assert isinstance(await error_of(artifacts.add(one.id, 0, bytes(2_001))), LimitExceeded)
                for offset in (0, 2_000):
                    await artifacts.add(one.id, offset, bytes(2_000))
                assert isinstance(await error_of(artifacts.add(one.id, 4_000, bytes(2_000))), LimitExceeded)
                await artifacts.begin(0, "", "")
                error = await error_of(artifacts.begin(0, "", ""))
                assert error.details()["name"] == "uploads_max"
                assert await artifacts.abort(one.id) is True
                assert await artifacts.abort(one.id) is False
                room.clock.advance(limits.upload_retention_s + 1)
                await artifacts.begin(0, "", "")
                assert len(artifacts.uploads()) == 1, "one that was left for too long went"

        run(main())


class TestCorruption:
    def test_a_damaged_record_is_never_given(self, run: Run, tmp_path: Path) -> None:
        import sqlite3

        async def main() -> None:
            room = RecordRoom(lambda: SqliteEngine(tmp_path / "engine"))
            async with room:
                one, two = await room.push({"text": "one"}, {"text": "two"})
            with sqlite3.connect(tmp_path / "engine" / "holdfast.db") as connection:
                connection.execute("UPDATE blob SET data = CAST(replace(data, 'one', 'eno') AS BLOB)")
            connection.close()
            async with room:
                damaged, whole = await room.pull(one, two)
                assert isinstance(damaged, CorruptionError)
                assert one in damaged.where
                assert whole == {"text": "two"}
                assert [line for line in await room.engine.check() if "digest" in line]  # type: ignore[attr-defined]

        run(main())
