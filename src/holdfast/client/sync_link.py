"""The blocking client's one connection to its node: dialled when needed, dialled again when cut."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..clock import RealClock
from ..errors import ClosedError, DisconnectedError, Unauthenticated, Unavailable
from ..ids import random_fraction
from ..limits import LIMITS
from ..rpc.backoff import Backoff
from ..rpc.blocking.connection import BlockingConnection
from ..rpc.blocking.whole import send_whole
from ..rpc.commands import invoke_blocking
from ..rpc.handshake.greeting import Authenticator
from .autostart import start_node
from .credentials import Target

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class SyncLink:
    """Gives out the open connection, making one first if there is none.  Not thread-safe: one a thread."""

    def __init__(self, target: Target, *, autostart: bool, reconnect_s: float) -> None:
        self._target = target
        self._autostart = autostart and target.own and target.address.scheme == "unix"
        self._reconnect_s = reconnect_s
        self._connection: BlockingConnection | None = None
        self._closed = False
        self._refused = False
        self._clock = RealClock()
        self._backoff = Backoff(random_fraction, LIMITS)

    def close(self) -> None:
        """Hang up; jobs run on.  Idempotent."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    def connection(self) -> BlockingConnection:
        """The open connection, dialled if there is none.

        Starts a node if none answers and ``autostart`` was asked for.  Unavailable if there is none to be had.
        """
        if self._closed:
            raise ClosedError("this client was closed")
        if self._connection is not None and self._connection.closed_by is not None:
            self._refused = self._refused or isinstance(self._connection.closed_by, Unauthenticated)
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection = self._dial_or_start()
        return self._connection

    def ask(
        self, question: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The answer of the node to a command that changes nothing; as :meth:`again`."""
        return self.again(lambda: invoke_blocking(self.connection(), question, *args, **kwargs))

    def do(
        self, command: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The answer of the node to a command; as :meth:`once`."""
        return self.once(lambda: invoke_blocking(self.connection(), command, *args, **kwargs))

    def ask_whole(
        self,
        data: bytes,
        question: Callable[Concatenate[Any, str, int, int, P], Coroutine[Any, Any, R]],
        place: str,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As :meth:`ask`, of a command that takes ``data`` from a stream of ours: it is too large for a request."""
        return self.again(lambda: send_whole(self.connection(), data, None, question, place, *args, **kwargs))

    def do_whole(
        self,
        data: bytes,
        command: Callable[Concatenate[Any, str, int, int, P], Coroutine[Any, Any, R]],
        place: str,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As :meth:`do`, of a command that takes ``data`` from a stream of ours: it is too large for a request."""
        return self.once(lambda: send_whole(self.connection(), data, None, command, place, *args, **kwargs))

    def once(self, ask: Callable[[], T]) -> T:
        """``ask()``; once more only if the token was refused, for then nothing has been done."""
        try:
            return ask()
        except Unauthenticated:
            if self._connection is None or not self._target.credentials.renewable:
                raise
            self._await_end(self._connection)
            return ask()

    def _await_end(self, connection: BlockingConnection) -> None:
        """The node says goodbye to a token it has refused; so that streams know a cut from our own close."""
        until = self._clock.now() + LIMITS.goodbye_s
        while connection.closed_by is None and self._clock.now() < until:
            connection.pump(until - self._clock.now())
        connection.close()
        self._refused = True

    def again(self, ask: Callable[[], T]) -> T:
        """``ask()``; once more over new connections, for ``reconnect_s`` at most, while the link is cut.

        For questions only: whatever changes something must not be asked twice.
        """
        until = self._clock.now() + self._reconnect_s
        while True:
            try:
                result = self.once(ask)
            except (DisconnectedError, Unavailable):
                now = self._clock.now()
                if now >= until:
                    raise
                time.sleep(min(self._backoff.next_delay_s(now), until - now))
            else:
                self._backoff.data_flowed()
                return result

    def _dial_or_start(self) -> BlockingConnection:
        try:
            return self._dial()
        except Unavailable:
            if not self._autostart:
                raise
        start_node(self._target.places)
        return self._dial()

    def _dial(self) -> BlockingConnection:
        credentials = self._target.credentials
        refused, self._refused = self._refused, False
        try:
            connection = self._dial_as(credentials.authenticator_now(refused=refused))
        except Unauthenticated:
            if refused or not credentials.renewable:
                raise
            connection = self._dial_as(credentials.authenticator_now(refused=True))
        self._backoff.opened(self._clock.now())
        return connection

    def _dial_as(self, authenticator: Authenticator) -> BlockingConnection:
        address = self._target.address
        if address.scheme == "unix":
            return BlockingConnection.dial_unix(address.path, authenticator, clock=self._clock, limits=LIMITS)
        from ..rpc.blocking.tcp import dial_tcp

        return dial_tcp(address, authenticator, ca_file=self._target.ca_file, clock=self._clock, limits=LIMITS)
