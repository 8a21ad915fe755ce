"""The four streams of records on an event loop: :func:`push_stream` and its like.

An async generator gives the results.  Behind it are two tasks, one that takes the input and one that keeps a stream to
the node open, and turns: whenever something has moved, all that can be done at once is done, without waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from typing import Any, Generic, TypeVar, Unpack

import msgspec

from ...errors import ClosedError, DisconnectedError, HoldfastError, UsageError
from ...limits import LIMITS
from ...records.model import RecordMeta
from ...records.streaming.metrics import Ticker
from ...rpc.aio.connection import AsyncConnection
from ...rpc.aio.streams import AsyncReader, AsyncWriter
from ...rpc.commands import invoke
from ..link import Link
from .carrier import Carrier, compressor_for
from .kinds import Kind, delete_kind, lookup_kind, pull_kind, push_kind
from .options import PROGRESS_S, RecordStreamOptions, make_core

T = TypeVar("T")
R = TypeVar("R")
Items = AsyncIterable[T] | Iterable[T]

_READ_BYTES = LIMITS.packet_bytes_max
_READS_A_TURN = 32
"""Then the loop gets its turn."""
_ITEMS_A_TURN = 256

PUSH = push_kind()
PULL = pull_kind(msgspec.json.decode)
LOOKUP = lookup_kind(msgspec.json.Decoder(RecordMeta).decode)
DELETE = delete_kind()


def stream(
    link: Link, kind: Kind[R], items: Items[Any], **options: Unpack[RecordStreamOptions]
) -> AsyncGenerator[R, None]:
    """The results of ``items``; see :class:`holdfast.Records`."""
    if isinstance(items, str | bytes | Mapping):
        raise UsageError(f"items: an iterable of inputs was expected, not one {type(items).__name__}", field="items")
    return _StreamRun(link, kind, options).results(items)


class _Session:
    """One open stream to the node."""

    def __init__(
        self, connection: AsyncConnection, reader: AsyncReader, writer: AsyncWriter, carrier: Carrier[Any]
    ) -> None:
        self.over = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._reader = reader
        self._writer = writer
        self._carrier = carrier
        self._unsent = memoryview(b"")
        self._sending = True

    def watch(self, moved: Callable[[], None]) -> None:
        """Call ``moved`` when something may be read or written again."""
        for stream_id in (self._reader.stream_id, self._writer.stream_id):
            self._connection.watch_stream(stream_id, moved)

    def receive(self, now: float) -> bool:
        """Take what came and the consumer has room for; whether there may be more.  Raises what ended the stream."""
        carrier = self._carrier
        carrier.go_on(now)
        for _ in range(_READS_A_TURN):
            if carrier.backlogged:
                return False
            item = self._reader.take(_READ_BYTES)
            if item is None:
                return False
            carrier.receive(item, now)
        return True

    def send(self, now: float) -> None:
        """Send what there is room for.  If that is over, the stream of answers says why, once it was read."""
        try:
            while self._sending:
                if self._unsent:
                    self._unsent = self._unsent[self._writer.offer(self._unsent) :]
                    if self._unsent:
                        return
                self._unsent = memoryview(self._carrier.next_batch(now))
                if not self._unsent:
                    return
        except (ClosedError, DisconnectedError):
            self._sending = False

    def close(self, *, complete: bool) -> None:
        """Have done with it; not ``complete``: the node is told to stop."""
        self._writer.finish("" if complete else "the client left")
        self._reader.close("" if complete else "the client left")
        if not self.over.done():
            self.over.set_result(None)


class _StreamRun(Generic[R]):
    """One call of a stream function."""

    def __init__(self, link: Link, kind: Kind[R], options: RecordStreamOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._core = make_core(kind, options, self._loop.time())
        self._link = link
        self._kind = kind
        self._compression: Any = options.get("compression", "")
        self._compressor = compressor_for(self._compression)
        self._ordered = options.get("ordered", True)
        self._on_progress = options.get("progress")
        self._ticker = Ticker(PROGRESS_S, self._loop.time())
        self._session: _Session | None = None
        self._turning = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._results_here = asyncio.Event()
        self._room_here = asyncio.Event()
        self._link_wanted = asyncio.Event()
        self._broken_input: BaseException | None = None
        self._mistake: BaseException | None = None
        """Of ours, or of a callback: it must not be lost in a callback of the loop."""

    async def results(self, items: Items[Any]) -> AsyncGenerator[R, None]:
        core, loop = self._core, self._loop
        tasks = [asyncio.create_task(self._feed(items)), asyncio.create_task(self._keep_link())]
        try:
            while True:
                results = core.take(loop.time())
                self._soon()
                for result in results:
                    yield result
                self._tell(last=False)
                if not results and not core.ready:
                    if core.over:
                        break
                    await self._results_here.wait()
                    self._results_here.clear()
            self._tell(last=True)
            self._raise_failure()
        finally:
            self._release()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _raise_failure(self) -> None:
        for error in (self._mistake, self._broken_input, self._core.failure):
            if error is not None:
                raise error

    def _tell(self, *, last: bool) -> None:
        if self._on_progress is not None and self._ticker.due(self._loop.time(), last=last):
            self._on_progress(self._core.metrics)

    def _release(self) -> None:
        """Nothing of ours stays: neither at the node nor on the loop."""
        complete = self._core.complete
        self._core.close()
        if self._session is not None:
            self._session.close(complete=complete)
            self._session = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # the input

    async def _feed(self, items: Items[Any]) -> None:
        try:
            if isinstance(items, AsyncIterable):
                await self._feed_from(aiter(items))
            else:
                await self._feed_at_once(iter(items))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the input's own, raised from the iterator
            self._broken_input = error
        self._core.end()
        self._soon()

    async def _feed_from(self, iterator: AsyncIterator[Any]) -> None:
        try:
            async for item in iterator:
                await self._room()
                self._add(item)
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

    async def _feed_at_once(self, iterator: Iterator[Any]) -> None:
        try:
            for count, item in enumerate(iterator):
                await self._room()
                self._add(item)
                if count % _ITEMS_A_TURN == 0:
                    await asyncio.sleep(0)
        finally:
            if isinstance(iterator, Generator):
                iterator.close()

    async def _room(self) -> None:
        while not self._core.room:
            self._room_here.clear()
            await self._room_here.wait()

    def _add(self, item: object) -> None:
        try:
            body = self._kind.body(item)
        except HoldfastError as error:
            self._core.refuse(error)
        else:
            self._core.add(body, self._loop.time())
        self._soon()

    # the link

    async def _keep_link(self) -> None:
        while True:
            await self._link_wanted.wait()
            self._link_wanted.clear()
            try:
                session = await self._link.once(self._open)
            except HoldfastError as error:
                self._core.cut(error, self._loop.time())
                self._soon()
                continue
            self._session = session
            self._core.opened(self._loop.time())
            session.watch(self._soon)
            self._soon()
            await session.over

    async def _open(self, connection: AsyncConnection) -> _Session:
        reader = connection.open_reader(window_bytes=LIMITS.viewer_window_bytes)
        writer = connection.open_writer()
        try:
            start = await invoke(
                connection, self._kind.method, writer.stream_id, reader.stream_id, self._ordered, self._compression
            )
            reader.start()
        except BaseException:
            reader.close()
            connection.unwatch_stream(writer.stream_id)
            connection.core.broker.remove(writer.stream_id)  # refused before it was read, it would stay for good
            raise
        return _Session(connection, reader, writer, Carrier(self._core, self._kind, start, self._compressor))

    def _cut(self, error: HoldfastError) -> None:
        assert self._session is not None
        self._session.close(complete=False)
        self._session = None
        self._core.cut(error, self._loop.time())

    # turns

    def _soon(self) -> None:
        """Something has moved."""
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turning = False
        try:
            self._do_all()
        except Exception as error:  # noqa: BLE001 - raised from the iterator
            self._mistake = error
            self._core.close()
        if self._core.ready or self._core.over:
            self._results_here.set()

    def _do_all(self) -> None:
        core, now = self._core, self._loop.time()
        core.handle_timer(now)
        self._exchange(now)
        if core.over:
            self._release()
            return
        if core.wants_link(now):
            core.opening()
            self._link_wanted.set()
        if core.room:
            self._room_here.set()
        self._set_timer()

    def _exchange(self, now: float) -> None:
        session, core = self._session, self._core
        if session is None:
            return
        if not core.is_open:  # the core has given it up
            session.close(complete=False)
            self._session = None
            return
        try:
            if session.receive(now):
                self._soon()
            session.send(now)
        except HoldfastError as error:
            self._cut(error)

    def _set_timer(self) -> None:
        moment = self._core.next_deadline()
        if moment is None or (self._timer is not None and self._timer_at <= moment):
            return  # one that is too early looks again
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(moment, self._ring), moment

    def _ring(self) -> None:
        self._timer = None
        self._turn()
