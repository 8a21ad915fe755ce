"""The three ways to read a stream: what there is now, the next that comes, and all that comes as events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.responses import Response

from ..durable.messages import join_messages
from ..durable.model import Page, StreamInfo
from ..errors import HoldfastError
from .events import HEARTBEAT, EventWriter, is_text
from .offsets import cursor_at, offset_of
from .problems import problem_body
from .reading import STREAMS, parse_read

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..clock import Clock
    from ..durable.store import LiveReader, StreamStore
    from ..limits import Limits
    from .gate import Gate
    from .live import Lasting
    from .reading import ReadRequest

_KEEP = "private, max-age=60, stale-while-revalidate=300"
"""What is at an offset never changes; it may be somebody's own, though."""
_ASK_AGAIN = "private, no-cache"
"""There was nothing yet."""
_TURNS = 4
"""Turns of the loop that are others' after each event: about what an append needs to be through, so that beside a
stream that is read from long ago it waits for one event to be made, not for one in each of its turns."""


class ReadingSide:
    """Answers whoever reads a stream."""

    def __init__(
        self,
        gate: Gate,
        lasting: Lasting,
        *,
        clock: Clock,
        limits: Limits,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``jitter`` gives numbers from 0 to below 1; see :func:`~holdfast.http.offsets.cursor_at`."""
        self.gate = gate
        self.lasting = lasting
        self.clock = clock
        self.limits = limits
        self._jitter = jitter

    async def get(self, request: Request, store: StreamStore, path: str) -> Response | None:
        """The answer; None if it was sent in parts, or the peer has left.  RateLimited for too many live readers."""
        wanted = parse_read(request.query_params, request.headers.get("last-event-id"))
        info = await store.info(path)
        if wanted.live is None:
            return await self._now(request, store, path, info, wanted)
        serve = self._long_poll if wanted.live == "long-poll" else self._events
        holder = self.gate.holder_of(request.scope["identity"])
        with self.lasting.held_by(holder, self.limits.http_readers_per_token_max):
            return await serve(request, store, path, info, wanted)

    def cursor(self, echoed: str | None) -> str:
        """The cursor for an answer given now to a reader who sent ``echoed``."""
        return cursor_at(self.clock.wall(), echoed, self._jitter())

    async def _now(
        self, request: Request, store: StreamStore, path: str, info: StreamInfo, wanted: ReadRequest
    ) -> Response:
        """All there is from the offset on, or as much of it as one answer holds."""
        page = await store.read(path, wanted.where, self.limits.http_page_bytes)
        headers = _page_headers(page)
        if wanted.where == "now":
            headers["cache-control"] = "no-store"
        else:
            headers["cache-control"] = _KEEP if page.chunks else _ASK_AGAIN
            headers["etag"] = etag_of(info, page)
            if matches_etag(request.headers.get("if-none-match"), headers["etag"]):
                return Response(status_code=304, headers=headers)
        return Response(_content(info, page), headers={**headers, "content-type": info.content_type})

    async def _long_poll(
        self, request: Request, store: StreamStore, path: str, info: StreamInfo, wanted: ReadRequest
    ) -> Response | None:
        """As :meth:`_now` as soon as there is something; 204 if nothing came in time, or never will."""
        reader = await store.follow(path, wanted.where, self.limits.http_page_bytes)
        with self.lasting.reading(_shown(request), store, path, reader):
            position = reader.position
            waiting = self.lasting.wait(reader.next(), self.limits.http_long_poll_s)
            outcome = await self.lasting.run(_boxed(waiting), request.receive)
        if outcome is None:  # the peer left
            return None
        page = outcome[0] or Page([], position, position, position, closed=False)
        headers = _page_headers(page)
        if not page.finished:
            headers["stream-cursor"] = self.cursor(wanted.cursor)
        if not page.chunks:
            return Response(status_code=204, headers={**headers, "cache-control": "no-store"})
        headers.update({"cache-control": _KEEP, "etag": etag_of(info, page), "content-type": info.content_type})
        return Response(_content(info, page), headers=headers)

    async def _events(
        self, request: Request, store: StreamStore, path: str, info: StreamInfo, wanted: ReadRequest
    ) -> Response | None:
        """Everything from the offset on as events, for ``http_sse_s`` at most.

        An EventSource that comes back to a stream it has seen the end of is told to stay away (204).
        """
        first = await store.read(path, wanted.where, self.limits.http_event_bytes)
        if wanted.resumed and first.finished and not first.chunks:
            return Response(status_code=204, headers={**_page_headers(first), "cache-control": "no-store"})
        reader = await store.follow(path, first.end, self.limits.http_event_bytes)
        with self.lasting.reading(_shown(request), store, path, reader):
            stream = EventStream(self, info, reader, wanted.cursor, request)
            await self.lasting.run(stream.run(first), request.receive)
        return None


class EventStream:
    """One event stream on its way out."""

    def __init__(
        self, door: ReadingSide, info: StreamInfo, reader: LiveReader, cursor: str | None, request: Request
    ) -> None:
        self._door = door
        self._reader = reader
        self._cursor = cursor
        self._identity = request.scope["identity"]
        self._send = request._send  # noqa: SLF001 - Starlette has no other way to answer in parts as we please
        self._writer = EventWriter(info.content_type)
        self._headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-cache, no-transform"),
            (b"x-accel-buffering", b"no"),
        ]
        if not is_text(info.content_type):
            self._headers.append((b"stream-sse-data-encoding", b"base64"))

    async def run(self, first: Page) -> None:
        """Send until the stream is finished, or this answer is old enough.  One page in memory at a time."""
        await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
        try:
            await self._pages(first)
        except HoldfastError as error:
            await self._write(b"event: error\ndata:" + problem_body(error) + b"\n\n")
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pages(self, first: Page) -> None:
        clock, limits, lasting = self._door.clock, self._door.limits, self._door.lasting
        until = clock.now() + limits.http_sse_s
        page: Page | None = first
        while True:
            self._door.gate.check_in_force(self._identity)
            if page is None:
                await self._write(HEARTBEAT)
            else:
                await self._write(self._writer.write(page, self._door.cursor(self._cursor)))
                if page.finished:
                    return
            left_s = until - clock.now()
            if left_s <= 0 or lasting.draining:
                return
            page = await lasting.wait(self._reader.next(), min(limits.http_heartbeat_s, left_s))

    async def _write(self, data: bytes) -> None:
        """Send, and give way: as long as the peer takes everything nothing here waits."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        for _ in range(_TURNS):
            await asyncio.sleep(0)


def _shown(request: Request) -> str:
    return str(request.scope["path"]).removeprefix(STREAMS)


async def _boxed(waiting: object) -> tuple[Page | None]:
    return (await waiting,)  # type: ignore[misc]


def etag_of(info: StreamInfo, page: Page) -> str:
    """Another one for other content, and for the same content once it is known to be the last."""
    return f'"{info.id}:{page.start}:{page.end}{":c" if page.finished else ""}"'


def matches_etag(condition: str | None, etag: str) -> bool:
    """Whether ``If-None-Match: condition`` holds for ``etag``."""
    if condition is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
    return etag in tags or "*" in tags


def _page_headers(page: Page) -> dict[str, str]:
    headers = {"stream-next-offset": offset_of(page.end)}
    if page.caught_up:
        headers["stream-up-to-date"] = "true"
    if page.finished:
        headers["stream-closed"] = "true"
    return headers


def _content(info: StreamInfo, page: Page) -> bytes:
    return join_messages(page.chunks) if info.mode == "entries" else b"".join(page.chunks)
