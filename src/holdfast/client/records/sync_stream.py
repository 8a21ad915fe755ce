"""The four streams of records over blocking sockets, with no event loop and no threads."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Generic, TypeVar, Unpack

from ...clock import RealClock
from ...errors import ClosedError, DisconnectedError, HoldfastError, RecordStreamError, UsageError
from ...limits import LIMITS
from ...records.streaming.metrics import StreamMetrics, Ticker
from ...rpc.blocking.connection import BlockingConnection
from ...rpc.blocking.streams import BlockingReader, BlockingWriter
from ...rpc.blocking.waiting import wait_ready
from ...rpc.commands import invoke_blocking
from ..sync_link import SyncLink
from .carrier import Carrier, compressor_for
from .kinds import Kind
from .options import PROGRESS_S, RecordStreamOptions, make_core

R = TypeVar("R")

_READ_BYTES = LIMITS.packet_bytes_max
_READS_A_TURN = 32
_ITEMS_A_TURN = 256
_IDLE_S = 3600.0


def stream(
    node: SyncLink, kind: Kind[R], items: Iterable[Any], **options: Unpack[RecordStreamOptions]
) -> Generator[R, None, None]:
    """The results of ``items``; see :class:`holdfast.SyncRecords`."""
    if isinstance(items, str | bytes | Mapping):
        raise UsageError(f"items: an iterable of inputs was expected, not one {type(items).__name__}", field="items")
    return _results(SyncRecordStream(node, kind, options), items, options)


def _results(run: SyncRecordStream[R], items: Iterable[Any], options: RecordStreamOptions) -> Generator[R, None, None]:
    on_progress, ticker = options.get("progress"), Ticker(PROGRESS_S, time.monotonic())
    iterator = iter(items)
    try:
        while not (run.over and not run.ready):
            while results := run.take():
                yield from results
            if on_progress is not None and ticker.due(time.monotonic()):
                on_progress(run.metrics)
            more = _feed(run, iterator)
            run.turn(0.0 if more else None)
        if on_progress is not None:
            on_progress(run.metrics)
        if run.failure is not None:
            raise run.failure
    finally:
        run.close()
        if isinstance(iterator, Generator):
            iterator.close()


def _feed(run: SyncRecordStream[R], iterator: Iterator[Any]) -> bool:
    """Add some of the input; whether there may be more, and room for it."""
    left = _ITEMS_A_TURN
    while left and run.room:
        before = left
        for item in islice(iterator, 1):
            run.add(item)
            left -= 1
        if left == before:
            run.end()
            return False
    return run.room


class SyncRecordStream(Generic[R]):
    """One stream of records by hand: add items while there is room, take turns, take results.  Not thread-safe."""

    def __init__(self, node: SyncLink, kind: Kind[R], options: RecordStreamOptions) -> None:
        self._node = node
        self._kind = kind
        self._clock = RealClock()
        self._core = make_core(kind, options, self._clock.now())
        self._compression: Any = options.get("compression", "")
        self._compressor = compressor_for(self._compression)
        self._ordered = options.get("ordered", True)
        self._session: _Session | None = None

    @property
    def metrics(self) -> StreamMetrics:
        """What has been done so far."""
        return self._core.metrics

    @property
    def failure(self) -> RecordStreamError | None:
        """Why it is over before all items were answered."""
        return self._core.failure

    @property
    def room(self) -> bool:
        """One more item may be added."""
        return self._core.room > 0

    @property
    def ready(self) -> bool:
        """:meth:`take` has something."""
        return self._core.ready

    @property
    def over(self) -> bool:
        """All items added have their result and no more come, or the stream has failed."""
        return self._core.over

    @property
    def waiting(self) -> int:
        """Items added that have no result."""
        return self._core.taken - self._core.answered

    def add(self, item: object) -> None:
        """Take an item; one that cannot be sent has its error as result.  Does not block."""
        try:
            body = self._kind.body(item)
        except HoldfastError as error:
            self._core.refuse(error)
        else:
            self._core.add(body, self._clock.now())

    def refuse(self, error: HoldfastError) -> None:
        """Take an input that is no item: ``error`` is its result."""
        self._core.refuse(error)

    def end(self) -> None:
        """No more items come.  Idempotent."""
        self._core.end()

    def take(self) -> list[R]:
        """Results that are here; those taken before have been used up.  Does not block."""
        return self._core.take(self._clock.now())

    def turn(self, timeout_s: float | None = None, also: Iterable[int] = ()) -> list[int]:
        """Do what can be done, wait until something moves, ``timeout_s`` seconds at most, and do what then can be.

        Gives those of the descriptors ``also`` that can be read.  Returns at once when results are ready; take them
        until there are none before the next turn.  Blocks.  Raises nothing that the node or the link does.
        """
        self._act()
        ready = self._wait(timeout_s, list(also))
        self._act()
        return ready

    def close(self) -> None:
        """Have done with it: the node stops.  Idempotent."""
        complete = self._core.complete
        self._core.close()
        self._drop_session(complete=complete)

    # inside

    def _act(self) -> None:
        core, now = self._core, self._clock.now()
        core.handle_timer(now)
        self._exchange(now)
        if core.over or not core.is_open:
            self._drop_session(complete=core.complete)
        if core.wants_link(now):
            self._open()

    def _exchange(self, now: float) -> None:
        session, core = self._session, self._core
        if session is None or not core.is_open:
            return
        try:
            session.exchange(now)
        except HoldfastError as error:
            self._drop_session(complete=False)
            core.cut(error, now)

    def _open(self) -> None:
        core = self._core
        core.opening()
        try:
            self._session = self._node.once(self._opened)
        except HoldfastError as error:
            core.cut(error, self._clock.now())
            return
        now = self._clock.now()
        core.opened(now)
        self._exchange(now)

    def _opened(self) -> _Session:
        connection = self._node.connection()
        reader = connection.open_reader(window_bytes=LIMITS.viewer_window_bytes)
        writer = connection.open_writer()
        try:
            start = invoke_blocking(
                connection, self._kind.method, writer.stream_id, reader.stream_id, self._ordered, self._compression
            )
            reader.start(0)
        except BaseException:
            writer.forget()
            raise
        return _Session(connection, reader, writer, Carrier(self._core, self._kind, start, self._compressor))

    def _wait(self, timeout_s: float | None, also: list[int]) -> list[int]:
        core = self._core
        moment = core.next_deadline()
        wait_s = _IDLE_S if moment is None else max(0.0, moment - self._clock.now())
        if timeout_s is not None:
            wait_s = min(wait_s, timeout_s)
        if core.ready or core.over:
            wait_s = 0.0
        if self._session is not None:
            connection = self._session.connection
            if connection.closed_by is not None:  # sending met it; what came before is read with the next look
                wait_s = 0.0
            return connection.pump(wait_s, also)
        return sorted(wait_ready(also, (), wait_s))

    def _drop_session(self, *, complete: bool) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close(complete=complete)


class _Session:
    """One open stream to the node."""

    def __init__(
        self, connection: BlockingConnection, reader: BlockingReader, writer: BlockingWriter, carrier: Carrier[Any]
    ) -> None:
        self.connection = connection
        self._reader = reader
        self._writer = writer
        self._carrier = carrier
        self._unsent = memoryview(b"")
        self._sending = True

    def exchange(self, now: float) -> None:
        """Take what came and send what there is room for.  Raises what ended the stream."""
        carrier = self._carrier
        carrier.go_on(now)
        for _ in range(_READS_A_TURN):
            if carrier.backlogged:
                break
            item = self._reader.read(0.0, _READ_BYTES)
            if item is None:
                break
            carrier.receive(item, now)
        self._send(now)

    def _send(self, now: float) -> None:
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
            self._sending = False  # the stream of answers says why, once it was read

    def close(self, *, complete: bool) -> None:
        """Have done with it; not ``complete``: the node is told to stop."""
        with suppress(HoldfastError):  # a link that is cut has told the node
            if complete:
                self._writer.finish()
            self._reader.close("" if complete else "the client left")
        if not complete:
            self._writer.forget()
