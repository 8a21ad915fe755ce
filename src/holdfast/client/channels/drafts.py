"""Entries as a caller means them: payloads of every kind, and what control messages carry; shared by both clients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...channels.model import QuestionPolicy
from ...channels.packing import NO_EXTRAS, EntryType, Extras, encode_draft
from ...channels.unpacking import Entry
from ...errors import ChannelClosed, UsageError

_ASKS_FOR_NOTHING = ("data", "end", "error", "receipt")
JSON_TYPE = "application/json"
"""Content type of a payload that was given as a JSON value; text and bytes have none unless the caller names it."""

Payload = Any
"""What can be appended: ``bytes``, ``str`` (as UTF-8), or a value that JSON can carry."""


class Draft(NamedTuple):
    """An entry that has no sequence yet."""

    payload: bytes = b""
    type: EntryType = "data"
    in_reply_to: int = 0
    extras: Extras = NO_EXTRAS

    def encode(self, sequence: int) -> bytes:
        """As it travels; UsageError for a type or a number that cannot be."""
        return encode_draft(
            self.payload, type=self.type, sequence=sequence, in_reply_to=self.in_reply_to, extras=self.extras
        )


def bytes_of(payload: Payload) -> tuple[bytes, str]:
    """The payload's bytes, and its content type if it is JSON.  UsageError for what JSON cannot carry."""
    if isinstance(payload, bytes):
        return payload, ""
    if isinstance(payload, str):
        return payload.encode(), ""
    if isinstance(payload, bytearray | memoryview):
        return bytes(payload), ""
    try:
        return json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(), JSON_TYPE
    except (TypeError, ValueError) as error:
        raise UsageError(f"payload: neither text nor bytes nor JSON: {error}", field="payload") from None


def message(
    payload: Payload = b"",
    *,
    type: EntryType = "data",
    in_reply_to: int = 0,
    content_type: str = "",
    headers: Mapping[str, str] | None = None,
    error: str = "",
    control: Mapping[str, Any] | None = None,
) -> Draft:
    """A draft of any type; UsageError for a payload or headers that cannot be sent."""
    data, found_type = bytes_of(payload)
    if headers and not all(isinstance(part, str) for pair in headers.items() for part in pair):
        raise UsageError("headers: names and values must be text", field="headers")
    content_type = content_type or found_type
    if not (content_type or headers or error or control):
        return Draft(data, type, in_reply_to)
    return Draft(data, type, in_reply_to, Extras(content_type, headers or {}, error, control or {}))


def failure(text: str) -> Draft:
    """The sender's stream ends with an error."""
    return message(type="error", error=text)


def question(asked: Payload, policy: QuestionPolicy, expires_s: float, default: str | None) -> Draft:
    """Input is needed.  ``expires_s`` and ``default`` as the policy takes them; the node says what is missing."""
    control: dict[str, Any] = {"policy": policy}
    if expires_s:
        control["expires_s"] = expires_s
    if default is not None:
        control["default"] = default
    return message(asked, type="needs_input", control=control)


def answer(asked: Entry | int, payload: Payload) -> Draft:
    """The answer to a question, which is an entry or an entry's index."""
    return message(payload, type="answer", in_reply_to=_sequence_of(asked), control={"of": _index_of(asked)})


def receipt(about: Entry | int, state: str, text: str) -> Draft:
    """What became of a control message: ``applied`` or ``refused``, perhaps with a word on it.

    UsageError for an entry that asks for nothing.
    """
    if not isinstance(about, int) and about.type in _ASKS_FOR_NOTHING:
        raise UsageError(f"entry: {about.index} is no control message but {about.type}", field="entry")
    return message(
        text, type="receipt", in_reply_to=_sequence_of(about), control={"of": _index_of(about), "state": state}
    )


def answers(entry: Entry, index: int, sequence: int) -> bool:
    """Whether ``entry`` is the answer to the question at ``index``, which its asker numbered ``sequence``."""
    return entry.type == "answer" and entry.control.get("of", index if entry.in_reply_to == sequence else 0) == index


def never_answered(channel: str, index: int) -> ChannelClosed:
    """The channel ended before the question was answered."""
    return ChannelClosed(f"channel {channel} was closed before the question at index {index} was answered")


def _index_of(entry: Entry | int) -> int:
    return entry if isinstance(entry, int) else entry.index


def _sequence_of(entry: Entry | int) -> int:
    return 0 if isinstance(entry, int) else entry.sequence
