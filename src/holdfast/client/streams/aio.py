"""Durable streams, as the async SDK shows them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Unpack

from ...durable.api import StreamsApi
from ...durable.model import ProducerMark, StreamAppended, StreamInfo, Where
from ...errors import DisconnectedError, HoldfastError, Unavailable
from ...rpc.aio.connection import AsyncConnection
from ...rpc.aio.whole import send_whole
from ...rpc.commands import invoke
from ..channels.drafts import Payload, bytes_of
from ..link import Link
from .pieces import Parcel, StreamOptions, Turns, make_parcel
from .reading import StreamReading


class Streams:
    """The durable streams of a node."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def create(self, path: str, **options: Unpack[StreamOptions]) -> Stream:
        """Make a stream, durable on return; one that is there and was made alike is taken as it is.

        ``options``: see :class:`StreamOptions`.  :attr:`Stream.created` of the result says which it was.  Raises
        Conflict if it was made otherwise, UsageError for a path, body or option that cannot be, LimitExceeded,
        PermissionDenied, StorageError.
        """
        return await self._create(path, "", None, options)

    async def fork(self, source: str, path: str, *, at: int | None = None, **options: Unpack[StreamOptions]) -> Stream:
        """Make a stream that begins with what ``source`` holds up to the position ``at``; the two go on apart.

        ``at`` None: its tail; a negative one counts back from there.  What is not among the options is the source's.
        Raises NotFound for the source, UsageError for a position it does not have, and as :meth:`create`.
        """
        return await self._create(path, source, at, options)

    async def _create(self, path: str, source: str, at: int | None, options: StreamOptions) -> Stream:
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
        made = await self._link.ask(StreamsApi.create, *given)
        return Stream(self._link, path, made.info, created=made.created)

    async def get(self, path: str) -> Stream:
        """The stream at ``path``; also ``jobs/<job>/output`` and ``channels/<process>/<name>``.  NotFound; Gone."""
        return Stream(self._link, path, await self._link.ask(StreamsApi.info, path))

    def stream(self, path: str) -> Stream:
        """The stream at ``path``, without asking whether it is there."""
        return Stream(self._link, path)

    async def list(self, prefix: str = "") -> list[StreamInfo]:
        """The free-standing streams we may read whose path starts with ``prefix``, by path."""
        found: list[StreamInfo] = []
        while page := await self._page(prefix, found[-1].path if found else ""):
            found += page
        return found

    async def _page(self, prefix: str, after: str) -> Sequence[StreamInfo]:
        return await self._link.ask(StreamsApi.list, prefix, after)


