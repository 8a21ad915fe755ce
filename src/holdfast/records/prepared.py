"""Records on their way in: made canonical, named, measured; and what the store keeps with each."""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ..engine.stored import Stored
from ..errors import LimitExceeded, UsageError
from .cid import cid_of_digest, digest_of_cid
from .model import RecordMeta
from .quick import canonicalise_quickly

if TYPE_CHECKING:
    from ..limits import Limits

RECORD_KIND: Final = b"R"
REFERRER_KIND: Final = b"F"
BOTH_KIND: Final = b"B"
"""The first byte of a blob's meta says what the blob is: somebody may push a referrer's JSON as a record."""

_HEAD: Final = Struct(">cd")
"""Kind, and when it was last pushed."""
_TEXTS: Final = ("schema_version", "created_at", "name", "version", "previous_record_cid")

_encode = msgspec.json.Encoder().encode
_stored = Stored(RecordMeta, "the metadata of a record")


class Prepared(NamedTuple):
    """A record, checked and named."""

    cid: str
    digest: bytes
    canonical: bytes
    fields: dict[str, Any]
    """What its metadata takes from it."""


def prepare(text: bytes, limits: Limits) -> Prepared:
    """Name a record given as JSON text.

    UsageError for what is no JSON object; LimitExceeded(name="record_bytes_max" or "record_meta_bytes_max").
    """
    record, canonical = canonicalise_quickly(text)
    if len(canonical) > limits.record_bytes_max:
        raise _too_large("record_bytes_max", limits.record_bytes_max, len(canonical))
    digest = sha256(canonical).digest()
    return Prepared(cid_of_digest(digest), digest, canonical, _fields(record, limits))


def _fields(record: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """The texts a record says of itself; what is no text is left to who reads the record."""
    fields: dict[str, Any] = {name: text for name in _TEXTS if isinstance(text := record.get(name), str) and text}
    annotations = record.get("annotations")
    if isinstance(annotations, dict):
        texts = {key: text for key, text in annotations.items() if isinstance(text, str)}
        if texts:
            fields["annotations"] = texts
    size = sum(map(len, map(str, fields.values())))
    if size * 4 > limits.record_meta_bytes_max and (exact := len(_encode(fields))) > limits.record_meta_bytes_max:
        raise _too_large("record_meta_bytes_max", limits.record_meta_bytes_max, exact)
    return fields


def _too_large(name: str, limit: int, value: int) -> LimitExceeded:
    return LimitExceeded(f"record: {value} bytes, over {name} = {limit}", name=name, limit=limit, value=value)


# what is kept with the blob: the head, and the JSON of a RecordMeta from its second field on


def meta_of(prepared: Prepared, now: float) -> bytes:
    """What to store with a record that comes now for the first time."""
    fields = {"size_bytes": len(prepared.canonical), "pushed_at": round(now, 3), **prepared.fields}
    return _HEAD.pack(RECORD_KIND, now) + _encode(fields)[1:]


def previous_of(cid: str) -> bytes:
    """The digest of the record that is named as the previous one; nothing if that is no CID."""
    try:
        return digest_of_cid(cid) if cid else b""
    except UsageError:
        return b""


def is_record(meta: bytes) -> bool:
    """Whether it is a record's, or that of both."""
    return meta[:1] in (RECORD_KIND, BOTH_KIND)


def is_both(meta: bytes) -> bool:
    """Whether it is of a record that is a referrer too."""
    return meta[:1] == BOTH_KIND


def as_both(meta: bytes) -> bytes:
    """A record's, which is a referrer too."""
    return BOTH_KIND + meta[1:]


def as_record(meta: bytes) -> bytes:
    """Of what was both, and is a record only."""
    return RECORD_KIND + meta[1:]


def touched_at(meta: bytes) -> float:
    """When it was last pushed."""
    _, moment = _HEAD.unpack_from(meta)
    return float(moment)


def touched(meta: bytes, now: float) -> bytes:
    """The same, pushed again now."""
    return _HEAD.pack(meta[:1], now) + meta[_HEAD.size :]


def bare_meta(kind: bytes, now: float) -> bytes:
    """What to store with something that has no metadata."""
    return _HEAD.pack(kind, now)


def meta_json(cid: str, meta: bytes) -> bytes:
    """JSON of the RecordMeta; default values are left out."""
    return b'{"cid":"%s",%s' % (cid.encode(), meta[_HEAD.size :])


def meta_from(cid: str, meta: bytes) -> RecordMeta:
    """The RecordMeta.  CorruptionError if it cannot be read."""
    return _stored.read(meta_json(cid, meta), cid)
