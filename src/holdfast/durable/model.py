"""What a durable stream is to those who create, append to and read one; HTTP headers are not known here.

Positions are counts from 0: bytes of a byte stream, messages of a JSON stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:  # clients import this, and no engine
    from ..engine.base import LogMode, Producer

JSON_TYPE = "application/json"
DEFAULT_TYPE = "application/octet-stream"

Where = int | Literal["start", "now"]
"""Where to read from: a position, the oldest kept one, or the tail of the moment."""


def media_type(content_type: str) -> str:
    """The type without its parameters, in small letters."""
    return content_type.partition(";")[0].strip().lower()


def mode_of(content_type: str) -> LogMode:
    """How a stream of that type is kept: JSON as messages, all else as bytes."""
    return "entries" if media_type(content_type) == JSON_TYPE else "bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """A stream at one moment."""

    path: str
    id: str
    """Another one for each stream that ever had this path."""
    content_type: str
    tail: int
    closed: bool = False
    ttl_s: int | None = None
    """It ends so many seconds after its last read or write."""
    expires_at_s: float | None = None
    """It ends then.  Unix time."""
    oldest: int = 0
    """The first position that can be read."""
    created_at: float = 0.0
    """Unix time; 0: not known."""
    source: str = ""
    """The path it was forked from."""

    @property
    def mode(self) -> LogMode:
        """Bytes or messages."""
        return mode_of(self.content_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """From where a new stream takes its first content."""

    source: str
    position: int | None = None
    """None: the source's tail."""
    beyond: int = 0
    """How many bytes or messages after ``position``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """What a new stream shall be."""

    content_type: str | None = None
    ttl_s: int | None = None
    expires_at_s: float | None = None
    closed: bool = False
    body: bytes = b""
    fork: Fork | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """One append, one close, or both at once."""

    body: bytes = b""
    content_type: str | None = None
    close: bool = False
    sequence: str | None = None
    """The writers' own order; must grow from append to append, compared as bytes."""
    producer: Producer | None = None
    recall_when_closed: bool = False
    """What a producer repeats is told to be there on a closed stream too, where HTTP's protocol wants it refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of an :class:`Addition`."""

    tail: int
    closed: bool
    duplicate: bool = False
    """It was there already, from an earlier try; nothing was appended."""
    producer: Producer | None = None
    """The producer with the highest sequence accepted from it."""


class Page(NamedTuple):
    """A part of a stream, and how the stream stood when it was read."""

    chunks: list[bytes]
    """Bytes of a byte stream, or one message each."""
    start: int
    end: int
    tail: int
    closed: bool

    @property
    def caught_up(self) -> bool:
        """There was nothing more to read."""
        return self.end >= self.tail or not self.chunks

    @property
    def finished(self) -> bool:
        """There will never be anything more to read."""
        return self.closed and self.end >= self.tail


# what travels over RPC beside StreamInfo


@dataclass(frozen=True, slots=True)
class ProducerMark:
    """Which append of which producer this is, so that trying again appends nothing."""

    id: str
    epoch: int = 0
    """Which life of the producer; a higher one fences off the lower ones."""
    sequence: int = 0
    """Its how-manieth append in this life, from 0, without holes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCreated:
    """The stream that was asked for."""

    info: StreamInfo
    created: bool
    """Whether it was made now; if not, it was there and had been made alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAppended:
    """What became of an append."""

    tail: int
    """The position after it; where the stream ends now, if it was there before."""
    closed: bool = False
    duplicate: bool = False
    """It was there already, from an earlier try; nothing was appended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStart:
    """Where a reader begins, in a stream as it stood then."""

    info: StreamInfo
    position: int
