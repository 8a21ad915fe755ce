"""One connection to the NATS servers, which everything of the engine shares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nats import errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from ....errors import ClosedError, StorageError, UsageError
from ....ids import new_token
from ....limits import LIMITS, Limits
from ..options import NatsOptions, check_options, secret, shown, tls_context, urls_of

_REFUSED = ("authorization", "authentication", "user credentials", "account", "certificate")
"""In the errors of a server that does not want us, or that we do not trust; trying again soon is of no use."""
_PENDING_BYTES = 8 << 20
_VERSION_MIN = (2, 11)
"""The first that gives many messages for one question."""


class Link:
    """A connection that comes back by itself, and what is known of it.

    ``nc`` is the client, ``js`` its JetStream side.  While the servers are away nothing is raised by itself:
    :meth:`check` tells, and who waits for them is told by what it put into ``on_reconnected``.
    """

    def __init__(self, options: NatsOptions, limits: Limits) -> None:
        """See :func:`connect`."""
        self.nc = Client()
        self.js: JetStreamContext
        self.prefix = options.prefix
        self.replicas = options.replicas
        self.limits = limits
        self.url = ", ".join(map(shown, urls_of(options)))
        """Where it leads, without secrets."""
        self.writer = new_token()
        """Names us in the subjects that what is to be stored is sent to; see :func:`~.streams.take_over`."""
        self.on_reconnected: list[Callable[[], None]] = []
        """Called each time the connection is back; what was on its way before may be lost."""
        self._options = options
        self._last_error: Exception | None = None
        self._refused: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection now, as far as we know."""
        return self.nc.is_connected

    @property
    def max_payload(self) -> int:
        """The largest message the servers take, headers and data, in bytes."""
        return self.nc.max_payload

    @property
    def last_error(self) -> Exception | None:
        """What went wrong last, connected again or not."""
        return self._last_error

    def stream(self, name: str) -> str:
        """The name of one of the deployment's streams."""
        return f"{self.prefix}_{name}"

    @property
    def forbidden(self) -> str:
        """What the servers said last that we may not do; empty if they let us."""
        text = "" if self._last_error is None else _reason(self._last_error)
        return text if "permissions violation" in text.lower() else ""

    def subject(self, *tokens: str) -> str:
        """One of the deployment's subjects."""
        return ".".join((self.prefix, *tokens))

    def writing(self, subject: str) -> str:
        """Where to send what is to be stored under ``subject``, one of the deployment's."""
        return f"{self.prefix}.{self.writer}{subject[len(self.prefix) :]}"

    def check(self) -> None:
        """StorageError if there is no connection now, ClosedError after :meth:`close`."""
        if self._closing:
            raise ClosedError("the engine was stopped")
        if not self.connected:
            raise self.away()

    def away(self) -> StorageError:
        """That there is no connection, and why."""
        why = "" if self._last_error is None else f": {_reason(self._last_error)}"
        return StorageError(f"NATS at {self.url}: not connected{why}")

    async def open(self) -> None:
        """Connect for the first time; see :func:`connect`."""
        self._refused = asyncio.get_running_loop().create_future()
        connecting = asyncio.ensure_future(self.nc.connect(**self._arguments()))
        try:
            await asyncio.wait(
                {connecting, self._refused}, timeout=self.limits.nats_connect_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not connecting.done():
                raise StorageError(f"NATS at {self.url}: cannot connect: {self._why()}")
            try:
                connecting.result()
            except (OSError, errors.Error, TimeoutError) as error:
                raise StorageError(f"NATS at {self.url}: cannot connect: {_reason(error)}") from error
        except BaseException:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            await self.close()
            raise
        finally:
            self._refused = None
        version = self.nc.connected_server_version
        if (version.major, version.minor) < _VERSION_MIN:
            await self.close()
            raise StorageError(f"NATS at {self.url}: the server's version is {version}; 2.11 or newer is needed")
        self.js = self.nc.jetstream(timeout=self.limits.nats_request_s)

    def _arguments(self) -> dict[str, Any]:
        options = self._options
        return {
            "servers": urls_of(options),
            "name": f"holdfast {self.prefix}",
            "tls": tls_context(options),
            "user": options.user or None,
            "password": secret(options.password, options.password_file),
            "token": secret(options.token, options.token_file),
            "user_credentials": options.creds or None,
            "nkeys_seed": options.nkey or None,
            "error_cb": self._failed,
            "reconnected_cb": self._reconnected,
            "connect_timeout": self.limits.nats_connect_s,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": self.limits.nats_reconnect_s,
            "ping_interval": self.limits.nats_ping_s,
            "max_outstanding_pings": 2,
            "pending_size": _PENDING_BYTES,
            "skip_subject_validation": True,  # they are our own, or were looked at where they came in
        }

    def _why(self) -> str:
        return (
            f"no answer in {self.limits.nats_connect_s:g} s (nats_connect_s)"
            if self._last_error is None
            else _reason(self._last_error)
        )

    async def _failed(self, error: Exception) -> None:
        self._last_error = error
        refused = self._refused
        if refused is not None and not refused.done() and any(word in str(error).lower() for word in _REFUSED):
            refused.set_result(None)

    async def _reconnected(self) -> None:
        self._last_error = None
        for call in self.on_reconnected:
            call()

    async def reconnect(self) -> None:
        """Give this connection up for a new one: the servers do not answer on it."""
        await self.nc.force_reconnect()

    async def close(self) -> None:
        """Let go; idempotent."""
        self._closing = True
        if not self.nc.is_closed:
            try:
                await self.nc.close()
            except (OSError, errors.Error) as error:
                self._last_error = error


def _reason(error: Exception) -> str:
    """A line on ``error``."""
    return str(error).removeprefix("nats: ").strip() or type(error).__name__


async def connect(options: NatsOptions | str, *, limits: Limits = LIMITS) -> Link:
    """Connect to the servers of ``options``, or of a URL.

    Tries for ``nats_connect_s``; afterwards the connection is made again by itself whenever it breaks.  UsageError
    for options that cannot be, StorageError if nobody answers or lets us in.  Cancel-safe.
    """
    if isinstance(options, str):
        options = NatsOptions(url=options)
    check_options(options)
    if options.creds or options.nkey:
        _check_nkeys()
    link = Link(options, limits)
    await link.open()
    return link


def _check_nkeys() -> None:
    try:
        import nkeys  # noqa: F401 - the client asks for it in the middle of connecting
    except ImportError:
        raise UsageError(
            "nats creds and nkey: need the package nkeys: pip install 'holdfast[nats]'", field="creds"
        ) from None
