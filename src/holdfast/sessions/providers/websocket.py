"""``websocket``: a feed that is dialled, subscribed to, and dialled again when it is cut.

Options: ``url`` (ws:// or wss://); ``subscribe`` and ``unsubscribe``, texts sent for each subject that somebody
follows, with ``{subject}`` for its words after the provider's name; ``always``, such subjects separated by commas that
are subscribed to in any case; ``subject``, where in a JSON message its subject is (``data.symbol``); ``header``, one
line ``Name: value`` for the handshake, such as an authorization.

Messages whose subject cannot be told are of ``<name>.messages``.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import structlog

from ...errors import HoldfastError, Unavailable, UsageError
from ...ids import random_fraction
from ...rpc.backoff import Backoff
from ...subjects import PatternTrie, check_subject, is_wild, word_of
from ..model import Message
from ..showing import shown_url
from .base import BaseProvider, Context, OpenStream, Sink, Stream, take_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from websockets.asyncio.client import ClientConnection

_logger = structlog.get_logger("holdfast.sessions")

_OPTIONS = {"url": "!", "subscribe": "", "unsubscribe": "", "always": "", "subject": "", "header": ""}
_OPEN_S = 10.0
"""How long dialling may take."""
_CLOSE_S = 1.0
"""How long a goodbye may take; a node that ends does not wait for a feed that does not answer."""
_OTHERS = "messages"


class Naming:
    """Which subject a message of the feed is about.  Pure."""

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._path = [part for part in path.split(".") if part]
        self._others = f"{name}.{_OTHERS}"

    def subject_of(self, text: str | bytes) -> str:
        """The subject; that of the others if it cannot be told."""
        if not self._path:
            return self._others
        try:
            value = json.loads(text)
            for part in self._path:
                value = value[int(part)] if isinstance(value, list) else value[part]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            return self._others
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            return self._others
        words = [word_of(word) for word in str(value).split(".") if word]
        try:
            return check_subject(".".join([self._name, *words])) if words else self._others
        except UsageError:
            return self._others


class WebSocketProvider(BaseProvider):
    """Implements :class:`~.base.Provider`."""

    def __init__(self, name: str, options: Mapping[str, str], context: Context) -> None:
        taken = take_options(options, _OPTIONS, "websocket")
        self._url = taken["url"]
        if not self._url.startswith(("ws://", "wss://")):
            raise UsageError(f"options.url: {self._url!r} is neither ws:// nor wss://", field="options.url")
        field, colon, value = taken["header"].partition(":")
        if taken["header"] and not (colon and field.strip()):
            raise UsageError("options.header: is not of the form Name: value", field="options.header")
        self._shown = shown_url(self._url)
        self._headers = {field.strip(): value.strip()} if field else {}
        self._subscribe, self._unsubscribe = taken["subscribe"], taken["unsubscribe"]
        self._always = [part.strip() for part in taken["always"].split(",") if part.strip()]
        self._name = name
        self._naming = Naming(name, taken["subject"])
        self._clock = context.clock
        self._limits = context.limits
        self._backoff = Backoff(random_fraction, context.limits)
        self._sinks: PatternTrie[Sink] = PatternTrie()
        self._open: dict[str, Sink] = {}
        self._connection: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Dial.  Unavailable if nobody answers."""
        connection = await self._dial()
        self._task = asyncio.create_task(self._run(connection), name=f"websocket-{self._name}")

    async def stop(self) -> None:
        """Hang up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # the link

    async def _dial(self) -> ClientConnection:
        """A connection, with all that is followed subscribed to."""
        from websockets.asyncio.client import connect  # 40 ms that nodes without such a feed need not wait for
        from websockets.exceptions import WebSocketException

        try:
            connection = await connect(
                self._url,
                additional_headers=self._headers,
                open_timeout=_OPEN_S,
                close_timeout=_CLOSE_S,
                max_size=self._limits.session_message_bytes_max,
            )
        except (OSError, ValueError, TimeoutError, WebSocketException) as error:  # ValueError: of an odd address
            why = str(error).replace(self._url, self._shown) or type(error).__name__
            raise Unavailable(f"{self._shown}: {why}", self._shown) from error
        try:
            for subject in [*self._always, *self._wanted()]:
                await self._send(connection, self._subscribe, subject)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        self._backoff.opened(self._clock.now())
        return connection

    def _wanted(self) -> list[str]:
        """The subjects that are followed and can be asked for one by one."""
        return [_rest(pattern) for pattern in self._open if not is_wild(pattern) and _rest(pattern)]

    async def _send(self, connection: ClientConnection, template: str, subject: str) -> None:
        from websockets.exceptions import ConnectionClosed

        if template:
            try:
                await connection.send(template.replace("{subject}", subject))
            except ConnectionClosed as error:
                raise Unavailable(f"{self._shown}: {error}", self._shown) from error

    async def _run(self, connection: ClientConnection) -> None:
        """Pass on what comes; dial again whenever the link is cut, for ever."""
        while True:
            reason = await self._pass_on(connection)
            self._connection = None
            _logger.warning("websocket.cut", provider=self._name, reason=reason)
            connection = await self._dial_again()
            _logger.info("websocket.back", provider=self._name)
            for pattern, sink in list(self._open.items()):
                sink.gap(pattern, f"the feed was cut ({reason}) and is back")

    async def _pass_on(self, connection: ClientConnection) -> str:
        """Until the link is cut; why."""
        from websockets.exceptions import ConnectionClosed

        try:
            async for data in connection:
                self._backoff.data_flowed()
                self._give(data)
        except ConnectionClosed as error:
            return str(error)
        return "it said goodbye"

    async def _dial_again(self) -> ClientConnection:
        while True:
            await asyncio.sleep(self._backoff.next_delay_s(self._clock.now()))
            try:
                return await self._dial()
            except HoldfastError as error:
                _logger.info("websocket.not_back", provider=self._name, error=str(error))

    def _give(self, data: str | bytes) -> None:
        subject = self._naming.subject_of(data)
        sinks = self._sinks.match(subject)
        if sinks:
            payload = data.encode() if isinstance(data, str) else data
            message = Message(subject, payload, time=self._clock.wall())
            for sink in sinks:
                sink.messages([message])

    # what is followed

    async def open(self, pattern: str, sink: Sink) -> Stream:
        """See :meth:`Provider.open`; Unavailable while the feed is cut.

        A subject is subscribed to; a pattern with wildcards gets whatever comes.
        """
        connection = self._connection
        if connection is None:
            raise Unavailable(f"{self._shown} is cut; it is dialled again", self._shown)
        self._open[pattern] = sink
        self._sinks.add(pattern, sink)
        try:
            await self._ask(connection, self._subscribe, pattern)
        except BaseException:
            self._forget(pattern, sink)
            raise

        async def close() -> None:
            self._forget(pattern, sink)
            await self._leave(pattern)

        return OpenStream(close)

    async def _ask(self, connection: ClientConnection, template: str, pattern: str) -> None:
        rest = _rest(pattern)
        if rest and not is_wild(pattern) and rest not in self._always:
            await self._send(connection, template, rest)

    def _forget(self, pattern: str, sink: Sink) -> None:
        self._open.pop(pattern, None)
        self._sinks.remove(pattern, sink)

    async def _leave(self, pattern: str) -> None:
        if self._connection is None:
            return
        try:
            await self._ask(self._connection, self._unsubscribe, pattern)
        except HoldfastError:
            pass  # the link is cut: nothing is subscribed to any more


def _rest(pattern: str) -> str:
    """The words after the provider's name; none for what only we made up."""
    rest = pattern.partition(".")[2]
    return "" if rest == _OTHERS else rest
