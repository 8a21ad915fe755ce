"""The HTTP application: the routes, and the shield around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, Router

from ..errors import HoldfastError, NotFound
from .gate import proof_of
from .login import LoginPages
from .problems import problem
from .reading import STREAMS
from .shield import Shield

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .gate import Entrance, Gate
    from .guard import Guard
    from .metrics import Metrics
    from .pages import WebRoot


_NO_STORE = {"cache-control": "no-store"}


def make_app(
    *,
    streams: ASGIApp,
    guard: Guard,
    gate: Gate,
    probe: Callable[[], Awaitable[None]],
    metrics: Metrics,
    entrance: Entrance | None = None,
    root: WebRoot | None = None,
    more: Sequence[Route] = (),
) -> ASGIApp:
    """``probe`` proves that the node can write, or raises.

    ``entrance``: how browsers log in; None where nobody has to.  ``root``: what is at all other paths.
    ``more``: routes besides.
    """
    pages = _Pages(gate, probe, metrics)
    home = root.home if root is not None else ""
    routes = [
        *(LoginPages(gate, entrance, home).routes() if entrance is not None else ()),
        *more,
        Route("/healthz", pages.healthz),
        Route("/readyz", pages.readyz),
        Route("/metrics", pages.show_metrics),
        Mount(STREAMS.rstrip("/"), metrics.counting(streams)),
    ]
    return Shield(Router(routes, redirect_slashes=False, default=root or _unknown), guard, gate.refused)


class _Pages:
    """What is not a stream."""

    def __init__(self, gate: Gate, probe: Callable[[], Awaitable[None]], metrics: Metrics) -> None:
        self._gate = gate
        self._probe = probe
        self._metrics = metrics

    async def healthz(self, request: Request) -> Response:
        """The process answers."""
        return JSONResponse({"status": "alive"}, headers=_NO_STORE)

    async def readyz(self, request: Request) -> Response:
        """The engine can write; a stranger is not told why not."""
        try:
            await self._probe()
        except HoldfastError:
            return JSONResponse({"status": "not ready"}, 503, headers=_NO_STORE)
        return JSONResponse({"status": "ready"}, headers=_NO_STORE)

    async def show_metrics(self, request: Request) -> Response:
        """For Prometheus."""
        proof = proof_of(request)
        self._gate.authorize(self._gate.authenticate(proof), "read", "node/metrics", proof.peer)
        body, content_type = await self._metrics.render()
        return Response(body, headers={**_NO_STORE, "content-type": content_type})


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    await problem(NotFound(kind="page", name=scope["path"]))(scope, receive, send)
