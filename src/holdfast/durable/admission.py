"""The rules of appending: what an addition meets in a stream, in the order the protocol gives.  Pure."""

from __future__ import annotations

from typing import NamedTuple

from ..engine.base import Producer
from ..errors import ClosedError, Conflict, Fenced, UsageError
from .messages import split_messages
from .meta import StreamMeta
from .model import Addition, media_type, mode_of


class Admitted(NamedTuple):
    """What to append."""

    payload: bytes | list[bytes]
    meta: StreamMeta | None
    """The new meta, if it changes."""

    @property
    def messages(self) -> list[bytes]:
        """The payload, for a JSON stream."""
        assert isinstance(self.payload, list), "who asks knows that it is one"
        return self.payload


class Duplicated(NamedTuple):
    """It is there already; ``producer`` is the last one accepted."""

    producer: Producer | None = None


def check_addition(addition: Addition) -> None:
    """UsageError for what no stream can take."""
    if not addition.body and not addition.close:
        raise UsageError("body: empty; only a close may be", field="body")
    if addition.body and addition.content_type is None:
        raise UsageError("Content-Type: missing", field="Content-Type")


def admit(meta: StreamMeta, addition: Addition, *, closed: bool, known: Producer | None) -> Admitted | Duplicated:
    """Decide about ``addition``; ``known`` is what the log has of its producer.

    Closed comes first, then the content type, the body, the producer, the writers' sequence.
    """
    if closed:
        return _meet_closed(meta, addition, known)
    if addition.body and addition.content_type is not None:
        _check_type(meta, addition.content_type)
    payload = payload_of(meta.content_type, addition.body)
    if addition.body and not payload:
        raise UsageError("body: an empty array holds no message", field="body")
    if addition.producer is not None and known is not None and repeats(addition.producer, known):
        return Duplicated(known)
    return Admitted(payload, _changed(meta, addition))


def payload_of(content_type: str, body: bytes) -> bytes | list[bytes]:
    """``body`` as the log of such a stream takes it; UsageError if it is not JSON and should be."""
    if mode_of(content_type) == "bytes":
        return body
    return split_messages(body) if body else []


def repeats(producer: Producer, known: Producer) -> bool:
    """Whether ``known`` says that this was appended before."""
    return producer.epoch == known.epoch and producer.sequence <= known.sequence


def _meet_closed(meta: StreamMeta, addition: Addition, known: Producer | None) -> Duplicated:
    producer = addition.producer
    if producer is not None:
        if producer == meta.closed_by:
            return Duplicated(producer)
        if addition.recall_when_closed and known is not None and repeats(producer, known):
            return Duplicated(known)
        if known is not None and producer.epoch < known.epoch:
            raise Fenced(epoch=known.epoch)
    elif not addition.body:
        return Duplicated()
    raise ClosedError("the stream is closed")


def _check_type(meta: StreamMeta, content_type: str) -> None:
    expected, actual = media_type(meta.content_type), media_type(content_type)
    if expected != actual:
        raise Conflict(f"Content-Type: the stream holds {expected}, not {actual}", expected, actual)


def _changed(meta: StreamMeta, addition: Addition) -> StreamMeta | None:
    fields: dict[str, object] = {}
    if addition.sequence is not None:
        if meta.sequence is not None and addition.sequence.encode() <= meta.sequence.encode():
            raise Conflict(
                f"Stream-Seq: {addition.sequence!r} does not come after {meta.sequence!r}",
                meta.sequence,
                addition.sequence,
            )
        fields["sequence"] = addition.sequence
    if addition.close and addition.producer is not None:
        fields["closed_by"] = addition.producer
    return meta.changed(**fields) if fields else None
