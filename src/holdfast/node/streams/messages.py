"""Entries of channels as JSON messages, and JSON messages as drafts.  Pure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import msgspec

from ...channels.packing import TYPE_NUMBERS, EntryType, Extras, encode_draft
from ...channels.unpacking import Entry
from ...durable.model import JSON_TYPE, media_type
from ...errors import UsageError

_encoder = msgspec.json.Encoder()


class _Base64(msgspec.Struct, forbid_unknown_fields=True):
    base64: str


class _Message(msgspec.Struct):
    """An entry as it is shown; its fields, in their order."""

    index: int
    sender: str
    sequence: int
    in_reply_to: int
    timestamp: float
    type: EntryType
    payload: object
    error: str
    content_type: str
    headers: dict[str, str]
    late: bool
    control: dict[str, Any]


class _Draft(msgspec.Struct, forbid_unknown_fields=True):
    """What a message may say of the entry it shall become."""

    payload: msgspec.Raw = msgspec.Raw(b"")
    type: EntryType = "data"
    sequence: int = 0
    in_reply_to: int = 0
    error: str = ""
    content_type: str | None = None
    headers: dict[str, str] = {}
    control: dict[str, Any] = {}


_draft = msgspec.json.Decoder(_Draft)
_bytes = msgspec.json.Decoder(str | _Base64)


def message_of(entry: Entry) -> bytes:
    """The entry as a JSON object."""
    index, sender, sequence, reply, timestamp, kind, _, error, content_type, headers, late, control = entry
    return _encoder.encode(
        _Message(
            index, sender, sequence, reply, timestamp, kind, _shown(entry), error, content_type,
            dict(headers), late, dict(control),
        )
    )  # fmt: skip


def _shown(entry: Entry) -> object:
    """The payload: the JSON value it is, or text, or an object that holds it in base64."""
    try:
        text = entry.payload.decode()
        if entry.content_type and media_type(entry.content_type) == JSON_TYPE:
            msgspec.json.decode(entry.payload)
            return msgspec.Raw(entry.payload)
    except UnicodeDecodeError:
        return {"base64": b64encode(entry.payload).decode()}
    except (msgspec.DecodeError, RecursionError):
        pass  # it says that it is JSON, and is not
    return text


def draft_of(message: bytes, position: int) -> bytes:
    """The draft that ``message``, at ``position`` of its body, stands for.

    An object with a ``payload``, or with a ``type`` that entries have, describes the entry; any other value is the
    payload itself.  UsageError for a description that cannot be.
    """
    try:
        if not _describes(message):
            return encode_draft(message, extras=Extras(content_type=JSON_TYPE))
        wanted = _draft.decode(message)
        payload, content_type = _payload(wanted)
        extras = Extras(content_type, wanted.headers, wanted.error, wanted.control)
        return encode_draft(
            payload,
            type=wanted.type,
            sequence=wanted.sequence,
            in_reply_to=wanted.in_reply_to,
            extras=extras,
        )
    except (msgspec.DecodeError, UsageError, ValueError) as error:
        raise UsageError(f"body[{position}]: {error}", field=f"body[{position}]") from None
    except RecursionError:
        raise UsageError("body: nested too deeply", field="body") from None


def _describes(message: bytes) -> bool:
    if not message.startswith(b"{"):
        return False
    value = msgspec.json.decode(message)
    kind = value.get("type")
    return "payload" in value or (isinstance(kind, str) and kind in TYPE_NUMBERS)


def _payload(wanted: _Draft) -> tuple[bytes, str]:
    raw = bytes(wanted.payload)
    if not raw:
        return b"", wanted.content_type or ""
    kind = JSON_TYPE if wanted.content_type is None else wanted.content_type
    if media_type(kind) == JSON_TYPE:
        return raw, kind
    plain = _bytes.decode(raw)
    return (plain.encode() if isinstance(plain, str) else b64decode(plain.base64, validate=True)), kind
