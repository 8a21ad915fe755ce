"""Request bodies, never larger than a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import LimitExceeded

if TYPE_CHECKING:
    from starlette.requests import Request


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The whole body; LimitExceeded as soon as it is known to be too large."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > bytes_max:
        raise _too_large(int(announced), bytes_max)
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise _too_large(size, bytes_max)
        parts.append(part)
    return b"".join(parts)


def _too_large(size: int, bytes_max: int) -> LimitExceeded:
    return LimitExceeded(
        f"body: {size} bytes, over the limit http_body_bytes_max = {bytes_max}",
        name="http_body_bytes_max",
        limit=bytes_max,
        value=size,
    )
