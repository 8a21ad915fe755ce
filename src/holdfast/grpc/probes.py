"""Health and reflection, which anybody may ask without a token: what lasts of it is bounded, all callers together.

Otherwise whoever watches the health of a node a thousand times takes the calls of everybody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from ..errors import LimitExceeded
from . import wire
from .statuses import status_of

if TYPE_CHECKING:
    from ..limits import Limits

Serve = Callable[[Any, Any], Any]
"""A method of grpc.aio that streams: of the requests and the context, a coroutine or an asynchronous iterator."""


class ProbeBound(grpc.aio.ServerInterceptor):  # type: ignore[misc] # grpc has no useful types
    """Lets the store's calls pass, and of all others that stream ``grpc_probes_max`` at once."""

    def __init__(self, limits: Limits) -> None:
        self._probes_max = limits.grpc_probes_max
        self._probes = 0

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """What answers the call."""
        handler = await continuation(details)
        if handler is None or not handler.response_streaming or details.method.startswith(f"/{wire.STORE_SERVICE}/"):
            return handler
        if handler.request_streaming:
            make, serve = grpc.stream_stream_rpc_method_handler, handler.stream_stream
        else:
            make, serve = grpc.unary_stream_rpc_method_handler, handler.unary_stream
        return make(self._bounded(serve), handler.request_deserializer, handler.response_serializer)

    def _bounded(self, serve: Serve) -> Serve:
        async def bounded(requests: Any, context: Any) -> None:
            if self._probes >= self._probes_max:
                error = LimitExceeded(name="grpc_probes_max", limit=self._probes_max, value=self._probes + 1)
                await context.abort(*status_of(error))
            self._probes += 1
            try:
                await _write_all(serve(requests, context), context)
            finally:
                self._probes -= 1

        return bounded


async def _write_all(served: Any, context: Any) -> None:
    if hasattr(served, "__aiter__"):
        async for answer in served:
            await context.write(answer)
    else:
        await served
