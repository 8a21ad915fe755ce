"""Messages as JSON, for people, pages and programs in other languages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .model import Message


def as_json(message: Message) -> dict[str, Any]:
    """A message as JSON: its payload as the text it is, or in base64."""
    from base64 import b64encode

    value: dict[str, Any] = {"kind": message.kind, "subject": message.subject}
    try:
        value["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        value["payload_base64"] = b64encode(message.payload).decode()
    if message.durable:
        value |= {"position": message.position, "next_position": message.next_position}
    if message.time:
        value["time"] = message.time
    return value | {name: part for name, part in (("headers", message.headers), ("detail", message.detail)) if part}
