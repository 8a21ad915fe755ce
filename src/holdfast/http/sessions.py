"""Durable sessions for browsers: made and changed with JSON, read as Server-Sent Events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from ..errors import HoldfastError, UsageError
from ..rpc.failures import decode_failure
from ..sessions.api import DEFAULT_IDLE
from ..sessions.delivery.outflow import Carrier
from ..sessions.model import PatternSpec
from ..sessions.packing import Unpacker
from ..streams.reader import Chunk, Failed
from .bodies import read_json
from .events import HEARTBEAT
from .gate import proof_of
from .local_stream import STREAM_ID, LocalStream
from .problems import problem_body
from .session_events import EventStreamWriter, decode_places

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..clock import Clock
    from ..durable.store import Action
    from ..limits import Limits
    from ..sessions.access import Caller
    from ..sessions.actor import Sessions
    from .gate import Gate
    from .live import Lasting

SESSIONS = "/v1/sessions"
_NO_STORE = {"cache-control": "no-store"}
_BODY_BYTES_MAX = 1 << 20

MakeCaller = Callable[[Any, str], "Caller"]
"""Who asks, from the identity that the gate has proven, and where from."""


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    patterns: list[str | dict[str, Any]] = []
    idle_after: float = DEFAULT_IDLE


class _Patterns(msgspec.Struct, forbid_unknown_fields=True):
    patterns: list[str | dict[str, Any]]
    dry_run: bool = False
    expected_version: int = 0


class SessionEndpoint:
    """What is below ``/v1/sessions``."""

    def __init__(
        self, sessions: Sessions, gate: Gate, make_caller: MakeCaller, lasting: Lasting, *, clock: Clock, limits: Limits
    ) -> None:
        self._sessions = sessions
        self._gate = gate
        self._make_caller = make_caller
        self._lasting = lasting
        self._clock = clock
        self._limits = limits

    def routes(self) -> list[Route]:
        """What is answered here."""
        one = SESSIONS + "/{session}"
        return [
            Route(SESSIONS, self._list, methods=["GET"]),
            Route(SESSIONS, self._new, methods=["POST"]),
            Route(one, self._info, methods=["GET"]),
            Route(one, self._end, methods=["DELETE"]),
            Route(one + "/patterns", self._configure, methods=["PUT"]),
            Route(one + "/events", self._events, methods=["GET"]),
        ]

    def _caller(self, request: Request) -> Caller:
        proof = proof_of(request)
        identity = request.scope["identity"] = self._gate.authenticate(proof)
        action: Action = "read" if request.method in ("GET", "HEAD") else "create"
        self._gate.authorize(identity, action, "sessions", proof.peer)
        return self._make_caller(identity, proof.peer)

    async def _list(self, request: Request) -> Response:
        return _json(self._sessions.list(self._caller(request), request.query_params.get("after", "")))

    async def _new(self, request: Request) -> Response:
        caller = self._caller(request)
        wanted = await read_json(request, _BODY_BYTES_MAX, _Wanted)
        info = await self._sessions.new(caller, _specs(wanted.patterns), wanted.idle_after)
        return _json(info, 201, location=f"{SESSIONS}/{info.id}")

    async def _info(self, request: Request) -> Response:
        return _json(self._sessions.info(self._caller(request), request.path_params["session"]))

    async def _end(self, request: Request) -> Response:
        await self._sessions.end(self._caller(request), request.path_params["session"], "closed over HTTP")
        return Response(status_code=204, headers=_NO_STORE)

    async def _configure(self, request: Request) -> Response:
        caller = self._caller(request)
        wanted = await read_json(request, _BODY_BYTES_MAX, _Patterns)
        change = await self._sessions.configure(
            caller,
            request.path_params["session"],
            _specs(wanted.patterns),
            dry_run=wanted.dry_run,
            expected_version=wanted.expected_version,
        )
        return _json(change)

    async def _events(self, request: Request) -> Response:
        """Be the session's client, instead of any other: a browser comes back before it is missed."""
        caller, session = self._caller(request), request.path_params["session"]
        holder = self._gate.holder_of(request.scope["identity"])
        with self._lasting.held_by(holder, self._limits.http_readers_per_token_max):
            return await self._attached(request, caller, session)

    async def _attached(self, request: Request, caller: Caller, session: str) -> Response:
        last = request.headers.get("last-event-id") or request.query_params.get("after", "")
        if last:
            await self._sessions.resume(caller, session, decode_places(last))
        stream = LocalStream(self._clock, self._limits.session_stream_bytes)
        carrier = Carrier(stream, STREAM_ID, acknowledges=False)  # it says how far it is when it comes back
        attached = await self._sessions.attach(
            caller, session, carrier, client=request.query_params.get("client", "http"), steal=True
        )
        try:
            why = self._sessions.recovery(attached.session)
            first = {"version": attached.version, "recovered": not why, "recovered_why": why}
            await self._lasting.run(self._send(request, stream, first), request.receive)
        finally:
            stream.close()
            await self._let_go(caller, session, attached.attachment)
        return _Sent()

    async def _let_go(self, caller: Caller, session: str, attachment: int) -> None:
        try:
            await asyncio.shield(self._sessions.detach(caller, session, attachment))
        except HoldfastError:  # it has another client, or is closed
            pass

    async def _send(self, request: Request, stream: LocalStream, first: dict[str, Any]) -> None:
        send = request._send  # noqa: SLF001 - Starlette has no other way to answer in parts as we please
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-cache, no-transform"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        attached = b"event:attached\ndata:" + msgspec.json.encode(first) + b"\n\n"
        await send({"type": "http.response.body", "body": attached, "more_body": True})
        try:
            async for part in self._parts(request, stream):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except HoldfastError as error:
            part = b"event:closed\ndata:" + problem_body(error) + b"\n\n"
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _parts(self, request: Request, stream: LocalStream) -> Any:
        """What to send, for ``http_sse_s`` at most: then the reader comes back and proves its rights again."""
        writer, unpacker, limits = EventStreamWriter(), Unpacker(), self._limits
        until = self._clock.now() + limits.http_sse_s
        while (left_s := until - self._clock.now()) > 0 and not self._lasting.draining:
            item = await self._lasting.wait(stream.read(), min(limits.http_heartbeat_s, left_s))
            self._gate.check_in_force(request.scope["identity"])
            if item is None:
                yield HEARTBEAT
            elif isinstance(item, Chunk):
                events = b"".join(writer.write(message) for message in unpacker.take(bytes(item.data)))
                if events:
                    yield events
            elif isinstance(item, Failed):
                raise decode_failure(item.error)
            else:
                return


class _Sent(Response):
    """The answer was sent already."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Nothing is left to send."""


def _specs(patterns: list[str | dict[str, Any]]) -> list[PatternSpec]:
    return [
        PatternSpec(pattern=each) if isinstance(each, str) else _spec(each, f"patterns[{place}]")
        for place, each in enumerate(patterns)
    ]


def _spec(fields: dict[str, Any], place: str) -> PatternSpec:
    """A pattern; UsageError also for a field it has not, which msgspec would pass over in silence."""
    for name in fields:
        if name not in PatternSpec.__dataclass_fields__:
            raise UsageError(f"{place}.{name}: unknown field", field=f"{place}.{name}")
    try:
        return msgspec.convert(fields, PatternSpec)
    except msgspec.ValidationError as error:
        raise UsageError(f"{place}: {error}", field=place) from None


def _json(value: object, status: int = 200, **headers: str) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json", headers={**_NO_STORE, **headers})
