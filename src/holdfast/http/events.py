"""A stream as Server-Sent Events: each part a ``data`` event, followed by a ``control`` event.  Pure."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence

from ..durable.messages import join_messages
from ..durable.model import JSON_TYPE, Page, media_type
from .offsets import offset_of

HEARTBEAT = b": alive\n\n"
"""A comment, which readers ignore; it keeps proxies from giving up."""


def is_text(content_type: str) -> bool:
    """Whether such a stream goes into events as it is; any other goes in base64."""
    kind = media_type(content_type)
    return kind.startswith("text/") or kind == JSON_TYPE


def data_event(text: str) -> bytes:
    """A ``data`` event; every kind of line end becomes a line of the event, so that none can end it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return ("event: data\n" + "".join(map(_line, lines)) + "\n").encode()


def _json_event(array: bytes) -> bytes:
    """:func:`data_event` of a JSON array, which seldom has line ends."""
    if b"\n" in array or b"\r" in array:
        return data_event(array.decode())
    return b"event: data\ndata:" + array + b"\n\n"


def _line(text: str) -> str:
    """Readers take one space after the colon away, so it is there only for texts that begin with one."""
    return f"data: {text}\n" if text.startswith(" ") else f"data:{text}\n"


def control_event(position: int, cursor: str, *, caught_up: bool, finished: bool) -> bytes:
    """A ``control`` event: where to go on from, and how things stand.

    Its id is the offset too: a browser's EventSource sends it when it comes back.
    """
    body: dict[str, object] = {"streamNextOffset": offset_of(position)}
    if not finished:
        body["streamCursor"] = cursor
    if caught_up or finished:
        body["upToDate"] = True
    if finished:
        body["streamClosed"] = True
    text = json.dumps(body, separators=(",", ":"))
    return f"event: control\ndata:{text}\nid:{offset_of(position)}\n\n".encode()


def split_text(data: bytes) -> tuple[bytes, bytes]:
    """``data`` without the begin of a character at its end, and that begin, which waits for its rest."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return (data[:-back], data[-back:]) if length > back else (data, b"")
    return data, b""


class EventWriter:
    """Pages in, events out.  Text that is cut inside a character is given when the character is whole."""

    def __init__(self, content_type: str) -> None:
        self._kind = media_type(content_type)
        self._text = is_text(content_type)
        self._held = b""

    def write(self, page: Page, cursor: str) -> bytes:
        """The events of the next page; never a data event without its control event."""
        event = self._data(page.chunks, finished=page.finished)
        position = page.end - (0 if self._kind == JSON_TYPE else len(self._held))
        return event + control_event(position, cursor, caught_up=page.caught_up, finished=page.finished)

    def _data(self, chunks: Sequence[bytes], *, finished: bool) -> bytes:
        if self._kind == JSON_TYPE:
            return _json_event(join_messages(chunks)) if chunks else b""
        data = b"".join(chunks)
        if not self._text:
            return data_event(b64encode(data).decode()) if data else b""
        data, self._held = split_text(self._held + data)
        if finished:
            data, self._held = data + self._held, b""
        return data_event(data.decode(errors="replace")) if data else b""
