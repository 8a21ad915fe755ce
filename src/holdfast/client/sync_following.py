"""What the blocking SDK follows: one stream of the node after another, each beginning where the one before was cut."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

from ..errors import ClosedError, DeadlineExceeded, DisconnectedError, HoldfastError
from ..limits import LIMITS
from ..rpc.blocking.connection import BlockingConnection
from ..rpc.blocking.streams import BlockingReader
from ..streams.reader import Item
from .sync_link import SyncLink

Start = TypeVar("Start")
Taken = TypeVar("Taken")


class SyncLinkReader(ABC, Generic[Start, Taken]):
    """The blocking twin of :class:`~.following.LinkReader`."""

    _WINDOW_BYTES: ClassVar[int] = LIMITS.viewer_window_bytes
    _READ_BYTES: ClassVar[int] = 1 << 18
    """Most bytes taken from the stream at once."""
    _CLOSED: ClassVar[str] = "this end stopped reading"
    """What is said to who reads on after this was closed."""
    _CUTS: ClassVar[type[HoldfastError]] = DisconnectedError
    """The errors after which a stream is asked for anew."""
    _PHASE: ClassVar[str]
    """What DeadlineExceeded calls the waiting."""

    def __init__(self, link: SyncLink) -> None:
        self._link = link
        self._reader: BlockingReader | None = None
        self._connection: BlockingConnection | None = None
        self._closed = False

    @abstractmethod
    def _ask(self, connection: BlockingConnection, stream: int) -> Start:
        """Have the node send on ``stream`` what comes next."""

    @abstractmethod
    def _begun(self, start: Start) -> int:
        """The node will; at which offset the stream begins."""

    @abstractmethod
    def _take(self, item: Item) -> Taken:
        """What a piece of the stream means.  Raises what the node ended it with."""

    def _open(self) -> Start | None:
        """Begin now; what the node answered, None if it was open already."""
        return self._link.again(self._open_if_needed)

    def _read(self, timeout_s: float | None) -> Taken:
        """What the next piece means, over as many connections as it takes; DeadlineExceeded if none comes."""
        return self._link.again(lambda: self._read_once(timeout_s))

    def _read_once(self, timeout_s: float | None) -> Taken:
        self._open_if_needed()
        reader = self._reader
        if reader is None:
            raise ClosedError(self._CLOSED)
        try:
            item = reader.read(timeout_s, self._READ_BYTES)
            if item is not None:
                return self._take(item)
        except self._CUTS:
            self._drop_reader()
            raise
        raise DeadlineExceeded(phase=self._PHASE, after_s=timeout_s or 0.0, safe_to_retry=True)

    def _open_if_needed(self) -> Start | None:
        connection = self._link.connection()
        if connection is not self._connection:
            self._drop_reader()  # what it holds still comes again
        if self._reader is not None or self._closed:
            return None
        reader = connection.open_reader(window_bytes=self._WINDOW_BYTES)
        start = self._ask(connection, reader.stream_id)
        reader.start(self._begun(start))
        self._reader, self._connection = reader, connection
        return start

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class SyncFollowing(SyncLinkReader[Start, Taken]):
    """The blocking twin of :class:`~.following.Following`."""

    @abstractmethod
    def open(self) -> Any:
        """Begin now.  Iterating does it too."""

    def close(self) -> None:
        """Stop.  Idempotent."""
        self._closed = True
        self._drop_reader()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
