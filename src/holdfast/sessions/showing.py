"""What is shown: messages as JSON, for people, pages and programs in other languages; options without their secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .model import Message

HIDDEN = "***"
_SECRETS = ("header", "token", "password", "passwd", "secret", "credential", "auth", "cookie", "key")
"""What the name of an option holds whose value is nobody's business but its provider's."""


def shown_options(options: Mapping[str, str]) -> dict[str, str]:
    """A provider's options as whoever asks may see them: without passwords, tokens and headers."""
    return {
        name: HIDDEN if value and any(word in name.lower() for word in _SECRETS) else shown_url(value)
        for name, value in options.items()
    }


def shown_url(text: str) -> str:
    """``text``, without the name and password if it is a URL that has them."""
    scheme, mark, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    user, sign, host = host.rpartition("@")
    return f"{scheme}{mark}{HIDDEN}{sign}{host}{slash}{path}" if mark and user else text


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
