"""What lasts and needs no token is bounded; the store's calls and single answers pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from holdfast.grpc import wire
from holdfast.grpc.probes import ProbeBound
from holdfast.limits import LIMITS


class Details:
    def __init__(self, method: str) -> None:
        self.method = method


class Context:
    """Of one call: what was written, and how it was ended."""

    def __init__(self) -> None:
        self.written: list[Any] = []
        self.ended: tuple[Any, ...] = ()

    async def write(self, answer: Any) -> None:
        self.written.append(answer)

    async def abort(self, *status: Any) -> None:
        self.ended = status
        raise grpc.aio.AbortError


async def once(_request: Any, _context: Any) -> str:
    return "one answer"


async def forever(_request: Any, context: Any) -> None:
    await context.write("first")
    await asyncio.Event().wait()


async def echo(requests: list[str], _context: Any) -> AsyncIterator[str]:
    for request in requests:
        yield request


async def intercepted(bound: ProbeBound, method: str, handler: Any) -> Any:
    async def found(_details: Any) -> Any:
        return handler

    return await bound.intercept_service(found, Details(method))


def test_what_does_not_last_and_what_is_the_stores_is_left_alone() -> None:
    async def main() -> None:
        bound = ProbeBound(LIMITS._replace(grpc_probes_max=0))
        single = grpc.unary_unary_rpc_method_handler(once)
        store = grpc.stream_stream_rpc_method_handler(echo)
        assert await intercepted(bound, "/grpc.health.v1.Health/Check", single) is single
        assert await intercepted(bound, f"/{wire.STORE_SERVICE}/Push", store) is store
        assert await intercepted(bound, "/nothing/Here", None) is None

    asyncio.run(main())


def test_one_probe_too_many_is_refused_and_places_come_back() -> None:
    async def main() -> None:
        bound = ProbeBound(LIMITS._replace(grpc_probes_max=1))
        watch = await intercepted(bound, "/h/Watch", grpc.unary_stream_rpc_method_handler(forever))
        look = await intercepted(bound, "/r/Look", grpc.stream_stream_rpc_method_handler(echo))
        watching = Context()
        task = asyncio.create_task(watch.unary_stream("", watching))
        while not watching.written:
            await asyncio.sleep(0)
        late = Context()
        with pytest.raises(grpc.aio.AbortError):
            await look.stream_stream(["a"], late)
        status, message, trailing = late.ended
        assert status is grpc.StatusCode.RESOURCE_EXHAUSTED and trailing == (("holdfast-code", "limit_exceeded"),)
        assert message == "grpc_probes_max: 2 is over the limit of 1"
        task.cancel()
        await asyncio.wait([task])
        answered = Context()
        await look.stream_stream(["a", "b"], answered)
        await look.stream_stream(["c"], answered)
        assert answered.written == ["a", "b", "c"]

    asyncio.run(main())
