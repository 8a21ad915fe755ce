"""What every request passes and every answer gets: Host and Origin checks, CORS, headers for browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from ..errors import HoldfastError, InternalError, PermissionDenied
from ..ids import new_id
from .problems import problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .guard import Guard

_logger = structlog.get_logger("holdfast.http")

_METHODS = "GET, HEAD, PUT, POST, DELETE, OPTIONS"
_REQUEST_HEADERS = (
    "authorization, content-type, if-none-match, last-event-id, producer-epoch, producer-id, producer-seq, "
    "stream-closed, stream-expires-at, stream-fork-offset, stream-fork-sub-offset, stream-forked-from, stream-seq, "
    "stream-ttl"
)
_ANSWER_HEADERS = (
    "etag, location, producer-epoch, producer-expected-seq, producer-received-seq, producer-seq, retry-after, "
    "stream-closed, stream-cursor, stream-expires-at, stream-next-offset, stream-sse-data-encoding, stream-ttl, "
    "stream-up-to-date"
)
_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""What somebody wrote into a stream is shown at most: as a page of ours it could act for whoever is logged in."""
_PREFLIGHT_AGE_S = "600"


class Shield:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, guard: Guard, refused: Callable[[str, str], None]) -> None:
        """``refused(why, peer)`` is told of each request that is turned away here."""
        self._app = app
        self._guard = guard
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        started = False

        async def send_marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._mark(MutableHeaders(scope=message), origin)
            await send(message)

        refusal = self._refusal(scope, headers)
        if refusal is not None:
            host, port = scope.get("client") or ("", 0)
            self._refused(str(refusal), f"{host}:{port}")
            await problem(refusal)(scope, receive, send_marked)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight()(scope, receive, send_marked)
        else:
            try:
                await self._app(scope, receive, send_marked)
            except HoldfastError as error:
                await problem(error)(scope, receive, send_marked)
            except Exception as error:
                if started:
                    raise
                await problem(_internal(scope, error))(scope, receive, send_marked)

    def _refusal(self, scope: Scope, headers: Headers) -> PermissionDenied | None:
        host, origin = headers.get("host"), headers.get("origin")
        if len(headers.getlist("host")) > 1 or not self._guard.allows_host(host):
            return PermissionDenied(f"Host: {host!r} is not a name of this node")
        if not self._guard.allows_origin(origin, scope["scheme"], host or ""):
            return PermissionDenied(f"Origin: {origin!r} may not use this node")
        return None

    def _mark(self, headers: MutableHeaders, origin: str | None) -> None:
        headers["x-content-type-options"] = "nosniff"
        headers.setdefault("referrer-policy", "no-referrer")
        headers.setdefault("content-security-policy", _CONTENT_POLICY)
        headers.add_vary_header("Origin")
        if origin is not None and self._guard.shares_with(origin):
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = _ANSWER_HEADERS
            headers["cross-origin-resource-policy"] = "cross-origin"
        else:
            headers["cross-origin-resource-policy"] = "same-origin"


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "access-control-allow-methods": _METHODS,
            "access-control-allow-headers": _REQUEST_HEADERS,
            "access-control-max-age": _PREFLIGHT_AGE_S,
        },
    )


def _internal(scope: Scope, error: Exception) -> InternalError:
    reference = new_id()
    _logger.error("http.request_failed", path=scope["path"], reference=reference, exc_info=error)
    return InternalError(f"the request failed; the node's log says why under {reference}", reference=reference)
