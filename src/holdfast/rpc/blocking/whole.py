"""A body too large for a request goes as a stream beside it, which ``stream`` and ``size_bytes`` name."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from ..commands import command_of

if TYPE_CHECKING:
    from .connection import BlockingConnection

P = ParamSpec("P")
R = TypeVar("R")


def send_whole(
    connection: BlockingConnection,
    data: bytes,
    progress: Callable[[int], object] | None,
    method: Callable[Concatenate[Any, str, int, int, P], Coroutine[Any, Any, R]],
    place: str,
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """``invoke_blocking(connection, method, place, stream, size_bytes, ...)`` with ``data`` written to our stream.

    ``progress`` is told how many bytes have arrived.  Blocks; raises as that does.
    """
    writer, command = connection.open_writer(), command_of(method)
    left = memoryview(data)
    given = command.arguments((place, writer.stream_id, len(data), *args), kwargs)
    number = connection.begin_call(*given)
    try:
        while (reply := connection.take_reply(number)) is None:
            if left:
                left = left[writer.offer(left) :]
                if not left:
                    writer.finish()
            connection.pump()
            if progress is not None:
                progress(writer.acknowledged)
    finally:
        connection.give_up_call(number)
        writer.forget()
    result: R = command.decode(reply.result, reply.attachment)
    return result
