"""A stream of messages that ends in this process: what a session's client would read over RPC, read here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..streams import Reader
from ..streams.reader import Chunk, End, Failed

if TYPE_CHECKING:
    from ..clock import Clock
    from ..streams import OutputSender

STREAM_ID = 1


class LocalStream:
    """Both ends of one stream, with its window between them.

    Implements :class:`~holdfast.sessions.delivery.outflow.Wire`.
    Whoever does not read is not sent more than ``window_bytes``.
    """

    def __init__(self, clock: Clock, window_bytes: int) -> None:
        self._clock = clock
        self._reader = Reader(STREAM_ID, window_bytes=window_bytes)
        self._sender: OutputSender | None = None
        self._on_moved: Callable[[], None] | None = None
        self._readable = asyncio.Event()
        self._due = False

    def attach_sender(self, sender: OutputSender, on_moved: Callable[[], None] | None = None) -> None:
        """See :class:`~holdfast.sessions.delivery.outflow.Wire`."""
        self._sender = sender
        self._on_moved = on_moved
        self._reader.start()
        self._soon()

    def sender_ready(self, stream_id: int) -> None:
        """See :class:`~holdfast.sessions.delivery.outflow.Wire`."""
        self._soon()

    async def read(self) -> Chunk | End | Failed:
        """What came next; waits for it.  Safe to cancel."""
        while True:
            item = self._reader.read()
            if item is not None:
                self._soon()  # there is room again
                assert isinstance(item, Chunk | End | Failed), "a writer loses nothing"
                return item
            self._readable.clear()
            await self._readable.wait()

    def close(self) -> None:
        """Read no more: who writes is told.  Idempotent."""
        self._reader.close()
        self._exchange()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._exchange)

    def _exchange(self) -> None:
        """Carry packets one way and acknowledgements the other until there are none."""
        self._due = False
        sender, reader, now = self._sender, self._reader, self._clock.now()
        if sender is None:
            return
        moved = False
        while True:
            busy = False
            while sender.stream_id is not None and (packet := sender.next_packet(now)) is not None:
                reader.receive_data(packet, now)
                busy = True
            while (ack := reader.next_ack()) is not None:
                sender.receive_ack(ack, now)
                busy = moved = True
            if not busy:
                break
        if reader.readable or reader.finished:
            self._readable.set()
        if moved and self._on_moved is not None:
            self._on_moved()
