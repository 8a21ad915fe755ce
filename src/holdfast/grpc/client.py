"""A client for any StoreService, ours or the Directory's, that survives the errors of single items.

A server answers in the order of the requests and ends the stream at the first error.  So the answers that came say
which request it belongs to: that item's result is the error, and a new stream goes on after it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Self, TypeVar

import grpc

from ..errors import CorruptionError, HoldfastError, LimitExceeded, UsageError
from ..limits import LIMITS
from ..records.canonical import canonical_json
from ..records.cid import digest_of_cid, record_cid
from ..records.model import DeleteResult, LookupResult, PullResult, PushResult, RecordMeta, RecordRef
from . import wire
from .objects import fill_struct, object_of
from .resuming import UNDER_WAY_MAX, Items, Kind, Run, ended, iterate
from .statuses import error_of, is_of_an_item

R = TypeVar("R")


class GrpcRecords:
    """Records of the store at ``address`` (``HOST:PORT``).  Use as an asynchronous context manager.

    ``token``: shown as ``authorization: Bearer``.  ``channel``: used instead of an insecure one of our own, for TLS
    say; it is the caller's to close.  Nothing is dialled before the first stream.
    """

    def __init__(self, address: str, *, token: str = "", channel: grpc.aio.Channel | None = None) -> None:
        length_max = 2 * LIMITS.record_bytes_max
        options = [("grpc.max_receive_message_length", length_max), ("grpc.max_send_message_length", length_max)]
        self._own = channel is None
        self._channel = channel if channel is not None else grpc.aio.insecure_channel(address, options=options)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connection; streams under way end with an error."""
        if self._own:
            await self._channel.close()

    def push_stream(self, items: Items, *, timeout_s: float | None = None) -> AsyncGenerator[PushResult]:
        """Store records; exactly one result per input, in their order.

        ``items``: JSON objects, as mappings.  ``timeout_s`` bounds each stream to the server.  An error that is not of
        one item ends the iterator with RecordStreamError, whose cause says why.  Leaving early releases everything.
        """
        return self._results(_PUSH, items, timeout_s)

    def pull_stream(self, items: Items, *, timeout_s: float | None = None) -> AsyncGenerator[PullResult]:
        """Read the records of these CIDs, and verify each; as :meth:`push_stream`."""
        return self._results(_PULL, items, timeout_s)

    def lookup_stream(self, items: Items, *, timeout_s: float | None = None) -> AsyncGenerator[LookupResult]:
        """What is known of the records of these CIDs; as :meth:`push_stream`."""
        return self._results(_LOOKUP, items, timeout_s)

    async def delete_stream(self, items: Items, *, timeout_s: float | None = None) -> AsyncGenerator[DeleteResult]:
        """Delete the records of these CIDs; as :meth:`push_stream`.

        The service answers a whole stream of deletions once: they go in windows, and when one fails, one by one.
        """
        index = 0
        async with aclosing(iterate(items)) as inputs:
            while window := await _window(inputs):
                for result in await self._delete_window(index, window, timeout_s):
                    yield result
                index += len(window)

    async def _delete_window(self, first: int, window: list[Any], timeout_s: float | None) -> list[DeleteResult]:
        found: dict[int, DeleteResult] = {}
        requests: dict[int, Any] = {}
        for index, item in enumerate(window, first):
            try:
                requests[index] = _ref(item)
            except HoldfastError as error:
                found[index] = DeleteResult(index, error)
        if await self._delete(list(requests.values()), timeout_s) is None:
            found.update({index: DeleteResult(index) for index in requests})
        else:
            for index, request in requests.items():
                failure = await self._delete([request], timeout_s)
                if failure is not None and not is_of_an_item(failure):
                    raise ended(failure, index, first + len(window))
                found[index] = DeleteResult(index, failure)
        return [found[index] for index in sorted(found)]

    async def _delete(self, requests: list[Any], timeout_s: float | None) -> HoldfastError | None:
        """Delete all of them; why that was not done."""
        if not requests:
            return None
        method = wire.DELETE
        callable_ = self._channel.stream_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        try:
            await callable_(iter(requests), timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            return error_of(error.code(), error.details() or "", error.trailing_metadata())
        return None

    async def _results(self, kind: Kind[R], items: Items, timeout_s: float | None) -> AsyncGenerator[R]:
        async with aclosing(Run(kind, iterate(items), lambda: self._open(kind.method, timeout_s)).results()) as results:
            async for result in results:
                yield result

    def _open(self, method: wire.Method, timeout_s: float | None) -> grpc.aio.StreamStreamCall:
        callable_ = self._channel.stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        return callable_(timeout=timeout_s, metadata=self._metadata)


async def _window(inputs: AsyncIterator[Any]) -> list[Any]:
    window: list[Any] = []
    async for item in inputs:
        window.append(item)
        if len(window) == UNDER_WAY_MAX:
            break
    return window


# the four streams


def _record(item: Any) -> Any:
    if not isinstance(item, Mapping):
        raise UsageError(f"record: a mapping was expected, not {type(item).__name__}", field="record")
    content = dict(item)
    size_bytes = len(canonical_json(content))
    if size_bytes > LIMITS.record_bytes_max:
        raise LimitExceeded(name="record_bytes_max", limit=LIMITS.record_bytes_max, value=size_bytes)
    record = wire.Record()
    record.data.SetInParent()
    fill_struct(record.data, content)
    return record


def _ref(item: Any) -> Any:
    cid = item if isinstance(item, str) else item.cid
    digest_of_cid(cid)
    return wire.RecordRef(cid=cid)


def _pulled(index: int, request: Any, answer: Any) -> PullResult:
    content = object_of(answer.data)
    cid = record_cid(canonical_json(content))
    if cid != request.cid:
        raise CorruptionError(where="the record that came", expected=request.cid, got=cid)
    return PullResult(index, content)


def _looked_up(index: int, _request: Any, answer: Any) -> LookupResult:
    meta = RecordMeta(
        cid=answer.cid,
        annotations=dict(answer.annotations),
        schema_version=answer.schema_version,
        created_at=answer.created_at,
    )
    return LookupResult(index, meta)


_PUSH: Kind[PushResult] = Kind(
    wire.PUSH,
    _record,
    lambda index, _request, answer: PushResult(index, RecordRef(cid=answer.cid)),
    lambda index, error: PushResult(index, None, error),
)
_PULL: Kind[PullResult] = Kind(wire.PULL, _ref, _pulled, lambda index, error: PullResult(index, None, error))
_LOOKUP: Kind[LookupResult] = Kind(wire.LOOKUP, _ref, _looked_up, lambda index, error: LookupResult(index, None, error))
