"""StoreService: the seven methods over a store of records.

Requests are answered in their order.  An error of one ends its stream, as the service's users expect it, after the
answers to those before it; its status says what was wrong, with our code in the trailing metadata ``holdfast-code``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from ..errors import HoldfastError, InternalError, NotFound, UsageError
from . import wire
from .exchange import Answer, Window, answers_of
from .objects import fill_struct, object_of
from .shares import Shares
from .statuses import status_of

if TYPE_CHECKING:
    from ..limits import Limits
    from ..records.model import Referrer
    from .backend import Action, Gate, Records

_logger = structlog.get_logger("holdfast.grpc")

_UNDER_WAY_MAX = 256
"""Requests of one call worked on at once: enough for a group commit to be worth its flush."""
_PULLS_UNDER_WAY_MAX = 16
"""Less where the answers are what is large."""
_CHECK_EVERY = 256
"""Answers after which a call's token is looked at again."""

Context = Any
"""grpc.aio's ServicerContext, which has no useful types."""
Handle = Callable[[Any], Awaitable[Any]]
"""From a request's message to its answer, or a list of its answers."""


class StoreService:
    """The handlers; one for all calls."""

    def __init__(self, records: Records, gate: Gate, limits: Limits) -> None:
        self._records = records
        self._gate = gate
        self._bytes_max = limits.record_stream_bytes_max
        self._record_bytes_max = limits.record_bytes_max
        self._shares = Shares(limits)
        self.calls = 0
        """Under way."""

    def handler(self) -> grpc.GenericRpcHandler:
        """To be added to a server."""
        large = self._record_bytes_max
        ways: dict[str, tuple[wire.Method, Action, Handle, int]] = {
            "Push": (wire.PUSH, "write", self._push, 0),
            "Pull": (wire.PULL, "read", self._pull, large),
            "Lookup": (wire.LOOKUP, "read", self._lookup, 0),
            "Delete": (wire.DELETE, "write", self._delete, 0),
            "PushReferrer": (wire.PUSH_REFERRER, "write", self._push_referrer, 0),
            "PullReferrer": (wire.PULL_REFERRER, "read", self._pull_referrers, large),
            "DeleteReferrer": (wire.DELETE_REFERRER, "write", self._delete_referrers, 0),
        }
        methods = {name: self._method(*way) for name, way in ways.items()}
        return grpc.method_handlers_generic_handler(wire.STORE_SERVICE, methods)

    def _method(self, method: wire.Method, action: Action, work: Handle, answer_bytes: int) -> grpc.RpcMethodHandler:
        """``answer_bytes``: what an answer may have, where the answers are what is large."""
        items_max = _PULLS_UNDER_WAY_MAX if answer_bytes else _UNDER_WAY_MAX

        async def answering(request: bytes) -> Answer:
            try:
                message = method.request.FromString(request)
            except DecodeError as error:
                raise UsageError(f"{method.name}: no {method.request.DESCRIPTOR.name}: {error}") from None
            answer = await work(message)
            if isinstance(answer, list):
                return [each.SerializeToString() for each in answer]
            text: bytes = answer.SerializeToString()
            return text

        async def answers(context: Context) -> AsyncGenerator[Answer]:
            identity = self._enter(context, action)
            with self._shares.held_by(self._gate.holder_of(identity)) as share:
                window = Window(items_max, self._bytes_max, share, answer_bytes)
                exchange = answers_of(context, answering, window)
                async with aclosing(exchange):
                    count = 0
                    async for answer in exchange:
                        yield answer
                        count += 1
                        if count % _CHECK_EVERY == 0:
                            self._gate.check_in_force(identity)

        async def serve(_requests: object, context: Context) -> None:
            """Reads and writes by the context, so that nothing is left to iterators."""
            await self._run(method, context, answers)

        return grpc.stream_stream_rpc_method_handler(serve)

    def _enter(self, context: Context, action: Action) -> Any:
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        identity = self._gate.authenticate(headers, context.peer())
        self._gate.authorize(identity, action, "records", context.peer())
        return identity

    async def _run(
        self, method: wire.Method, context: Context, answers: Callable[[Context], AsyncGenerator[Answer]]
    ) -> None:
        """Send the answers; an error becomes the call's status."""
        self.calls += 1
        try:
            async with aclosing(answers(context)) as given:
                async for answer in given:
                    for message in answer if isinstance(answer, list) else [answer]:
                        await context.write(message)
            if not method.streams_back:
                await context.write(method.response().SerializeToString())
        except HoldfastError as error:
            await _abort(context, error)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            _logger.exception("grpc.failed", method=method.name)
            await _abort(context, InternalError(f"{method.name} failed: {type(error).__name__}"))
        finally:
            self.calls -= 1

    # one request each

    async def _push(self, record: Any) -> Any:
        if not record.HasField("data"):
            raise UsageError("data: a record has none", field="data")
        return wire.RecordRef(cid=await self._records.push(object_of(record.data)))

    async def _pull(self, ref: Any) -> Any:
        record = wire.Record()
        record.data.SetInParent()
        fill_struct(record.data, await self._records.pull(ref.cid))
        return record

    async def _lookup(self, ref: Any) -> Any:
        meta = await self._records.lookup(ref.cid)
        return wire.RecordMeta(
            cid=meta.cid, annotations=meta.annotations, schema_version=meta.schema_version, created_at=meta.created_at
        )

    async def _delete(self, ref: Any) -> list[Any]:
        try:
            await self._records.delete(ref.cid)
        except NotFound:
            pass
        return []

    async def _push_referrer(self, request: Any) -> Any:
        """Here an error is an answer: the service has a field for it."""
        try:
            referrer = await self._records.push_referrer(
                request.record_ref.cid,
                request.type,
                object_of(request.data),
                dict(request.annotations),
                request.created_at,
            )
        except HoldfastError as error:
            return wire.PushReferrerResponse(success=False, error_message=error.message)
        return wire.PushReferrerResponse(success=True, referrer_ref=wire.ReferrerRef(cid=referrer.cid))

    async def _pull_referrers(self, request: Any) -> list[Any]:
        found = await self._records.referrers(request.record_ref.cid, request.referrer_type, request.referrer_ref.cid)
        return [wire.PullReferrerResponse(referrer=_referrer(each)) for each in found]

    async def _delete_referrers(self, request: Any) -> Any:
        gone = await self._records.delete_referrers(request.record.cid, request.referrer_type, request.referrer_ref.cid)
        return wire.DeleteReferrerResponse(referrer_refs=[wire.ReferrerRef(cid=cid) for cid in gone])


def _referrer(referrer: Referrer) -> Any:
    message = wire.RecordReferrer(
        type=referrer.type,
        record_ref=wire.RecordRef(cid=referrer.record_cid),
        annotations=referrer.annotations,
        created_at=referrer.created_at,
        referrer_ref=wire.ReferrerRef(cid=referrer.cid),
    )
    message.data.SetInParent()
    fill_struct(message.data, referrer.data)
    return message


async def _abort(context: Context, error: HoldfastError) -> None:
    await context.abort(*status_of(error))
