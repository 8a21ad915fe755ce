"""Durable streams, as the blocking SDK shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Unpack

from ...durable.api import StreamsApi
from ...durable.model import ProducerMark, StreamAppended, StreamInfo, Where
from ...errors import DisconnectedError, HoldfastError, Unavailable
from ...rpc.blocking.connection import BlockingConnection
from ...rpc.blocking.whole import send_whole
from ...rpc.commands import invoke_blocking
from ..channels.drafts import Payload, bytes_of
from ..sync_link import SyncLink
from .pieces import Parcel, StreamOptions, Turns, make_parcel
from .sync_reading import SyncStreamReading

Progress = Callable[[int], object]
"""Called with how many bytes of an append have left, now and then."""


class SyncStreams:
    """The durable streams of a node."""

    def __init__(self, link: SyncLink) -> None:
        self._link = link

    def create(self, path: str, **options: Unpack[StreamOptions]) -> SyncStream:
        """Make a stream, durable on return; one that is there and was made alike is taken as it is.

        As :meth:`holdfast.Streams.create`; blocks.
        """
        return self._create(path, "", None, options)

    def fork(self, source: str, path: str, *, at: int | None = None, **options: Unpack[StreamOptions]) -> SyncStream:
        """Make a stream that begins with what ``source`` holds up to the position ``at``; the two go on apart.

        As :meth:`holdfast.Streams.fork`; blocks.
        """
        return self._create(path, source, at, options)

    def _create(self, path: str, source: str, at: int | None, options: StreamOptions) -> SyncStream:
        data, own_type = bytes_of(options.get("data", b""))
        given = (
            path,
            data,
            options.get("content_type", "") or own_type,
            options.get("ttl_s"),
            options.get("expires_at_s"),
            options.get("closed", False),
            source,
            at,
        )
        made = self._link.ask(StreamsApi.create, *given)
        return SyncStream(self._link, path, made.info, created=made.created)

    def get(self, path: str) -> SyncStream:
        """The stream at ``path``; also ``jobs/<job>/output`` and ``channels/<process>/<name>``.  NotFound; Gone."""
        info = self._link.ask(StreamsApi.info, path)
        return SyncStream(self._link, path, info)

    def stream(self, path: str) -> SyncStream:
        """The stream at ``path``, without asking whether it is there."""
        return SyncStream(self._link, path)

    def list(self, prefix: str = "") -> list[StreamInfo]:
        """The free-standing streams we may read whose path starts with ``prefix``, by path."""
        found: list[StreamInfo] = []
        while page := self.page(prefix, found[-1].path if found else ""):
            found += page
        return found

    def page(self, prefix: str = "", after: str = "") -> Sequence[StreamInfo]:
        """A part of :meth:`list`: the first so many after the path ``after``."""
        return self._link.ask(StreamsApi.list, prefix, after)


class SyncStream:
    """One durable stream.  Not thread-safe, as the node it belongs to."""

    def __init__(self, link: SyncLink, path: str, info: StreamInfo | None = None, *, created: bool = False) -> None:
        self._link = link
        self.path = path
        self.last_info = info
        """What was last heard of it; None: nothing yet.  :meth:`info` asks again."""
        self.created = created
        """Whether it was made by the call that gave this object."""

    def info(self) -> StreamInfo:
        """The stream as it stands; not counted as a use of it.  NotFound; Gone once deleted under its forks."""
        self.last_info = self._link.ask(StreamsApi.info, self.path)
        return self.last_info

    def append(
        self,
        data: Payload = b"",
        *,
        content_type: str = "",
        close: bool = False,
        sequence: str = "",
        producer: ProducerMark | None = None,
        progress: Progress | None = None,
    ) -> StreamAppended:
        """Append text, bytes or a JSON value, then close if ``close``; in one step, on disk on return.  Blocks.

        As :meth:`holdfast.Stream.append`.  ``progress``: told how much of a large one has left.
        """
        parcel = make_parcel(data, content_type, close=close, sequence=sequence, producer=producer)
        ask = self._link.once if producer is None else self._link.again
        return ask(lambda: send(self._link.connection(), self.path, parcel, progress))

    def producer(self, id: str, *, epoch: int = 0, sequence: int = 0) -> SyncStreamProducer:
        """A writer whose appends are there once each; as :meth:`holdfast.Stream.producer`."""
        return SyncStreamProducer(self._link, self.path, Turns(id, epoch, sequence))

    def read(self, from_: Where = "start", *, follow: bool = False) -> SyncStreamReading:
        """What there is from the position ``from_`` on and, with ``follow``, what comes until the stream is closed.

        An iterator of :class:`~holdfast.StreamChunk`; as :meth:`holdfast.Stream.read`, each step
        blocking.
        """
        return SyncStreamReading(self._link, self.path, from_, follow=follow)

    def read_bytes(self, from_: Where = "start") -> bytes:
        """All there is of a byte stream from the position on; of a JSON stream, a line for each message."""
        reading = self.read(from_)
        parts = [chunk.data for chunk in reading]
        return b"".join([part + b"\n" for part in parts] if reading.lines else parts)

    def close(self) -> StreamAppended:
        """No more appends; readers that follow end after the last byte.  Idempotent, durable on return."""
        return self._link.ask(StreamsApi.append, self.path, close=True)

    def remove(self) -> None:
        """Remove the stream, durable on return; its readers get NotFound.  Under forks its path stays taken."""
        self._link.do(StreamsApi.remove, self.path)


class SyncStreamProducer:
    """Appends of which each is there once and in order; as :class:`holdfast.StreamProducer`."""

    def __init__(self, link: SyncLink, path: str, turns: Turns) -> None:
        self.path = path
        self._link = link
        self._turns = turns

    @property
    def id(self) -> str:
        """Its name."""
        return self._turns.id

    @property
    def epoch(self) -> int:
        """Its life."""
        return self._turns.epoch

    @property
    def next_sequence(self) -> int:
        """The sequence of its next append: kept, another process can go on from there."""
        return self._turns.next_sequence

    def append(
        self, data: Payload = b"", *, content_type: str = "", close: bool = False, progress: Progress | None = None
    ) -> StreamAppended:
        """As :meth:`SyncStream.append`; repeated over cuts and restarts until it is there, for ``reconnect_s`` at most.

        Fenced(epoch) when another one with this id and a higher epoch has taken over.
        """
        for parcel in self._turns.parcels(make_parcel(data, content_type, close=close)):
            added = self._finish(self._turns.begun(parcel), progress)
        return added

    def close(self) -> StreamAppended:
        """Close the stream, as the last of this producer's appends."""
        return self.append(close=True)

    def _finish(self, parcel: Parcel, progress: Progress | None) -> StreamAppended:
        try:
            added = self._link.again(lambda: self._try(parcel, progress))
        except (DisconnectedError, Unavailable):
            raise
        except HoldfastError as error:
            self._turns.refused(error)
            raise
        self._turns.done()
        return added

    def _try(self, parcel: Parcel, progress: Progress | None) -> StreamAppended:
        connection = self._link.connection()
        try:
            return send(connection, self.path, parcel, progress)
        except (DisconnectedError, KeyboardInterrupt):
            self._turns.lost()
            raise


def send(connection: BlockingConnection, path: str, parcel: Parcel, progress: Progress | None = None) -> StreamAppended:
    """One append, in a request or as a stream.  Blocks."""
    options = parcel.content_type, parcel.close, parcel.sequence, parcel.producer
    if not parcel.streams:
        return invoke_blocking(connection, StreamsApi.append, path, parcel.data, *options)
    return send_whole(connection, parcel.data, progress, StreamsApi.append_stream, path, *options)
