"""Requests taken apart: headers, queries and bodies become the durable streams' own values.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol
from urllib.parse import unquote

from ..durable.model import Addition, Creation, Fork, Where
from ..durable.values import check_content_type
from ..engine.base import Producer
from ..errors import UsageError
from .offsets import position_of, where_of

STREAMS = "/v1/stream/"
"""The root of all streams."""

_INTEGER = re.compile(r"0|[1-9][0-9]{0,15}")
_INTEGER_MAX = 2**53 - 1
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


class Query(Protocol):
    """A query's parameters."""

    def getlist(self, key: str) -> list[str]:
        """All values of a parameter."""
        ...


class ReadRequest(NamedTuple):
    """What a GET asks for."""

    where: Where
    live: Literal["long-poll", "sse"] | None = None
    cursor: str | None = None
    resumed: bool = False
    """A browser's EventSource has come back by itself."""


def path_of(raw: bytes) -> str:
    """The stream that a request's path, as it was sent, names; UsageError if that is not UTF-8."""
    return _unquoted(raw.decode("ascii"), "path").removeprefix(STREAMS)


def _unquoted(text: str, field: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise UsageError(f"{field}: {text!r} is not UTF-8", field=field) from None


def parse_read(query: Query, last_event_id: str | None = None) -> ReadRequest:
    """UsageError for parameters that cannot be; unknown ones are ignored.

    An EventSource comes back to the URL it was made with, and says in ``last_event_id`` how far it got.
    """
    offset = _one(query, "offset")
    live = _one(query, "live")
    where = where_of(offset)
    cursor = _one(query, "cursor")
    if live is None:
        return ReadRequest(where, None, cursor)
    if offset is None:
        raise UsageError("offset: needed to read live", field="offset")
    if live == "long-poll":
        return ReadRequest(where, "long-poll", cursor)
    if live == "sse":
        if last_event_id:
            return ReadRequest(position_of(last_event_id), "sse", cursor, resumed=True)
        return ReadRequest(where, "sse", cursor)
    raise UsageError(f"live: {live!r} is neither 'long-poll' nor 'sse'", field="live")


def _one(query: Query, name: str) -> str | None:
    values = query.getlist(name)
    if len(values) > 1:
        raise UsageError(f"{name}: given {len(values)} times", field=name)
    return values[0] if values else None


def parse_creation(headers: Mapping[str, str], body: bytes) -> Creation:
    """What a PUT wants made."""
    ttl, moment = headers.get("stream-ttl"), headers.get("stream-expires-at")
    if ttl is not None and moment is not None:
        raise UsageError("Stream-TTL and Stream-Expires-At: one of them at most", field="Stream-TTL")
    return Creation(
        content_type=parse_content_type(headers),
        ttl_s=None if ttl is None else parse_integer("Stream-TTL", ttl),
        expires_at_s=None if moment is None else parse_moment("Stream-Expires-At", moment),
        closed=is_closing(headers),
        body=body,
        fork=_parse_fork(headers),
    )


def _parse_fork(headers: Mapping[str, str]) -> Fork | None:
    source = headers.get("stream-forked-from")
    offset, beyond = headers.get("stream-fork-offset"), headers.get("stream-fork-sub-offset")
    if source is None:
        for name, value in (("Stream-Fork-Offset", offset), ("Stream-Fork-Sub-Offset", beyond)):
            if value is not None:
                raise UsageError(f"{name}: only with Stream-Forked-From", field=name)
        return None
    if not source.startswith(STREAMS):
        raise UsageError(f"Stream-Forked-From: {source!r} is not below {STREAMS}", field="Stream-Forked-From")
    return Fork(
        source=_unquoted(source.removeprefix(STREAMS), "Stream-Forked-From"),
        position=None if offset is None else _fork_position(offset),
        beyond=0 if beyond is None else parse_integer("Stream-Fork-Sub-Offset", beyond),
    )


def _fork_position(offset: str) -> int | None:
    where = where_of(offset)
    if where == "start":
        return 0
    return None if where == "now" else where


def parse_addition(headers: Mapping[str, str], body: bytes) -> Addition:
    """What a POST wants appended."""
    return Addition(
        body=body,
        content_type=parse_content_type(headers) if body else None,
        close=is_closing(headers),
        sequence=headers.get("stream-seq"),
        producer=_parse_producer(headers),
    )


def _parse_producer(headers: Mapping[str, str]) -> Producer | None:
    names = ("Producer-Id", "Producer-Epoch", "Producer-Seq")
    name, epoch, sequence = (headers.get(header.lower()) for header in names)
    if name is None and epoch is None and sequence is None:
        return None
    if name is None or epoch is None or sequence is None:
        raise UsageError(f"{', '.join(names)}: all three or none", field="Producer-Id")
    if not name:
        raise UsageError("Producer-Id: empty", field="Producer-Id")
    return Producer(name, parse_integer("Producer-Epoch", epoch), parse_integer("Producer-Seq", sequence))


def is_closing(headers: Mapping[str, str]) -> bool:
    """Whether Stream-Closed says true; any other value counts as none."""
    return headers.get("stream-closed", "").strip().lower() == "true"


def parse_content_type(headers: Mapping[str, str]) -> str | None:
    """The Content-Type; UsageError if it is not ``type/subtype``, with parameters or without."""
    return check_content_type(headers.get("content-type", ""), "Content-Type")


def parse_integer(field: str, text: str) -> int:
    """A whole number in plain decimal digits, at most 2**53 - 1."""
    if not _INTEGER.fullmatch(text) or int(text) > _INTEGER_MAX:
        raise UsageError(f"{field}: {text!r} is not a whole number from 0 to 2^53 - 1", field=field)
    return int(text)


def parse_moment(field: str, text: str) -> float:
    """An RFC 3339 time as Unix time, to the millisecond."""
    if _MOMENT.fullmatch(text.upper()):
        try:
            return round(datetime.fromisoformat(text.upper()).timestamp(), 3)
        except (ValueError, OverflowError):
            pass
    raise UsageError(f"{field}: {text!r} is not an RFC 3339 time", field=field)


def moment_of(unix_s: float) -> str:
    """The RFC 3339 time of a Unix time."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
