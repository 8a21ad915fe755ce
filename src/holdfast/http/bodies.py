"""Request bodies, never larger than a limit, nor all together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

import msgspec

from ..errors import LimitExceeded, RateLimited, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..limits import Limits

T = TypeVar("T")

_AGAIN_S = 1.0
"""When who found no room may try again: bodies take seconds, not minutes."""


class Bodies:
    """What all requests of a door hold in memory while their bodies arrive."""

    def __init__(self, limits: Limits) -> None:
        self._one_max = limits.http_body_bytes_max
        self._all_max = limits.http_bodies_bytes_max
        self.held_bytes = 0
        self._held_by: Counter[str] = Counter()

    async def read(self, request: Request, holder: str = "") -> bytes:
        """The whole body.  ``holder``, unless it is nobody in particular, gets half of the room at most.

        LimitExceeded if it is too large, RateLimited if there is no room for it beside the others.
        """
        mine = 0
        try:
            parts = []
            check_announced(request, self._one_max)
            async for part in request.stream():
                mine += len(part)
                self.held_bytes += len(part)
                self._held_by[holder] += len(part)
                if mine > self._one_max:
                    raise _too_large(mine, self._one_max)
                if self.held_bytes > self._all_max or (holder and self._held_by[holder] > self._all_max // 2):
                    raise self._no_room()
                parts.append(part)
            return b"".join(parts)
        finally:
            self.held_bytes -= mine
            self._held_by[holder] -= mine
            if not self._held_by[holder]:
                del self._held_by[holder]

    def _no_room(self) -> RateLimited:
        limit, value = self._all_max, self.held_bytes
        text = f"bodies: {value} bytes are on their way, too near to the limit http_bodies_bytes_max = {limit}"
        return RateLimited(text, "http_bodies_bytes_max", limit, value, _AGAIN_S)


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The whole of a body that is small; LimitExceeded as soon as it is known to be too large."""
    check_announced(request, bytes_max)
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise _too_large(size, bytes_max)
        parts.append(part)
    return b"".join(parts)


async def read_json(request: Request, bytes_max: int, kind: type[T]) -> T:
    """A small JSON body as ``kind``, an empty one as ``{}``; UsageError naming the field that is wrong."""
    content = await read_body(request, bytes_max)
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UsageError(f"body: {error}", field="body") from None
    except RecursionError:
        raise UsageError("body: nested too deeply", field="body") from None


def check_announced(request: Request, bytes_max: int) -> None:
    """LimitExceeded if the request says that its body is too large, before any of it is read."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > bytes_max:
        raise _too_large(int(announced), bytes_max)


def _too_large(size: int, bytes_max: int) -> LimitExceeded:
    return LimitExceeded(
        f"body: {size} bytes, over the limit http_body_bytes_max = {bytes_max}",
        name="http_body_bytes_max",
        limit=bytes_max,
        value=size,
    )
