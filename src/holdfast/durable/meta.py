"""What is stored beside a stream's content, in its log's meta."""

from __future__ import annotations

import msgspec

from ..engine.base import Producer
from ..engine.stored import Stored
from .model import Creation, media_type


class StreamMeta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stream's configuration, and the little of its state that the log itself does not keep."""

    id: str
    path: str
    content_type: str
    created_at_s: float
    ttl_s: int | None = None
    expires_at_s: float | None = None
    source: str | None = None
    """The path it was forked from."""
    fork_position: int | None = None
    """Where, if whoever forked it said so."""
    sequence: str | None = None
    """The last writers' sequence."""
    closed_by: Producer | None = None
    """The producer whose append closed it."""

    def encode(self) -> bytes:
        """As stored."""
        return msgspec.json.encode(self)

    def changed(self, **fields: object) -> StreamMeta:
        """The same with ``fields`` replaced."""
        return msgspec.structs.replace(self, **fields)

    def matches(self, wanted: Creation, *, closed: bool) -> bool:
        """Whether this stream, ``closed`` or not, is what ``wanted`` would have made."""
        fork = wanted.fork
        if self.source != (None if fork is None else fork.source):
            return False
        if fork is not None and self.fork_position != position_of(wanted):
            return False
        if wanted.content_type is not None and media_type(wanted.content_type) != media_type(self.content_type):
            return False
        if (fork is None or wanted.ttl_s is not None or wanted.expires_at_s is not None) and (
            wanted.ttl_s != self.ttl_s or wanted.expires_at_s != self.expires_at_s
        ):
            return False
        return wanted.closed == closed


def position_of(wanted: Creation) -> int | None:
    """The fork position that was asked for; None if it was left to the source's tail."""
    fork = wanted.fork
    return None if fork is None or fork.position is None else fork.position + fork.beyond


_stored = Stored(StreamMeta, "a stream")


def decode_meta(name: str, data: bytes) -> StreamMeta:
    """The meta stored with the log ``name``; CorruptionError if it is none."""
    return _stored.read(data, f"meta of log {name!r}")