class Stream:
    """One durable stream."""

    def __init__(self, link: Link, path: str, info: StreamInfo | None = None, *, created: bool = False) -> None:
        self._link = link
        self.path = path
        self.last_info = info
        """What was last heard of it; None: nothing yet.  :meth:`info` asks again."""
        self.created = created
        """Whether it was made by the call that gave this object."""

    async def info(self) -> StreamInfo:
        """The stream as it stands; not counted as a use of it.  NotFound; Gone once deleted under its forks."""
        self.last_info = await self._link.ask(StreamsApi.info, self.path)
        return self.last_info

    async def append(
        self,
        data: Payload = b"",
        *,
        content_type: str = "",
        close: bool = False,
        sequence: str = "",
        producer: ProducerMark | None = None,
    ) -> StreamAppended:
        """Append text, bytes or a JSON value, then close if ``close``; in one step, on disk on return.

        A JSON stream takes a value, or a list, each element of which becomes a message; text has to be JSON then.
        ``content_type``, if given, has to be the stream's.  ``sequence``: the writers' own order, which must grow.

        Sent once: DisconnectedError says that it may have been appended.  With a ``producer`` mark, or by
        :meth:`producer`, it is repeated over cuts and restarts, and is there once.

        Raises NotFound, Gone, ClosedError, Conflict, Fenced(epoch), SequenceGap, UsageError, LimitExceeded for more
        than ``stream_append_bytes_max``, StorageError.
        """
        parcel = make_parcel(data, content_type, close=close, sequence=sequence, producer=producer)
        ask = self._link.once if producer is None else self._link.again
        return await ask(lambda link: send(link, self.path, parcel))

    def producer(self, id: str, *, epoch: int = 0, sequence: int = 0) -> StreamProducer:
        """A writer whose appends are there once each, over cuts, restarts and repetitions.

        ``id``: its own among the stream's writers.  A higher ``epoch`` fences off those of the same id with a lower
        one, and begins at sequence 0.  ``sequence``: of its next append, for who goes on where another process was.
        """
        return StreamProducer(self._link, self.path, Turns(id, epoch, sequence))

    def read(self, from_: Where = "start", *, follow: bool = False) -> StreamReading:
        """What there is from the position ``from_`` on and, with ``follow``, what comes until the stream is closed.

        An async iterator of :class:`~holdfast.StreamChunk`.  ``start``: the oldest kept position, ``now``: the tail; a
        negative one counts back from the tail.  A cut link is dialled again and it goes on where it was.

        A step raises NotFound or Gone when the stream is removed, StreamReplaced when another one was made under its
        path meanwhile, Gone(oldest) for what was dropped, UsageError beyond the tail.
        """
        return StreamReading(self._link, self.path, from_, follow=follow)

    async def read_bytes(self, from_: Where = "start") -> bytes:
        """All there is of a byte stream from the position on; of a JSON stream, a line for each message."""
        reading = self.read(from_)
        parts = [chunk.data async for chunk in reading]
        return b"".join([part + b"\n" for part in parts] if reading.lines else parts)

    async def close(self) -> StreamAppended:
        """No more appends; readers that follow end after the last byte.  Idempotent, durable on return."""
        return await self._link.ask(StreamsApi.append, self.path, close=True)

    async def remove(self) -> None:
        """Remove the stream, durable on return; its readers get NotFound.  Under forks its path stays taken."""
        await self._link.do(StreamsApi.remove, self.path)


class StreamProducer:
    """Appends of which each is there once and in order.  Safe to use from many tasks; one append is under way at once.

    An append that raised DisconnectedError or Unavailable, or was cancelled, may be there or not.  The next one
    finishes it first; if it brings the same, it is its repetition.
    """

    def __init__(self, link: Link, path: str, turns: Turns) -> None:
        self.path = path
        self._link = link
        self._turns = turns
        self._lock = asyncio.Lock()

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

    async def append(self, data: Payload = b"", *, content_type: str = "", close: bool = False) -> StreamAppended:
        """As :meth:`Stream.append`; repeated over cuts and restarts until it is there, for ``reconnect_s`` at most.

        Fenced(epoch) when another one with this id and a higher epoch has taken over.
        """
        wanted = make_parcel(data, content_type, close=close)
        async with self._lock:
            for parcel in self._turns.parcels(wanted):
                added = await self._finish(self._turns.begun(parcel))
        return added

    async def close(self) -> StreamAppended:
        """Close the stream, as the last of this producer's appends."""
        return await self.append(close=True)

    async def _finish(self, parcel: Parcel) -> StreamAppended:
        try:
            added = await self._link.again(lambda link: self._try(link, parcel))
        except (DisconnectedError, Unavailable):
            raise
        except HoldfastError as error:
            self._turns.refused(error)
            raise
        self._turns.done()
        return added

    async def _try(self, link: AsyncConnection, parcel: Parcel) -> StreamAppended:
        try:
            return await send(link, self.path, parcel)
        except (DisconnectedError, asyncio.CancelledError):
            self._turns.lost()
            raise


async def send(connection: AsyncConnection, path: str, parcel: Parcel) -> StreamAppended:
    """One append, in a request or as a stream."""
    options = parcel.content_type, parcel.close, parcel.sequence, parcel.producer
    if not parcel.streams:
        return await invoke(connection, StreamsApi.append, path, parcel.data, *options)
    return await send_whole(connection, parcel.data, StreamsApi.append_stream, path, *options)
