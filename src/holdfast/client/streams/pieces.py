"""Durable streams as callers get and give them, piece by piece; pure, shared by both clients."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from ...durable.model import ProducerMark, Where, mode_of
from ...errors import ClosedError, Conflict, Fenced, Gone, HoldfastError, NotFound, StorageError, UsageError
from ...rpc.commands import INLINE_BYTES_MAX
from ...rpc.failures import decode_failure
from ...streams import Chunk, End, Failed, Gap
from ..channels.drafts import Payload, bytes_of

if TYPE_CHECKING:
    from ...durable.model import StreamStart
    from ...streams import Item

_FINAL = (UsageError, Conflict, ClosedError, NotFound, Gone, Fenced, StorageError)
"""Answers by which an earlier try did not get there either, or nothing can be appended any more."""


class StreamOptions(TypedDict, total=False):
    """What a new stream shall be."""

    data: Payload
    """What it begins with; a JSON value if it is neither text nor bytes.  It has to fit one request."""
    content_type: str
    """For ever; default ``application/octet-stream``.  ``application/json`` makes it a stream of messages."""
    ttl_s: int | None
    """It ends so many seconds after its last read or write."""
    expires_at_s: float | None
    """It ends then (Unix time); not together with ``ttl_s``."""
    closed: bool
    """``data`` is all it will ever hold."""


class StreamChunk(NamedTuple):
    """Bytes of a byte stream, or one message of a JSON stream."""

    position: int
    data: bytes
    end: int
    """The position after it; resume from here."""

    @property
    def text(self) -> str:
        """``data`` as UTF-8.  A chunk of a byte stream may end within a character; UnicodeDecodeError then."""
        return self.data.decode()

    def json(self) -> Any:
        """The message's value."""
        return json.loads(self.data)


class StreamArrivals:
    """What came of a stream and was not given to the caller yet."""

    def __init__(self, begin: Where) -> None:
        self.position: Where = begin
        """All below it has arrived: where to begin again after a cut."""
        self.id = ""
        """Which stream it is; empty before it was opened."""
        self.ended = False
        self.lines = False
        """Whether it is a JSON stream, a message on each line."""
        self._parts: list[bytes] = []
        self._chunks: deque[StreamChunk] = deque()

    def opened(self, start: StreamStart) -> int:
        """The node said where the stream begins; at which offset the RPC stream does."""
        self.id = start.info.id
        self.position = start.position
        self.lines = mode_of(start.info.content_type) == "entries"
        self._parts.clear()  # a line that was cut comes again as a whole
        return 0 if self.lines else start.position

    def receive(self, item: Item) -> None:
        """Something came.  Raises the error the stream failed with; DisconnectedError if that is none of ours."""
        match item:
            case Chunk(offset, data) if not self.lines:
                self._add(offset, bytes(data), offset + len(data))
            case Chunk(_, data):
                self._split(bytes(data))
            case Gap(offset, length):
                raise Gone(f"the {length} bytes from {offset} on are lost", oldest=offset + length)
            case Failed(_, error):
                raise decode_failure(error, self._here)
            case End():
                self.ended = True

    def take(self) -> StreamChunk | None:
        """The next chunk; None if there is none yet."""
        return self._chunks.popleft() if self._chunks else None

    @property
    def empty(self) -> bool:
        """Whether :meth:`take` has nothing."""
        return not self._chunks

    def clear(self) -> None:
        """Give nothing more."""
        self._chunks.clear()

    @property
    def _here(self) -> int:
        assert isinstance(self.position, int), "it was opened"
        return self.position

    def _add(self, position: int, data: bytes, end: int) -> None:
        self._chunks.append(StreamChunk(position, data, end))
        self.position = end

    def _split(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._parts:
                line = b"".join([*self._parts, line])
                self._parts.clear()
            self._add(self._here, line, self._here + 1)
        if rest:
            self._parts.append(rest)


class Parcel(NamedTuple):
    """One append as it is sent."""

    data: bytes
    content_type: str
    close: bool
    sequence: str = ""
    producer: ProducerMark | None = None

    @property
    def streams(self) -> bool:
        """Whether it does not fit a request."""
        return len(self.data) > INLINE_BYTES_MAX


def make_parcel(
    payload: Payload, content_type: str, *, close: bool, sequence: str = "", producer: ProducerMark | None = None
) -> Parcel:
    """UsageError for what is neither text nor bytes nor JSON."""
    data, own_type = bytes_of(payload)
    return Parcel(data, content_type or own_type, close, sequence, producer)


class Turns:
    """The appends of one producer: each gets its sequence, and is finished before the next one begins.

    An append whose answer was lost, or which was cancelled, may be there or not, so its sequence cannot be given to
    anything else: the next append finishes it first or, if it brings the same, *is* it.
    """

    def __init__(self, id: str, epoch: int, sequence: int) -> None:
        if not id:
            raise UsageError("id: a producer has one", field="id")
        self.id = id
        self.epoch = epoch
        self.next_sequence = sequence
        """The sequence of the next append."""
        self._unsure: Parcel | None = None
        self._lost = False

    def parcels(self, wanted: Parcel) -> tuple[Parcel, ...]:
        """What to send, in order, with :meth:`begun` before and :meth:`done` after each."""
        unsure = self._unsure
        if unsure is None or unsure._replace(producer=None) == wanted:
            return (wanted,)
        return (unsure, wanted)

    def begun(self, parcel: Parcel) -> Parcel:
        """It is sent now, as this."""
        marked = parcel._replace(producer=ProducerMark(self.id, self.epoch, self.next_sequence))
        self._lost = self._lost and marked == self._unsure
        self._unsure = marked
        return marked

    def lost(self) -> None:
        """No answer came, or nobody waits for it any more."""
        self._lost = True

    def done(self) -> None:
        """It is there."""
        self.next_sequence += 1
        self._unsure = None

    def refused(self, error: HoldfastError) -> None:
        """It was answered with ``error``: it is not there, unless an earlier try got there whose answer was lost."""
        if not self._lost or isinstance(error, _FINAL):
            self._unsure = None
