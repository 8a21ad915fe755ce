"""Durable streams read over RPC: each reader goes at its own pace, in a task of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from ..errors import ClosedError, DisconnectedError, HoldfastError, InternalError, LimitExceeded, NotFound
from ..ids import new_id
from ..rpc.failures import encode_failure

if TYPE_CHECKING:
    from ..limits import Limits
    from ..rpc.aio.streams import AsyncWriter
    from .model import Page, StreamInfo
    from .store import LiveReader

_logger = structlog.get_logger("holdfast.durable")

PAGE_BYTES = 1 << 18
"""About what of a stream is in memory for one reader, beside the ring it is sent from."""


class Feeder:
    """Writes pages to one RPC stream until the stream ends, or the position ``until``, or the reader leaves."""

    def __init__(self, info: StreamInfo, pages: LiveReader, writer: AsyncWriter, until: int | None) -> None:
        self._path = info.path
        self._lines = info.mode == "entries"
        self._pages = pages
        self.writer = writer
        self._until = until

    async def run(self) -> None:
        """Ends by itself in each case, and lets go of the pages."""
        try:
            await self._run()
        except (ClosedError, DisconnectedError):
            return  # the reader left, or the node is going
        finally:
            self._pages.close()

    async def _run(self) -> None:
        try:
            while self._until is None or self._pages.position < self._until:
                page = await self._pages.next()
                if page is None:
                    break
                await self._write(page)
        except (ClosedError, DisconnectedError):
            raise
        except NotFound:
            await self.writer.fail(encode_failure(NotFound(f"stream {self._path!r} was removed", "stream", self._path)))
        except HoldfastError as error:  # trimmed away, or the engine's trouble
            _logger.info("stream.reader_failed", path=self._path, error=str(error))
            await self.writer.fail(encode_failure(error))
        except Exception as error:  # a mistake of ours must not leave the reader waiting for ever
            reference = new_id()
            _logger.error("stream.reader_broke", path=self._path, reference=reference, exc_info=error)
            told = InternalError(f"reading failed; the node's log says why under {reference}", reference=reference)
            await self.writer.fail(encode_failure(told))
        else:
            await self.writer.close()

    async def _write(self, page: Page) -> None:
        wanted = page.end if self._until is None else min(page.end, self._until)
        data = lines_of(page.chunks[: wanted - page.start]) if self._lines else b"".join(page.chunks)
        await self.writer.write(data if self._lines else memoryview(data)[: wanted - page.start])


def lines_of(messages: list[bytes]) -> bytes:
    """Each message a line.  Line breaks in JSON are only ever between its parts, where a space means the same."""
    return b"".join([message.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n" for message in messages])


class Readers:
    """Owns the readers of all connections.  Made in the node's event loop."""

    def __init__(self, limits: Limits) -> None:
        self._max = limits.stream_readers_max
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def check_room(self) -> None:
        """LimitExceeded if there are as many as there may be."""
        if len(self._tasks) >= self._max:
            raise LimitExceeded(name="stream_readers_max", limit=self._max, value=len(self._tasks) + 1)

    def start(self, feeder: Feeder) -> asyncio.Task[None]:
        """Run ``feeder``; its connection may cancel it, we await it."""
        task = asyncio.create_task(feeder.run(), name="stream-reader")
        feeder.writer.on_cancel(task.cancel)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """End all of them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
