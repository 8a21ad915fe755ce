"""A session's messages as Server-Sent Events, and how far their reader is in each event's id.  Pure.

The id names, for each durable source that moved since the session was attached, where it goes on.  A browser sends the
last one when it comes back (``Last-Event-ID``); so what it had is acknowledged then, by itself and exactly.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..sessions.showing import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..sessions.model import Message

Places = dict[str, tuple[int, bool]]
"""Of durable sources: where each goes on, and whether its end was given."""


class EventStreamWriter:
    """Messages of one attachment as events."""

    def __init__(self) -> None:
        self._places: Places = {}
        self._id = b""

    def write(self, message: Message) -> bytes:
        """One event: ``message``, which needs no listener of its own, or a report by its kind."""
        if message.durable:
            self._places[message.subject] = (message.next_position, message.kind == "ended")
            self._id = b"id:" + encode_places(self._places) + b"\n"
        elif message.kind == "gone":
            self._places.pop(message.subject, None)
        name = b"" if message.kind == "message" else b"event:" + message.kind.encode() + b"\n"
        text = json.dumps(as_json(message), separators=(",", ":"))
        return name + b"data:" + text.encode() + b"\n" + self._id + b"\n"


def encode_places(places: Mapping[str, tuple[int, bool]]) -> bytes:
    """In an id: a JSON object from subject to position, ``[position]`` where the end was given, too."""
    body = {subject: [position] if ended else position for subject, (position, ended) in places.items()}
    return json.dumps(body, separators=(",", ":")).encode()


def decode_places(text: str) -> Places:
    """What a reader that comes back had; UsageError for what never was an id of ours."""
    try:
        body = json.loads(text)
        if not isinstance(body, dict):
            raise TypeError
        return {subject: _place(value) for subject, value in body.items()}
    except (ValueError, TypeError, RecursionError):
        raise UsageError("Last-Event-ID: not the id of an event of a session", field="last-event-id") from None


def _place(value: Any) -> tuple[int, bool]:
    ended = isinstance(value, list)
    position = value[0] if ended and len(value) == 1 else value
    if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < 1 << 63:
        raise TypeError
    return position, ended
