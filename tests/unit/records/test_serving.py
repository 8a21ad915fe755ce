from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any

import pytest

from holdfast.errors import ClosedError, DisconnectedError, StorageError, UsageError
from holdfast.limits import LIMITS
from holdfast.records.serving import Answer, Exchange, Work
from holdfast.records.wire import ERROR, OK, BatchDecoder, encode_batch
from holdfast.rpc.failures import decode_failure
from holdfast.streams import Chunk, End, Failed, Item

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Requests:
    """A stream of requests, as an exchange reads it."""

    def __init__(self, *items: bytes | Item) -> None:
        self.items = [Chunk(0, item, 0) if isinstance(item, bytes) else item for item in items]
        self.closed = ""
        self.reads = 0

    async def read(self, max_bytes: int) -> Item:
        self.reads += 1
        await asyncio.sleep(0)
        if not self.items:
            await asyncio.get_running_loop().create_future()
        return self.items.pop(0)

    def close(self, error: str = "") -> None:
        self.closed = error


class Answers:
    """A stream of answers, as an exchange writes it."""

    def __init__(self, *, room: int = 1 << 60) -> None:
        self.room = room
        self.data = b""
        self.ended = ""
        self.failure = ""
        self.cut: Exception | None = None
        self.full = asyncio.Event()

    async def write(self, data: bytes) -> None:
        if self.cut is not None:
            raise self.cut
        self.data += data
        if len(self.data) > self.room:
            self.full.set()
            await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        self.ended = "end"

    async def fail(self, text: str) -> None:
        self.ended, self.failure = "failed", text

    def on_cancel(self, callback: Callable[[], object]) -> None:
        self.leave = callback

    def found(self) -> list[tuple[int, int, bytes]]:
        decoder = BatchDecoder()
        decoder.feed(self.data)
        return [
            (index, batch.statuses[at] if batch.statuses else OK, body)
            for batch in decoder
            for at, (index, body) in enumerate(zip(batch.indexes, batch.bodies, strict=True))
        ]


def exchange(requests: Requests, answers: Answers, work: Work, **options: Any) -> Exchange:
    settings: dict[str, Any] = {"ordered": True, "compressor": None, "limits": LIMITS, **options}
    return Exchange(requests, answers, work, **settings)  # type: ignore[arg-type]


def upper(delays: dict[bytes, int] | None = None) -> Work:
    """Gives the items in capitals; ``x`` is an error; each slice takes as many turns as its first item says."""

    async def work(bodies: Sequence[bytes]) -> AsyncGenerator[list[Answer]]:
        for _ in range((delays or {}).get(bodies[0], 0)):
            await asyncio.sleep(0)
        yield [Answer(ERROR if body == b"x" else OK, body.upper()) for body in bodies]

    return work


def batch(first: int, *bodies: bytes) -> bytes:
    return encode_batch(range(first, first + len(bodies)), bodies)


@pytest.mark.parametrize("ahead", [1, 8])
@pytest.mark.parametrize("ordered", [True, False])
def test_each_item_has_its_answer(run: Run, ahead: int, ordered: bool) -> None:
    async def main() -> None:
        whole = batch(0, b"a", b"x") + batch(9, b"c") + batch(5, b"d", b"e")
        requests, answers = Requests(whole[:20], whole[20:45], whole[45:], End(len(whole))), Answers()
        await exchange(requests, answers, upper({b"a": 50}), ahead=ahead, ordered=ordered).run()
        expected = [(0, OK, b"A"), (1, ERROR, b"X"), (9, OK, b"C"), (5, OK, b"D"), (6, OK, b"E")]
        found = answers.found()
        assert (found if ordered or ahead == 1 else sorted(found)) == (
            expected if ordered or ahead == 1 else sorted(expected)
        )
        assert found[0][0] == (9 if ahead > 1 and not ordered else 0), "what is done first is answered first"
        assert (answers.ended, requests.closed) == ("end", "the stream is over")

    run(main())


