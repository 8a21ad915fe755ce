"""One stream of records at the node: batches in, answers out, with as much under way as its bounds allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

import structlog

from ..errors import ClosedError, DisconnectedError, HoldfastError, InternalError
from ..rpc.failures import encode_error, encode_failure
from ..streams import Chunk, End
from .wire import ERROR, EXISTED, OK, Batch, BatchDecoder, Compressor, encode_batch

if TYPE_CHECKING:
    from ..limits import Limits
    from ..rpc.aio.streams import AsyncReader, AsyncWriter
    from .store import Pushed, RecordStore

_logger = structlog.get_logger("holdfast.records")

_READ_BYTES = 1 << 18
_SLICE_ITEMS = 256
"""Items worked on together: enough for a commit to be worth its flush, few enough for answers to flow."""
_SLICE_BYTES = 1 << 20
_SLICES_MAX = 32
"""Slices of one stream under way at once: the next are named while the ones before are made durable."""


class Answer(NamedTuple):
    """What goes back for one item."""

    status: int
    body: bytes


Work = Callable[[Sequence[bytes]], AsyncGenerator[list[Answer]]]
"""Answers the items of a slice, in order, some at a time."""


def pushing(store: RecordStore) -> Work:
    """Push each."""

    async def work(bodies: Sequence[bytes]) -> AsyncGenerator[list[Answer]]:
        yield [_pushed(result) for result in await store.push_many(bodies)]

    return work


def pulling(store: RecordStore) -> Work:
    """Pull each."""

    async def work(bodies: Sequence[bytes]) -> AsyncGenerator[list[Answer]]:
        async with aclosing(store.pull_many(_cids(bodies))) as found:
            async for results in found:
                yield [_content(result) for result in results]

    return work


def looking_up(store: RecordStore) -> Work:
    """Look each up."""

    async def work(bodies: Sequence[bytes]) -> AsyncGenerator[list[Answer]]:
        yield [_content(result) for result in await store.lookup_many(_cids(bodies))]

    return work


def deleting(store: RecordStore) -> Work:
    """Delete each."""

    async def work(bodies: Sequence[bytes]) -> AsyncGenerator[list[Answer]]:
        yield [_content(result or b"") for result in await store.delete_many(_cids(bodies))]

    return work


def _pushed(result: Pushed | HoldfastError) -> Answer:
    if isinstance(result, HoldfastError):
        return Answer(ERROR, encode_error(result))
    return Answer(EXISTED if result.existed else OK, result.cid.encode())


def _content(result: bytes | HoldfastError) -> Answer:
    return Answer(ERROR, encode_error(result)) if isinstance(result, HoldfastError) else Answer(OK, result)


def _cids(bodies: Sequence[bytes]) -> list[str]:
    return [str(body, "utf-8", "replace") for body in bodies]


class Exchange:
    """Reads requests, has them worked on, writes the answers.

    ``ahead``: how many slices may be worked on at once.  With 1 the answers are written as they come, and the next
    slice is begun when they are with the caller: for work whose answers are what is large.
    """

    def __init__(
        self,
        reader: AsyncReader,
        writer: AsyncWriter,
        work: Work,
        *,
        ordered: bool,
        compressor: Compressor | None,
        ahead: int = _SLICES_MAX,
        limits: Limits,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._work = work
        self._ordered = ordered
        self._compressor = compressor
        self._ahead = ahead
        self._bytes_max = limits.record_stream_bytes_max
        self._decoder = BatchDecoder(compressor, limits)
        self._bytes_under_way = 0
        self._slices_under_way = 0
        self._room = asyncio.Event()
        self._finished: asyncio.Queue[asyncio.Task[list[Answer]] | None] = asyncio.Queue()
        """What is to be written next: in the order of the requests, or of its being done; None at the end."""
        self._indexes: dict[asyncio.Task[list[Answer]], Sequence[int]] = {}

    def on_leave(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called when the caller wants no more answers, which a quiet one would not show."""
        self._writer.on_cancel(callback)

    async def run(self) -> None:
        """Until all is answered, or the caller has left.  Cancelled, it ends both streams for the caller."""
        try:
            await self._exchange()
            await self._writer.close()
        except (ClosedError, DisconnectedError):
            return  # the caller left
        except HoldfastError as error:
            await self._fail(error)
        except Exception as error:
            _logger.exception("records.stream_failed")
            await self._fail(InternalError(f"a stream of records failed: {type(error).__name__}"))
        finally:
            self._reader.close("the stream is over")

    async def _fail(self, error: HoldfastError) -> None:
        try:
            await self._writer.fail(encode_failure(error))
        except (ClosedError, DisconnectedError):
            return

    async def _exchange(self) -> None:
        async with aclosing(self._batches()) as batches:
            if self._ahead > 1:
                await self._exchange_ahead(batches)
                return
            async for batch in batches:
                for indexes, bodies in _slices(batch):
                    await self._answer_at_once(indexes, bodies)

    async def _exchange_ahead(self, batches: AsyncGenerator[Batch]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_answers())
                async for batch in batches:
                    for indexes, bodies in _slices(batch):
                        await self._begin(group, indexes, bodies)
                await self._wait_for(lambda: not self._slices_under_way or self._ordered)
                self._finished.put_nowait(None)
        except BaseExceptionGroup as errors:
            raise _first_of(errors) from errors

    async def _batches(self) -> AsyncGenerator[Batch]:
        while True:
            item = await self._reader.read(_READ_BYTES)
            if not isinstance(item, Chunk):
                break
            self._decoder.feed(item.data)
            for batch in self._decoder:
                yield batch
        if not isinstance(item, End):
            raise ClosedError("the requests were broken off")
        self._decoder.finish()

    async def _answer_at_once(self, indexes: Sequence[int], bodies: Sequence[bytes]) -> None:
        done = 0
        async with aclosing(self._work(bodies)) as work:
            async for answers in work:
                await self._write(indexes[done : done + len(answers)], answers)
                done += len(answers)

    async def _begin(self, group: asyncio.TaskGroup, indexes: Sequence[int], bodies: Sequence[bytes]) -> None:
        size = sum(map(len, bodies))
        await self._wait_for(
            lambda: (
                not self._slices_under_way
                or (self._slices_under_way < self._ahead and self._bytes_under_way + size <= self._bytes_max)
            )
        )
        self._bytes_under_way += size
        self._slices_under_way += 1
        task = group.create_task(self._collect(bodies, size))
        self._indexes[task] = indexes
        if self._ordered:
            self._finished.put_nowait(task)
        else:
            task.add_done_callback(self._finished.put_nowait)

    async def _collect(self, bodies: Sequence[bytes], size: int) -> list[Answer]:
        found: list[Answer] = []
        async with aclosing(self._work(bodies)) as work:
            async for answers in work:
                found += answers
        self._bytes_under_way -= size
        return found

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._room.clear()
            await self._room.wait()

    async def _write_answers(self) -> None:
        while (task := await self._finished.get()) is not None:
            answers = await task
            await self._write(self._indexes.pop(task), answers)
            self._slices_under_way -= 1
            self._room.set()

    async def _write(self, indexes: Sequence[int], answers: list[Answer]) -> None:
        statuses = bytes([answer.status for answer in answers])
        batch = encode_batch(indexes, [answer.body for answer in answers], statuses, self._compressor)
        await self._writer.write(batch)


def _slices(batch: Batch) -> list[tuple[Sequence[int], Sequence[bytes]]]:
    """The batch in parts to be worked on: so many items, or about so many bytes."""
    found: list[tuple[Sequence[int], Sequence[bytes]]] = []
    start = size = 0
    for position, body in enumerate(batch.bodies):
        if position > start and (position - start >= _SLICE_ITEMS or size + len(body) > _SLICE_BYTES):
            found.append((batch.indexes[start:position], batch.bodies[start:position]))
            start, size = position, 0
        size += len(body)
    found.append((batch.indexes[start:], batch.bodies[start:]))
    return found


def _first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a group of tasks; those it caused come after it."""
    first = errors.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
