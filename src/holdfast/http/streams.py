"""The Durable Streams protocol over HTTP: what each method does with a stream."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ..durable.model import Added
from ..errors import ClosedError, Fenced, Gone, HoldfastError, NotFound, SequenceGap, UsageError
from .bodies import Bodies
from .gate import peer_of, proof_of
from .offsets import offset_of
from .problems import problem
from .reading import moment_of, parse_addition, parse_creation, path_of
from .serving import ReadingSide

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from ..clock import Clock
    from ..durable.store import Action, Mounts, StreamStore
    from ..limits import Limits
    from .gate import Gate
    from .live import Lasting

_ACTIONS: dict[str, Action] = {"GET": "read", "HEAD": "read", "PUT": "create", "POST": "append", "DELETE": "delete"}

_PRODUCER_HEADERS = {
    "producer_id": "Producer-Id",
    "producer.epoch": "Producer-Epoch",
    "producer.sequence": "Producer-Seq",
}
"""What callers of the store call the producer's parts, in HTTP's words."""


class StreamEndpoint:
    """An ASGI application for everything below ``/v1/stream/``."""

    def __init__(
        self,
        mounts: Mounts,
        gate: Gate,
        lasting: Lasting,
        *,
        clock: Clock,
        limits: Limits,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._mounts = mounts
        self._gate = gate
        self._bodies = Bodies(limits)
        self._methods: dict[str, Callable[[Request, StreamStore, str], Awaitable[Response | None]]] = {
            "GET": ReadingSide(gate, lasting, clock=clock, limits=limits, jitter=jitter).get,
            "HEAD": self._head,
            "PUT": self._put,
            "POST": self._post,
            "DELETE": self._delete,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive, send)
        answer: Response | None
        try:
            answer = await self._answer(request)
        except ClientDisconnect:  # in the middle of its body; nothing was done
            return
        except HoldfastError as error:
            answer = problem(error, headers=_error_headers(error))
        if answer is not None:
            await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        path = path_of(request.scope["raw_path"])
        proof = proof_of(request)
        identity = request.scope["identity"] = self._gate.authenticate(proof)
        action = _ACTIONS.get(request.method)
        mounted, rest = self._mounts.find(path)
        if action is None or action not in mounted.actions:
            return _not_allowed(mounted)
        prefix = "streams" if mounted is self._mounts.root else path.partition("/")[0]
        store = mounted.seen_by(identity, proof.peer)
        try:
            await self._authorize(identity, proof.peer, action, store, prefix, rest)
        except NotFound:  # somebody else's must look as none
            raise NotFound(kind="stream", name=path) from None
        return await self._methods[request.method](request, store, rest)

    async def _authorize(
        self, identity: Any, peer: str, action: Action, store: StreamStore, prefix: str, rest: str
    ) -> None:
        try:
            name = await store.resource(rest)
        except NotFound:  # a lack of rights is told first, and to all
            self._gate.authorize(identity, action, f"{prefix}/{rest}", peer)
            raise
        self._gate.authorize(identity, action, f"{prefix}/{name}", peer)

    # -- reading ----------------------------------------------------------------------------------------------

    async def _head(self, request: Request, store: StreamStore, path: str) -> Response:
        info = await store.info(path)
        headers = {"cache-control": "no-store", **_position_headers(info.tail, closed=info.closed)}
        if info.ttl_s is not None:
            headers["stream-ttl"] = str(info.ttl_s)
        if info.expires_at_s is not None:
            headers["stream-expires-at"] = moment_of(info.expires_at_s)
        return Response(headers={**headers, "content-type": info.content_type})

    # -- writing ----------------------------------------------------------------------------------------------

    async def _put(self, request: Request, store: StreamStore, path: str) -> Response:
        body = await self._bodies.read(request, self._gate.holder_of(request.scope["identity"]))
        creation = parse_creation(request.headers, body)
        if creation.fork is not None:
            source = f"streams/{creation.fork.source}"
            self._gate.authorize(request.scope["identity"], "read", source, peer_of(request))
        info, created = await store.create(path, creation)
        headers = {"content-type": info.content_type, **_position_headers(info.tail, closed=info.closed)}
        if created:
            here = request.url.replace(path=request.scope["raw_path"].decode(), query="", fragment="")
            headers["location"] = str(here)
        return Response(status_code=201 if created else 200, headers=headers)

    async def _post(self, request: Request, store: StreamStore, path: str) -> Response:
        body = await self._bodies.read(request, self._gate.holder_of(request.scope["identity"]))
        addition = parse_addition(request.headers, body)
        try:
            added = await store.append(path, addition)
        except ClosedError as error:
            info = await store.info(path)
            return problem(error, headers=_position_headers(info.tail, closed=info.closed))
        except UsageError as error:
            raise _in_words_of_http(error) from None
        fresh = addition.producer is not None and body and not added.duplicate
        return Response(status_code=200 if fresh else 204, headers=_added_headers(added))

    async def _delete(self, request: Request, store: StreamStore, path: str) -> Response:
        await store.delete(path)
        return Response(status_code=204)


def _in_words_of_http(error: UsageError) -> UsageError:
    header = _PRODUCER_HEADERS.get(error.field)
    return error if header is None else UsageError(error.message.replace(error.field, header, 1), field=header)


def _position_headers(tail: int, *, closed: bool) -> dict[str, str]:
    headers = {"stream-next-offset": offset_of(tail)}
    if closed:
        headers["stream-closed"] = "true"
    return headers


def _added_headers(added: Added) -> dict[str, str]:
    headers = _position_headers(added.tail, closed=added.closed)
    if added.producer is not None:
        headers["producer-epoch"] = str(added.producer.epoch)
        headers["producer-seq"] = str(added.producer.sequence)
    return headers


def _error_headers(error: HoldfastError) -> dict[str, str]:
    if isinstance(error, Fenced):
        return {"producer-epoch": str(error.epoch)}
    if isinstance(error, SequenceGap):
        return {"producer-expected-seq": str(error.expected), "producer-received-seq": str(error.received)}
    if isinstance(error, Gone) and error.oldest:
        return {"stream-next-offset": offset_of(error.oldest)}
    return {}


def _not_allowed(store: StreamStore) -> Response:
    allowed = ", ".join([*(method for method, action in _ACTIONS.items() if action in store.actions), "OPTIONS"])
    return Response(status_code=405, headers={"allow": allowed, "cache-control": "no-store"})
