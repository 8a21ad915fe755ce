"""Records through both SDKs with a real node that is killed now and then."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.client.aio import connect
from holdfast.client.sync import SyncNode, connect_sync
from holdfast.errors import CorruptionError, DeadlineExceeded, NotFound, RecordStreamError, UsageError
from holdfast.limits import LIMITS
from holdfast.records.cid import RAW, cid_of_digest
from holdfast.records.streaming.metrics import StreamMetrics
from holdfast.records.streaming.policy import Retry
from holdfast.testing import NodeBox
from tests.conftest import Run

QUICK = Retry(first_s=0.02, last_s=0.2, patience_s=60.0)


def records(count: int) -> list[dict[str, Any]]:
    return [{"name": f"record-{number}", "number": number} for number in range(count)]


def killing(box: NodeBox, count: int, *when: int) -> Iterator[dict[str, Any]]:
    """Records; at some of them the node is killed and another one is begun."""
    for number, record in enumerate(records(count)):
        if number in when:
            box.kill_node()
            box.start_node(ready=False)
        yield record


@pytest.fixture
def node(node_box: NodeBox) -> Iterator[SyncNode]:
    with connect_sync(node_box.url, autostart=False) as made:
        yield made


# streams


def test_a_stream_outlives_a_killed_node(run: Run, node_box: NodeBox) -> None:
    metrics = StreamMetrics()

    async def main() -> None:
        async with connect(node_box.url, autostart=False) as node:
            pushing = holdfast.push_stream(
                node, killing(node_box, 6_000, 2_000, 4_000), retry=QUICK, metrics=metrics, concurrency=500
            )
            results = [result async for result in pushing]
            assert [result.index for result in results] == list(range(6_000))
            assert all(result.error is None for result in results)
            assert metrics.cuts >= 2
            refs = [result.ref for result in results if result.ref is not None]
            pulled = [result.record async for result in holdfast.pull_stream(node, refs)]
            assert pulled == records(6_000)
            gone = [result async for result in holdfast.delete_stream(node, refs, ordered=False)]
            assert sorted(result.index for result in gone if result.error is None) == list(range(6_000))
            left = [result async for result in holdfast.lookup_stream(node, refs[:5])]
            assert [type(result.error) for result in left] == [NotFound] * 5

    run(main())


def test_a_blocking_stream_outlives_a_killed_node(node_box: NodeBox, node: SyncNode) -> None:
    metrics = StreamMetrics()
    pushing = node.records.push_stream(
        killing(node_box, 6_000, 3_000), retry=QUICK, metrics=metrics, compression="zstd"
    )
    results = list(pushing)
    assert [result.index for result in results] == list(range(6_000))
    assert all(result.error is None for result in results)
    assert metrics.cuts >= 1
    refs = [result.ref for result in results if result.ref is not None]
    assert [result.record for result in node.records.pull_stream(refs, compression="zstd")] == records(6_000)


def test_without_retry_it_ends_and_says_how_far_it_came(node_box: NodeBox, node: SyncNode) -> None:
    results = []
    with pytest.raises(RecordStreamError) as caught:
        for result in node.records.push_stream(killing(node_box, 100_000, 5_000)):
            results.append(result)  # noqa: PERF402 - those before the error count
    assert [result.index for result in results] == list(range(caught.value.answered))


def test_items_that_fail_fail_alone(node: SyncNode) -> None:
    inputs: list[Any] = [{"a": 1}, b"nonsense", [1], {"b": float("inf")}, b'{"a": 1}', "[]", {"c": "x" * (5 << 20)}]
    results = node.records.push(inputs)
    kinds = [result.error.__class__.__name__ for result in results]
    assert kinds == ["NoneType", "UsageError", "UsageError", "UsageError", "NoneType", "UsageError", "LimitExceeded"]
    assert [result.existed for result in results] == [False] * 4 + [True] + [False] * 2
    assert results[0].ref == results[4].ref
    missing = cid_of_digest(bytes(32))
    pulled = node.records.pull((missing, "nonsense", results[0].ref or ""))
    assert [type(result.error) for result in pulled] == [NotFound, UsageError, type(None)]
    assert node.records.delete(missing) is False
    with pytest.raises(NotFound):
        node.records.pull(missing)
    with pytest.raises(UsageError):
        node.records.push("nonsense")


def test_whoever_leaves_a_blocking_stream_ends_it(node: SyncNode) -> None:
    taken = 0
    closed = False

    def million() -> Iterator[dict[str, int]]:
        nonlocal taken, closed
        try:
            for taken in range(1_000_000):
                yield {"number": taken}
        finally:
            closed = True

    with closing(node.records.push_stream(million(), concurrency=100)) as results:
        assert [next(results).index for _ in range(10)] == list(range(10))
    assert closed
    assert taken <= 10 + 2 * 100 + 1
    while node.records.stats().streams:
        pass
    assert node.records.push({"still": "well"}).cid


def test_a_blocking_stream_has_a_deadline(node: SyncNode) -> None:
    def slowly() -> Iterator[dict[str, int]]:
        number = 0
        while True:
            number += 1
            yield {"number": number}

    with pytest.raises(RecordStreamError) as caught:
        for _ in node.records.push_stream(slowly(), deadline_s=0.3):
            pass
    assert isinstance(caught.value.__cause__, DeadlineExceeded)


def test_a_consumer_that_stops_leaves_nothing_at_the_node(run: Run, node_box: NodeBox) -> None:
    async def main() -> None:
        async with connect(node_box.url, autostart=False) as node:
            async for result in node.records.push_stream({"number": number} for number in range(1_000_000)):
                if result.index == 10:
                    break
            while (stats := await node.records.stats()).streams:
                await asyncio.sleep(0.01)
            assert stats.records < 10_000

    run(main())


# what there is besides


def test_tags_lists_and_referrers(run: Run, node_box: NodeBox) -> None:
    async def main() -> None:
        async with connect(node_box.url, autostart=False) as node:
            refs = [result.ref for result in await node.records.push(records(30)) if result.ref is not None]
            assert await node.records.pull(refs[3]) == records(30)[3]
            meta = await node.records.lookup(refs[3].cid)
            assert (meta.cid, meta.name) == (refs[3].cid, "record-3")
            assert {meta.cid async for meta in node.records.list()} == {ref.cid for ref in refs}
            some = [meta async for meta in node.records.list(limit=7)]
            assert len(some) == 7
            assert [meta.name async for meta in node.records.list(name="record-9")] == ["record-9"]

            tag = await node.records.tag("model", "1", refs[0])
            assert tag == await node.records.resolve("model")
            assert await node.records.tags(name="model") == await node.records.tags(ref=refs[0]) == [tag]
            assert [await node.records.untag("model", "1"), await node.records.untag("model", "1")] == [True, False]

            made = await node.records.push_referrer(refs[0], "scan", {"clean": True}, annotations={"by": "us"})
            assert await node.records.referrers(refs[0]) == [made]
            assert await node.records.referrers(refs[0], type="scan", referrer=made.cid) == [made]
            assert (await node.records.why(refs[0])).reasons
            assert await node.records.delete_referrers(refs[0]) == [made.cid]
            assert (await node.records.gc(dry_run=True, grace_s=0.0)).removed == 30
            assert (await node.records.stats()).records == 30

    run(main())


def test_the_same_through_blocking_calls(node: SyncNode) -> None:
    refs = [result.ref for result in node.records.push(records(30)) if result.ref is not None]
    assert node.records.lookup(refs[3]).name == "record-3"
    assert [result.meta.name for result in node.records.lookup(refs[:2]) if result.meta] == ["record-0", "record-1"]
    assert {meta.cid for meta in node.records.list()} == {ref.cid for ref in refs}
    tag = node.records.tag("model", "1", refs[0])
    assert list(node.records.tags()) == [node.records.resolve("model", "1")] == [tag]
    assert node.records.untag("model", "1")
    made = node.records.push_referrer(refs[0], "scan", {"clean": True})
    assert list(node.records.referrers(refs[0])) == [made]
    assert list(node.records.delete_referrers(refs[0])) == [made.cid]
    assert node.records.gc(grace_s=0.0).removed == 30
    assert node.records.delete(refs[0]) is False


def test_a_feed_goes_on_over_a_killed_node(run: Run, node_box: NodeBox) -> None:
    async def main() -> None:
        async with connect(node_box.url, autostart=False) as node, node.records.feed() as feed:
            first = await node.records.push({"number": 1})
            entry = await anext(feed)
            assert entry.cid == first.cid
            assert feed.position == entry.position + 1
            waiting = asyncio.create_task(anext(feed))
            await asyncio.sleep(0)
            waiting.cancel()
            node_box.kill_node()
            node_box.start_node(ready=False)
            second = await node.records.push({"number": 2}, retry=QUICK)
            assert (await anext(feed)).cid == second.cid
            both = [entry.cid async for entry in node.records.feed(0, follow=False)]
            assert both == [first.cid, second.cid]
            late = node.records.feed(entry.position + 1, follow=False)
            assert [entry.cid async for entry in late] == [second.cid]

    run(main())


def test_a_blocking_feed(node: SyncNode) -> None:
    refs = [node.records.push({"number": number}) for number in range(3)]
    assert [entry.cid for entry in node.records.feed(0, follow=False)] == [ref.cid for ref in refs]
    with node.records.feed(2) as feed:
        assert [next(feed).cid, next(feed).cid] == [ref.cid for ref in refs[1:]]
        more = node.records.push({"number": 4})
        assert next(feed).cid == more.cid


# artifacts


def test_artifacts_go_up_and_down_and_on_where_they_were(run: Run, node_box: NodeBox, tmp_path: Path) -> None:
    data = os.urandom(3 * LIMITS.artifact_part_bytes_max + 17)
    source = tmp_path / "model.bin"
    source.write_bytes(data)

    async def main() -> None:
        async with connect(node_box.url, autostart=False) as node:
            artifacts = node.records.artifacts
            told: list[tuple[int, int]] = []

            def stop(done: int, whole: int) -> None:
                told.append((done, whole))
                if len(told) == 2:
                    node_box.kill_node()
                    node_box.start_node(ready=False)
                    raise InterruptedError

            with pytest.raises(InterruptedError):
                await artifacts.upload(source, progress=stop)
            assert told[-1] == (2 * LIMITS.artifact_part_bytes_max, len(data))
            told.clear()
            made = await artifacts.upload(str(source), media_type="x/model", progress=lambda *at: told.append(at))
            assert told[0] == (3 * LIMITS.artifact_part_bytes_max, len(data))
            assert (made.cid, made.size_bytes) == (cid_of_digest(sha256(data).digest(), RAW), len(data))
            assert await artifacts.upload(data) == await artifacts.stat(made)
            assert b"".join([part async for part in artifacts.read(made, 5)]) == data[5:]

            target = tmp_path / "back.bin"
            (tmp_path / "back.bin.part").write_bytes(data[:1000])
            await artifacts.download(made, target)
            assert target.read_bytes() == data
            (tmp_path / "bad.bin.part").write_bytes(b"x" * 1000)
            with pytest.raises(CorruptionError):
                await artifacts.download(made, tmp_path / "bad.bin")
            assert not (tmp_path / "bad.bin.part").exists()
            assert not await artifacts.uploads()
            assert await artifacts.delete(made)
            assert not await artifacts.delete(made)

    run(main())


def test_blocking_artifacts(node: SyncNode, tmp_path: Path) -> None:
    class Pipe(BytesIO):
        def seekable(self) -> bool:
            return False

    data = os.urandom(LIMITS.artifact_part_bytes_max + 5)
    made = node.records.artifacts.upload(Pipe(data))
    assert made.cid == cid_of_digest(sha256(data).digest(), RAW)
    assert b"".join(node.records.artifacts.read(made)) == data
    node.records.artifacts.download(made.cid, tmp_path / "it")
    assert (tmp_path / "it").read_bytes() == data
    with pytest.raises(UsageError):
        node.records.artifacts.download("nonsense", tmp_path / "it")
    assert node.records.artifacts.delete(made)
