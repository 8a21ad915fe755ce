"""Items of a stream core as batches, and batches of answers as results; shared by both clients."""

from __future__ import annotations

from itertools import repeat
from typing import Generic, TypeVar

from ...errors import CorruptionError, HoldfastError, ProtocolError, UsageError
from ...limits import LIMITS
from ...records.model import StreamStart
from ...records.streaming.core import StreamCore
from ...records.wire import ERROR, OK, Batch, BatchDecoder, Compressor, encode_batch, zstd
from ...rpc.failures import decode_error, decode_failure
from ...streams import Chunk, End, Failed, Item
from .kinds import Kind

R = TypeVar("R")

BATCH_ITEMS = 512
BATCH_BYTES = 128 * 1024
"""Of a batch that is sent: large enough that its head costs nothing, small enough that the node begins early."""


def compressor_for(compression: str) -> Compressor | None:
    """What was asked for.  UsageError if it is not known or not installed."""
    if not compression:
        return None
    if compression != "zstd":
        raise UsageError(f"compression: {compression!r} is not known; zstd is", field="compression")
    try:
        return zstd()
    except ImportError:
        raise UsageError("compression: zstd needs the package zstandard", field="compression") from None


class Carrier(Generic[R]):
    """Carries the items of ``core`` over one open stream to the node."""

    def __init__(self, core: StreamCore[R], kind: Kind[R], start: StreamStart, compressor: Compressor | None) -> None:
        self._core = core
        self._kind = kind
        self._compressor = compressor if start.compression else None
        self._decoder = BatchDecoder(self._compressor, LIMITS)
        self._items_max = min(BATCH_ITEMS, start.batch_items_max or BATCH_ITEMS)
        self._bytes_max = min(BATCH_BYTES, start.batch_bytes_max or BATCH_BYTES)

    @property
    def backlogged(self) -> bool:
        """The consumer has enough before it: nothing more is to be read."""
        return self._core.backlogged

    def next_batch(self, now: float) -> bytes:
        """The next batch to be sent; empty if there is none now."""
        indexes, bodies = self._core.to_send(self._items_max, self._bytes_max, now)
        if not indexes:
            return b""
        data = encode_batch(indexes, bodies, compressor=self._compressor)
        self._core.metrics.wire_sent_bytes += len(data)
        return data

    def receive(self, item: Item, now: float) -> None:
        """What came on the stream of answers.

        Raises what ended it: the node's error, DisconnectedError, ProtocolError for what is not of the protocol.
        """
        match item:
            case Chunk(_, data):
                self._core.metrics.wire_received_bytes += len(data)
                self._decoder.feed(data)
                self.go_on(now)
            case Failed(_, text):
                raise decode_failure(text)
            case End():
                raise ProtocolError("the node ended the answers early", reason="answer")
            case _:
                raise ProtocolError("answers are missing", reason="answer")

    def go_on(self, now: float) -> None:
        """Take what is here of answers, as long as the consumer has room."""
        while not self._core.backlogged:
            try:
                batch = self._decoder.next_batch()
            except UsageError as error:
                raise ProtocolError(f"answers: {error}", reason="answer") from None
            if batch is None:
                return
            self._take(batch, now)

    def _take(self, batch: Batch, now: float) -> None:
        core, result = self._core, self._kind.result
        good: list[tuple[int, R, int]] = []
        for index, status, body in zip(batch.indexes, batch.statuses or repeat(OK), batch.bodies, strict=False):
            error: HoldfastError | None = None
            if status == ERROR:
                error = decode_error(body)
            else:
                try:
                    good.append((index, result(index, status, body, core.body(index)), len(body)))
                except CorruptionError as corruption:
                    error = corruption
            if error is not None:
                core.receive(good, now)
                good = []
                core.receive_error(index, error, now)
        core.receive(good, now)
