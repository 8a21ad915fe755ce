"""A body too large for a request goes as a stream beside it, which ``stream`` and ``size_bytes`` name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from ...errors import UsageError
from ...streams import Chunk, End
from ..commands import invoke

if TYPE_CHECKING:
    from .connection import AsyncConnection
    from .streams import AsyncWriter

P = ParamSpec("P")
R = TypeVar("R")
_READ_BYTES = 256 * 1024


async def send_whole(
    connection: AsyncConnection,
    data: bytes,
    method: Callable[Concatenate[Any, str, int, int, P], Coroutine[Any, Any, R]],
    place: str,
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """``invoke(connection, method, place, stream, size_bytes, ...)`` where ``data`` is what is written to our stream.

    Raises as that does, and is as cancel-safe.
    """
    writer = connection.open_writer()
    asked = invoke(connection, method, place, writer.stream_id, len(data), *args, **kwargs)
    call, writing = asyncio.create_task(asked), asyncio.create_task(_write(writer, data))
    try:
        return await call
    finally:
        for task in (writing, call):
            task.cancel()
        await asyncio.gather(writing, call, return_exceptions=True)
        connection.unwatch_stream(writer.stream_id)
        connection.core.broker.remove(writer.stream_id)  # refused before it was read, it would stay for good


async def _write(writer: AsyncWriter, data: bytes) -> None:
    await writer.write(data)
    await writer.close()


async def take_whole(connection: AsyncConnection, stream: int, size_bytes: int, window_bytes: int) -> bytes:
    """What the caller writes to ``stream``, all in memory; UsageError if that is not just ``size_bytes``.

    Whether they are too many is to be asked before.  Cancel-safe: the caller is told to stop.
    """
    reader = connection.open_reader(stream, window_bytes=window_bytes)
    reader.start()
    data = bytearray()
    try:
        while len(data) < size_bytes:
            item = await reader.read(_READ_BYTES)
            if not isinstance(item, Chunk):
                break
            data += item.data
        if len(data) != size_bytes or not isinstance(await reader.read(), End):
            raise UsageError(f"stream: it does not hold {size_bytes} bytes", field="stream")
    finally:
        reader.close()
    return bytes(data)
