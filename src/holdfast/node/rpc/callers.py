"""Who is connected: each caller's commands, asked of the policy one by one, and cut off when its token ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...errors import HoldfastError, LimitExceeded, NotFound, PermissionDenied, RateLimited, Unauthenticated
from ...rpc.dispatch import Dispatcher
from ...security.door import Door
from ...security.policy import RULES, allow, allow_to_speak
from .permits import PERMITS, Permit, meant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...limits import Limits
    from ...rpc.aio.connection import AsyncConnection
    from ...rpc.events import Reply, RequestReceived
    from ...security.authority import Authority
    from ...security.identity import Identity

_STREAM = "stream"
"""The parameter of every command that opens a stream: its number."""
_AGAIN_S = 0.5
"""When who sends too much at once may try again."""
_LOOK_S = 600.0
"""A token's end is looked at this often, so that a clock that was set counts."""


class Callers:
    """All open connections, by the token that opened them.  ``resolve_job(name or id)``: its id, or NotFound."""

    def __init__(
        self, authority: Authority, resolve_job: Callable[[str], str], *, wall: Callable[[], float], limits: Limits
    ) -> None:
        self.authority = authority
        self.resolve_job = resolve_job
        self.wall = wall
        self._limits = limits
        self._by_token: dict[str, set[AsyncConnection]] = {}
        self._opening: Counter[str] = Counter()
        """By token: requests under way that may open a stream."""
        self._arriving: Counter[str] = Counter()
        """By token: bytes of the appends that come as streams."""
        self.count = 0
        """Connections whose caller is proven."""
        authority.on_revoked = self._revoked

    def enter(self, identity: Identity, connection: AsyncConnection) -> None:
        """A caller came in; it is shown out again if its token has too many connections."""
        self.count += 1
        connections = self._by_token.setdefault(identity.token_id, set())
        connections.add(connection)
        limit = self._limits.connections_per_token_max
        if identity.token_id and len(connections) > limit:
            connection.close(LimitExceeded(name="connections_per_token_max", limit=limit, value=len(connections)))

    def leave(self, identity: Identity, connection: AsyncConnection) -> None:
        """A caller left."""
        self.count -= 1
        connections = self._by_token[identity.token_id]
        connections.discard(connection)
        if not connections:
            del self._by_token[identity.token_id]

    @contextmanager
    def opening(self, identity: Identity, size_bytes: int = 0) -> Iterator[None]:
        """While a stream is opened within the block, or one of ``size_bytes`` arrives and is held in memory.

        LimitExceeded if its token has as many as it may, RateLimited if so much is on its way already.
        """
        token = identity.token_id
        count = self._opening[token] + sum(len(one.core.broker) for one in self._by_token.get(token, ()))
        limit = self._limits.streams_per_token_max
        if count >= limit:
            raise LimitExceeded(name="streams_per_token_max", limit=limit, value=count + 1)
        arriving, limit = self._arriving[token] + size_bytes, self._limits.arriving_per_token_bytes_max
        if size_bytes and arriving > limit:
            name = "arriving_per_token_bytes_max"
            raise RateLimited(f"{name}: {arriving} is over the limit of {limit}", name, limit, arriving, _AGAIN_S)
        self._opening[token] += 1
        self._arriving[token] += size_bytes
        try:
            yield
        finally:
            self._opening[token] -= 1
            self._arriving[token] -= size_bytes
            if not self._opening[token]:
                del self._opening[token], self._arriving[token]

    def _revoked(self, token_id: str) -> None:
        for connection in list(self._by_token.get(token_id, ())):
            connection.close(Unauthenticated("the token was revoked"))


class Caller:
    """One connection's handler.  ``dispatcher`` answers what the policy lets through."""

    def __init__(self, callers: Callers, connection: AsyncConnection) -> None:
        door = connection.core.authenticator
        assert isinstance(door, Door), "every way into a node is a Door"
        self.identity = door.caller
        self.connection = connection
        self.dispatcher = Dispatcher()
        self.on_closed: list[Callable[[], None]] = []
        """What ends with the connection."""
        self.peer = door.peer
        """Where it calls from."""
        self._callers = callers
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        callers.enter(self.identity, connection)
        self._watch_expiry()

    async def handle(self, request: RequestReceived) -> Reply:
        """The answer; raises what the policy or the command raises."""
        permit = PERMITS.get(request.method)
        if permit is None:
            raise NotFound(kind="method", name=request.method)
        if self.identity.local:
            return await self.dispatcher.handle(request)
        self._check(permit, request)
        if _STREAM not in request.params:
            return await self.dispatcher.handle(request)
        with self._callers.opening(self.identity, _size_of(request)):
            return await self.dispatcher.handle(request)

    def closed(self) -> None:
        """The connection is over."""
        if self._timer is not None:
            self._timer.cancel()
        self._callers.leave(self.identity, self.connection)
        for end in self.on_closed:
            end()

    def _check(self, permit: Permit, request: RequestReceived) -> None:
        shown, speaker = _text(request, permit.parameter), _text(request, permit.speaker)
        is_path = permit.parameter == "path"
        permit, named = meant(permit, shown)
        try:
            self._callers.authority.check_in_force(self.identity)
            allow(self.identity, permit.action, self._resource(permit, named), shown)
            allow_to_speak(self.identity, speaker)
        except (Unauthenticated, PermissionDenied, NotFound) as error:
            self._callers.authority.audit.denied(self.identity, permit.action, shown, str(error), self.peer)
            if isinstance(error, Unauthenticated):
                self._loop.call_soon(self.connection.close, error)  # after the answer
            if is_path and isinstance(error, NotFound):  # the answer for a path that is nothing at all
                raise NotFound(kind="stream", name=shown) from None
            raise

    def _resource(self, permit: Permit, shown: str) -> str:
        """What the caller means, by its id; nothing if there is no such thing."""
        rule = RULES.get(permit.action)
        if not self.identity.bound or rule is None or rule.kind != "job":
            return shown
        try:
            return self._callers.resolve_job(shown)
        except HoldfastError:  # none, or several: which, is not the caller's to know
            return ""

    def _watch_expiry(self) -> None:
        """Close the connection when the token expires: what streams over it would go on otherwise."""
        if not self.identity.expires_at:
            return
        left_s = self.identity.expires_at - self._callers.wall()
        if left_s <= 0:
            self.connection.close(Unauthenticated("the token has expired"))
        else:
            self._timer = self._loop.call_later(min(left_s, _LOOK_S), self._watch_expiry)


def _size_of(request: RequestReceived) -> int:
    """What the caller says that it sends; whether that may be is the command's to say."""
    value = request.params.get("size_bytes", 0)
    return value if type(value) is int and value > 0 else 0


def _text(request: RequestReceived, parameter: str) -> str:
    """The parameter if it is text; what it should be instead is the dispatcher's to say."""
    value = request.params.get(parameter, "") if parameter else ""
    return value if isinstance(value, str) else ""