def test_long_batches_are_worked_on_in_slices(run: Run) -> None:
    sizes: list[int] = []

    async def work(bodies: Sequence[bytes]) -> AsyncGenerator[list[Answer]]:
        sizes.append(len(bodies))
        yield [Answer(OK, b"")] * len(bodies)

    async def main() -> None:
        many, large = [b"a"] * 600, [b"b" * 700_000] * 3
        stream = batch(0, *many) + batch(600, *large)
        answers = Answers()
        await exchange(Requests(stream, End(0)), answers, work).run()
        assert [index for index, _, _ in answers.found()] == list(range(603))
        assert sizes == [256, 256, 88, 1, 1, 1]

    run(main())


def test_no_more_is_read_than_may_be_under_way(run: Run) -> None:
    async def main() -> None:
        held: list[asyncio.Future[None]] = []

        async def work(bodies: Sequence[bytes]) -> AsyncGenerator[list[Answer]]:
            held.append(asyncio.get_running_loop().create_future())
            await held[-1]
            yield [Answer(OK, b"")] * len(bodies)

        for limits, ahead, most in ((LIMITS, 3, 3), (LIMITS._replace(record_stream_bytes_max=250), 9, 2)):
            held.clear()
            requests = Requests(*(batch(number, b"x" * 100) for number in range(20)), End(0))
            answers = Answers()
            running = asyncio.create_task(exchange(requests, answers, work, ahead=ahead, limits=limits).run())
            released = 0
            while not running.done():
                for _ in range(200):
                    await asyncio.sleep(0)
                assert len(held) - released <= most
                assert requests.reads <= len(held) + 2
                if released < len(held):
                    held[released].set_result(None)
                    released += 1
            assert [index for index, _, _ in answers.found()] == list(range(20))

    run(main())


def test_answers_nobody_reads_stop_everything(run: Run) -> None:
    async def main() -> None:
        requests = Requests(*(batch(number, b"x" * 100) for number in range(1000)))
        answers = Answers(room=300)
        one = exchange(requests, answers, upper(), ahead=1)
        running = asyncio.create_task(one.run())
        one.on_leave(running.cancel)
        await answers.full.wait()
        reads = requests.reads
        for _ in range(200):
            await asyncio.sleep(0)
        assert requests.reads == reads < 10
        answers.leave()
        await asyncio.wait([running])
        assert running.cancelled()
        assert requests.closed

    run(main())


@pytest.mark.parametrize("ahead", [1, 8])
@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([b"\0" * 20], UsageError),
        ([batch(0, b"a")[:9], End(9)], UsageError),
        ([batch(0, b"a"), b"\xff" * 20], UsageError),
    ],
)
def test_what_is_no_batch_fails_the_stream(run: Run, ahead: int, items: list[Any], expected: type[Exception]) -> None:
    async def main() -> None:
        requests, answers = Requests(*items), Answers()
        await exchange(requests, answers, upper(), ahead=ahead).run()
        assert answers.ended == "failed"
        assert isinstance(decode_failure(answers.failure), expected)
        assert requests.closed

    run(main())


@pytest.mark.parametrize("ahead", [1, 8])
def test_an_error_of_the_work_fails_the_stream_and_a_mistake_of_ours_says_no_more(run: Run, ahead: int) -> None:
    def failing(error: Exception) -> Work:
        async def work(bodies: Sequence[bytes]) -> AsyncGenerator[list[Answer]]:
            await asyncio.sleep(0)
            raise error
            yield []

        return work

    async def main() -> None:
        for error, code in ((StorageError("full"), "storage"), (ValueError("secret"), "internal")):
            answers = Answers()
            await exchange(Requests(batch(0, b"a")), answers, failing(error), ahead=ahead).run()
            assert f'"code": "{code}"' in answers.failure
            assert "secret" not in answers.failure

    run(main())


@pytest.mark.parametrize("ahead", [1, 8])
@pytest.mark.parametrize("cut", [ClosedError("left"), DisconnectedError("cut")])
def test_whoever_leaves_is_told_nothing(run: Run, ahead: int, cut: Exception) -> None:
    async def main() -> None:
        answers = Answers()
        answers.cut = cut
        requests = Requests(batch(0, b"a"))
        await exchange(requests, answers, upper(), ahead=ahead).run()
        assert answers.ended == ""
        assert requests.closed
        broken, answers = Requests(batch(0, b"a"), Failed(9, "my source broke")), Answers()
        await exchange(broken, answers, upper(), ahead=ahead).run()
        assert answers.ended == ""

    run(main())
