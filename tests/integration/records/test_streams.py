"""The async shell of record streams against a store that misbehaves as told, over a real socket."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from holdfast.client.aio import Node
from holdfast.errors import (
    DeadlineExceeded,
    DisconnectedError,
    HoldfastError,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    RecordStreamError,
    StorageError,
    Unavailable,
    UsageError,
)
from holdfast.records.streaming.breaker import BreakerState, CircuitBreaker
from holdfast.records.streaming.metrics import StreamMetrics
from holdfast.records.streaming.policy import Retry
from tests.conftest import Run
from tests.integration.records.conftest import OddStore, odd_node

QUICK = Retry(first_s=0.001, last_s=0.01, patience_s=10.0)


def records(count: int) -> list[dict[str, Any]]:
    return [{"name": f"record-{number}", "number": number} for number in range(count)]


def failing(*indexes: int, error: type[HoldfastError] = UsageError) -> Any:
    async def on_item(store: OddStore, index: int, body: bytes) -> HoldfastError | None:
        return error(f"item {index}") if index in indexes else None

    return on_item


def test_each_input_has_its_result_in_order(run_on_both: Run, socket_dir: Path, store: OddStore) -> None:
    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            pushed = [result async for result in node.records.push_stream(records(2_500))]
            assert [result.index for result in pushed] == list(range(2_500))
            refs = [result.ref for result in pushed if result.ref is not None]
            assert len(refs) == 2_500
            looked = [result async for result in node.records.lookup_stream(refs, ordered=False)]
            assert sorted(result.index for result in looked) == list(range(2_500))
            pulled = [result.record async for result in node.records.pull_stream(ref.cid for ref in refs)]
            assert pulled == records(2_500)
            gone = [result async for result in node.records.delete_stream([*refs[:3], refs[0]])]
            assert [result.not_found for result in gone] == [False, False, False, True]
            assert store.opened == 4

    run_on_both(main())


def test_inputs_may_come_from_an_async_generator(run: Run, socket_dir: Path, store: OddStore) -> None:
    async def source() -> AsyncIterator[str]:
        for number in range(700):
            if number % 100 == 0:
                await asyncio.sleep(0)
            yield json.dumps({"number": number})

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            results = [result async for result in node.records.push_stream(source(), concurrency=16)]
            assert [result.index for result in results if result.error is None] == list(range(700))

    run(main())


@pytest.mark.parametrize("bad", [(3, 4), tuple(range(10)), tuple(range(300))], ids=["two", "ten", "all"])
@pytest.mark.parametrize("concurrency", [1, 1000])
def test_items_that_fail_fail_alone(
    run: Run, socket_dir: Path, store: OddStore, bad: tuple[int, ...], concurrency: int
) -> None:
    store.on_item = failing(*bad)

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            results = await node.records.push(records(300), concurrency=concurrency)
            assert [result.index for result in results] == list(range(300))
            assert [result.index for result in results if result.error is not None] == list(bad)
            assert store.opened == 1

    run(main())


def test_what_is_no_record_is_refused_without_being_sent(run: Run, socket_dir: Path, store: OddStore) -> None:
    inputs: list[Any] = [{"a": 1}, 5, {"x": object()}, "\ud800", b"x" * (8 << 20) + b"x", float("nan"), {"b": 2}]

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            results = [result async for result in node.records.push_stream(inputs)]
            errors = [type(result.error) for result in results]
            assert errors == [
                type(None), UsageError, UsageError, UsageError, LimitExceeded, UsageError, type(None),
            ]  # fmt: skip
            assert store.received == [0, 6]
            refused = await node.records.pull([5, "x"])  # type: ignore[arg-type]
            assert [type(result.error) for result in refused] == [UsageError, NotFound]

    run(main())


def test_a_consumer_that_stops_makes_the_input_stop(run: Run, socket_dir: Path, store: OddStore) -> None:
    taken = 0
    closed = False

    def million() -> Iterator[dict[str, int]]:
        nonlocal taken, closed
        try:
            for taken in range(1_000_000):
                yield {"number": taken}
        finally:
            closed = True

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            async with aclosing(node.records.push_stream(million(), concurrency=50)) as results:
                seen = 0
                async for _ in results:
                    seen += 1
                    if seen == 10:
                        break
            assert closed
            assert taken <= 10 + 50 + 1
            await store.quiet.wait()

    run(main())


def test_a_loop_that_is_left_by_break_ends_the_stream(run: Run, socket_dir: Path, store: OddStore) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[dict[str, int]]:
        try:
            number = 0
            while True:
                yield {"number": number}
                number += 1
        finally:
            closed.set()

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            async for result in node.records.push_stream(endless()):
                if result.index == 10:
                    break
            gc.collect()
            await closed.wait()
            await store.quiet.wait()

    run(main())


def test_cancelling_releases_everything(run: Run, socket_dir: Path, store: OddStore) -> None:
    held = asyncio.Event()
    closed = asyncio.Event()

    async def hold(store: OddStore, index: int, body: bytes) -> None:
        held.set()
        await store.release.wait()

    async def source() -> AsyncIterator[dict[str, int]]:
        try:
            yield {"number": 1}
            await asyncio.Event().wait()
        finally:
            closed.set()

    store.on_item = hold

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            task = asyncio.create_task(anext(node.records.push_stream(source())))
            await held.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert closed.is_set()

    run(main())


def test_a_deadline_ends_it_and_says_how_far_it_came(run: Run, socket_dir: Path, store: OddStore) -> None:
    async def hold(store: OddStore, index: int, body: bytes) -> None:
        if index == 100:
            await store.release.wait()

    store.on_item = hold

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            results = []
            with pytest.raises(RecordStreamError) as caught:
                async for result in node.records.push_stream(records(200), deadline_s=0.5):
                    results.append(result)  # noqa: PERF401 - those before the error count
            assert isinstance(caught.value.__cause__, DeadlineExceeded)
            assert (caught.value.answered, caught.value.taken) == (len(results), 200) == (100, 200)
            store.cut()

    run(main())


def test_a_cut_without_retry_ends_it_once(run: Run, socket_dir: Path, store: OddStore) -> None:
    async def cut(store: OddStore, index: int, body: bytes) -> None:
        if index == 250:
            store.cut()

    store.on_item = cut

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            results = []
            with pytest.raises(RecordStreamError, match="answered") as caught:
                async for result in node.records.push_stream(records(1000)):
                    results.append(result)  # noqa: PERF401 - those before the error count
            assert isinstance(caught.value.__cause__, DisconnectedError)
            assert [result.index for result in results] == list(range(caught.value.answered))
            assert caught.value.answered <= 250

    run(main())


def test_with_retry_it_outlives_cuts(run_on_both: Run, socket_dir: Path, store: OddStore) -> None:
    async def cut(store: OddStore, index: int, body: bytes) -> None:
        if len(store.received) % 333 == 0:
            store.cut()

    store.on_item = cut
    metrics = StreamMetrics()

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            results = await node.records.push(records(2_000), retry=QUICK, metrics=metrics)
            assert [result.index for result in results] == list(range(2_000))
            assert all(result.error is None for result in results)
            assert metrics.cuts > 3
            assert metrics.opened == metrics.cuts + 1 == store.opened
            assert metrics.retried > 0

    run_on_both(main())


def test_an_item_that_breaks_the_stream_fails_alone(run: Run, socket_dir: Path, store: OddStore) -> None:
    async def cut(store: OddStore, index: int, body: bytes) -> None:
        if index == 70:
            store.cut()
            await asyncio.sleep(0)
            raise DisconnectedError

    store.on_item = cut

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            results = await node.records.push(records(200), retry=QUICK)
            assert [result.index for result in results if result.error is not None] == [70]
            assert isinstance(results[70].error, DisconnectedError)

    run(main())


def test_a_transient_error_of_an_item_is_tried_again(run: Run, socket_dir: Path, store: OddStore) -> None:
    tries = dict.fromkeys(range(50), 0)

    async def busy(store: OddStore, index: int, body: bytes) -> HoldfastError | None:
        tries[index] += 1
        return Unavailable("not now") if index % 7 == 0 and tries[index] <= index % 4 + 1 else None

    store.on_item = busy

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            results = await node.records.push(records(50), retry=Retry(attempts=3, first_s=0.001, last_s=0.002))
            wrong = [result.index for result in results if result.error is not None]
            assert wrong == [index for index in range(0, 50, 7) if index % 4 + 1 >= 3]
            assert max(tries.values()) == 3
            plain = await node.records.push(records(50)[:1])
            assert plain[0].error is None

    run(main())


def test_errors_of_the_stream_are_told_with_their_reason(run: Run, socket_dir: Path, store: OddStore) -> None:
    async def deny(store: OddStore, index: int, body: bytes) -> None:
        raise PermissionDenied("not you")

    store.on_item = deny

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            with pytest.raises(RecordStreamError, match="not you") as caught:
                await node.records.push(records(5), retry=True)
            assert isinstance(caught.value.__cause__, PermissionDenied)
            with pytest.raises(PermissionDenied):
                await node.records.push({"a": 1})

    run(main())


def test_errors_of_the_input_come_after_the_answers_to_what_it_gave(
    run: Run, socket_dir: Path, store: OddStore
) -> None:
    def source() -> Iterator[dict[str, int]]:
        yield from ({"number": number} for number in range(20))
        raise RuntimeError("the file is gone")

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            results = []
            with pytest.raises(RuntimeError, match="the file is gone"):
                async for result in node.records.push_stream(source()):
                    results.append(result)  # noqa: PERF401 - those before the error count
            assert len(results) == 20
            with pytest.raises(TypeError):
                await node.records.push(5)  # type: ignore[call-overload]
            with pytest.raises(UsageError, match="items"):
                node.records.push_stream({"a": 1})

    run(main())


def test_a_breaker_fails_fast_and_recovers(run: Run, socket_dir: Path, store: OddStore) -> None:
    ill = True

    async def broken(store: OddStore, index: int, body: bytes) -> HoldfastError | None:
        return StorageError("disk full") if ill else None

    store.on_item = broken
    breaker = CircuitBreaker(failures=3, open_s=0.2)

    async def main() -> None:
        nonlocal ill
        async with odd_node(socket_dir, store) as node:
            results = await node.records.push(records(60), circuit_breaker=breaker, concurrency=1)
            kinds = [type(result.error) for result in results]
            assert kinds == [StorageError] * 3 + [Unavailable] * 57
            assert breaker.state is BreakerState.OPEN
            ill = False
            again = await node.records.push(records(60), circuit_breaker=breaker, retry=QUICK)
            assert all(result.error is None for result in again)
            assert breaker.opened == 1

    run(main())


def test_compression_is_asked_for_and_granted_or_not(run: Run, socket_dir: Path, store: OddStore) -> None:
    many = [{"text": "the same again " * 40, "number": number} for number in range(300)]

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            metrics = StreamMetrics()
            pushed = await node.records.push(many, compression="zstd", metrics=metrics)
            assert metrics.wire_sent_bytes * 5 < metrics.sent_bytes
            refs = [result.ref for result in pushed if result.ref]
            back = StreamMetrics()
            pulled = await node.records.pull(refs, compression="zstd", metrics=back)
            assert [result.record for result in pulled] == many
            assert back.wire_received_bytes * 5 < back.received_bytes
            store.compression = False
            plain = StreamMetrics()
            await node.records.push(many, compression="zstd", metrics=plain)
            assert plain.wire_sent_bytes > plain.sent_bytes
            with pytest.raises(UsageError, match="compression"):
                await node.records.push(many, compression="lzw")

    run(main())


def test_large_records_are_bounded_in_bytes(run: Run, socket_dir: Path, store: OddStore) -> None:
    large = [{"number": number, "text": "x" * (3 << 20)} for number in range(12)]
    metrics, back = StreamMetrics(), StreamMetrics()

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            pushed = await node.records.push(large, metrics=metrics)
            assert metrics.held_bytes_high <= (8 << 20) + (4 << 20)
            refs = [result.ref for result in pushed if result.ref]
            count = 0
            async for result in node.records.pull_stream(refs, metrics=back):
                assert result.record == large[result.index]
                count += 1
            assert count == 12
            assert back.held_bytes_high <= (8 << 20) + 2 * (4 << 20)

    run(main())


def test_progress_is_told_and_its_errors_are_not_lost(run: Run, socket_dir: Path, store: OddStore) -> None:
    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            told: list[int] = []
            await node.records.push(records(500), progress=lambda metrics: told.append(metrics.answered))
            assert told[-1] == 500
            with pytest.raises(ZeroDivisionError):
                await node.records.push(records(5), progress=lambda metrics: 1 // 0)

    run(main())


@pytest.mark.parametrize(
    ("option", "value"),
    [("concurrency", 0), ("deadline_s", 0.0), ("retries", 3)],
)
def test_options_that_make_no_sense_are_named(
    run: Run, socket_dir: Path, store: OddStore, option: str, value: Any
) -> None:
    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            options: Any = {option: value}
            with pytest.raises(UsageError, match=option):
                await node.records.push(records(1), **options)

    run(main())


def test_many_streams_at_once_share_a_connection(run: Run, socket_dir: Path, store: OddStore) -> None:
    async def one(node: Node, number: int) -> int:
        results = await node.records.push([{"stream": number, "item": item} for item in range(200)])
        return sum(result.error is None for result in results)

    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            assert await asyncio.gather(*(one(node, number) for number in range(20))) == [200] * 20
            assert len(store.records) == 4_000

    run(main())


def test_cancelled_at_any_moment_nothing_is_left(run: Run, socket_dir: Path, store: OddStore) -> None:
    async def main() -> None:
        async with odd_node(socket_dir, store) as node:
            ends = {True: 0, False: 0}
            for moments in range(60):
                pushing = asyncio.create_task(node.records.push(records(40), concurrency=8))
                for _ in range(moments):
                    await asyncio.sleep(0)
                pushing.cancel()
                await asyncio.wait([pushing])
                ends[pushing.cancelled()] += 1
                assert len(asyncio.all_tasks()) < 20
            assert ends[True]
            assert len(await node.records.push(records(40))) == 40

    run(main())
