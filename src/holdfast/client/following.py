"""What the async SDK follows: one stream of the node after another, each beginning where the one before was cut."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

from ..errors import ClosedError, DisconnectedError, HoldfastError
from ..limits import LIMITS
from ..rpc.aio.connection import AsyncConnection
from ..rpc.aio.streams import AsyncReader
from ..streams import Item
from .link import Link

Start = TypeVar("Start")
Taken = TypeVar("Taken")


class LinkReader(ABC, Generic[Start, Taken]):
    """Reads over whichever connection there is.  A subclass says how a stream is asked for and what comes of it.

    ``Start`` is what the node answers, ``Taken`` what is made of a piece of the stream.
    """

    _WINDOW_BYTES: ClassVar[int] = LIMITS.viewer_window_bytes
    _READ_BYTES: ClassVar[int] = 1 << 18
    """Most bytes taken from the stream at once."""
    _CLOSED: ClassVar[str] = "this end stopped reading"
    """What a step is told that was under way when this was closed."""
    _CUTS: ClassVar[type[HoldfastError]] = DisconnectedError
    """The errors after which a stream is asked for anew."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._reader: AsyncReader | None = None
        self._connection: AsyncConnection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @abstractmethod
    async def _ask(self, connection: AsyncConnection, stream: int) -> Start:
        """Have the node send on ``stream`` what comes next."""

    @abstractmethod
    def _begun(self, start: Start) -> int:
        """The node will; at which offset the stream begins."""

    @abstractmethod
    def _take(self, item: Item) -> Taken:
        """What a piece of the stream means.  Raises what the node ended it with."""

    async def _open(self) -> Start | None:
        """Begin now; what the node answered, None if it was open already."""
        return await self._link.again(self._open_if_needed)

    async def _read(self) -> Taken:
        """What the next piece means, over as many connections as it takes."""
        return await self._link.again(self._read_once)

    async def _read_once(self, connection: AsyncConnection) -> Taken:
        await self._open_if_needed(connection)
        reader = self._reader
        if reader is None:
            raise ClosedError(self._CLOSED)
        try:
            return self._take(await reader.read(self._READ_BYTES))
        except self._CUTS:
            self._drop_reader()
            raise

    async def _open_if_needed(self, connection: AsyncConnection) -> Start | None:
        if connection is not self._connection:
            self._drop_reader()  # what it holds still comes again
        if self._reader is not None or self._closed:
            return None
        reader = connection.open_reader(window_bytes=self._WINDOW_BYTES)
        try:
            start = await self._ask(connection, reader.stream_id)
        except BaseException:
            reader.close()
            raise
        reader.start(self._begun(start))
        self._reader, self._connection, self._loop = reader, connection, asyncio.get_running_loop()
        return start

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _abandon(self) -> None:
        """Nobody has this any more: the node need not go on until the link is closed.  For ``__del__``."""
        if self._reader is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the link with it
                self._loop.call_soon_threadsafe(self._reader.close)


class Following(LinkReader[Start, Taken]):
    """One that can be opened before it is iterated over, and closed before its end."""

    @abstractmethod
    async def open(self) -> Any:
        """Begin now.  Iterating does it too."""

    async def aclose(self) -> None:
        """Stop.  Idempotent."""
        self._closed = True
        self._drop_reader()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
